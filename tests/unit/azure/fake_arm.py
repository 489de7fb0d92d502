"""A stand-in for Azure Resource Manager: deploys templates of a resource group, over HTTP.

It checks the parameters, evaluates the conditions with them, and makes what it may in the worst
order that ``dependsOn`` allows: what names, is inside of or extends something that is not made yet
fails. What a template no longer has stays, as in Azure's incremental mode.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from portafaas_azure.infrastructure.expressions import Evaluator, ExpressionError
from portafaas_azure.infrastructure.graph import resolve

_KINDS = {"string": str, "securestring": str, "int": int, "bool": bool, "array": list}


class Refused(Exception):
    """Resource Manager's answer to a template that it cannot deploy."""


def deploy(
    template: Mapping[str, Any], given: Mapping[str, Any], made: dict[str, Any]
) -> list[str]:
    """Put the resources of *template* into *made*; return the ids of those that are put."""
    declared = template["parameters"]
    for name, value in given.items():
        if name not in declared:
            raise Refused(f"InvalidTemplate: no parameter {name}")
        if not isinstance(value, _KINDS[declared[name]["type"]]):
            raise Refused(f"InvalidTemplate: {name} is no {declared[name]['type']}")
    values = {n: given.get(n, d.get("defaultValue")) for n, d in declared.items()}
    missing = sorted(name for name, value in values.items() if value is None)
    if missing:
        raise Refused(f"InvalidTemplate: no value for {', '.join(missing)}")
    nodes, problems = resolve(template)
    if problems:
        raise Refused(f"InvalidTemplate: {problems[0]}")
    evaluator = Evaluator(template, values)
    wanted = [
        node
        for node, resource in zip(nodes.values(), template["resources"], strict=True)
        if evaluator.value(resource.get("condition", True))
    ]
    left_out = set(nodes) - {node.id for node in wanted}
    done: list[str] = []
    while wanted:
        ready = [n for n in wanted if not n.needs - left_out - set(done)]
        if not ready:
            raise Refused("InvalidTemplate: a circle")
        # The last that is ready: as far from the order of the template as can be.
        node = ready[-1]
        wanted.remove(node)
        above = {node.scope, *node.named, *_parents(node.id, node.type)} - {"", node.id}
        for other in sorted((above & set(nodes)) - left_out):
            if other not in made:
                raise Refused(f"ResourceNotFound: {node.label} needs {other}")
        before = made.get(node.id)
        if before is not None and "roleAssignments" in node.type and before != node.properties:
            raise Refused(f"RoleAssignmentUpdateNotPermitted: {node.label}")
        made[node.id] = node.properties
        done.append(node.id)
    return done


def _parents(identifier: str, kind: str) -> list[str]:
    words = identifier.split("/")
    return ["/".join(words[: -2 * depth]) for depth in range(1, kind.count("/"))]


@contextmanager
def serve(made: dict[str, Any]) -> Iterator[str]:
    """Serve deployments into *made*; yield the URL."""
    answers: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, body: Mapping[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_PUT(self) -> None:
            path = self.path.partition("?")[0]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = body["properties"]
            given = {name: p["value"] for name, p in asked.get("parameters", {}).items()}
            try:
                done = deploy(asked["template"], given, made)
            except (Refused, ExpressionError) as error:
                code, _, message = str(error).partition(": ")
                self._answer(400, {"error": {"code": code, "message": message}})
                return
            answers[path] = {
                "id": path,
                "name": path.rpartition("/")[2],
                "properties": {
                    "provisioningState": "Succeeded",
                    "mode": asked["mode"],
                    "outputResources": [{"id": one} for one in done],
                },
            }
            self._answer(201, answers[path])

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            self._answer(200 if path in answers else 404, answers.get(path, {}))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
