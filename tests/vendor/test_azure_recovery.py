"""Failures in Microsoft's worker: a built package settles them over a Service Bus."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("proton")

from portafaas.invocation import PackageRunner
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build
from portafaas.plan.build import build_plan
from portafaas_azure.adapter import ADAPTER
from tests.azure_cloud.broker import Broker
from tests.azure_cloud.host import Host
from tests.azure_cloud.service_bus import bus

pytestmark = pytest.mark.vendor

MANIFEST = """\
portafaas: 1
name: shop
python: "3.11"
defaults:
  timeout: 10s
  retry: {attempts: 2, initial: 10s, max: 1m, jitter: false}
functions:
  work: {handler: "app:fail", trigger: {queue: {name: jobs}}}
  work-async: {handler: "app:fail_async", trigger: {queue: {name: tasks}}}
  on-row: {handler: "app:fail", trigger: {table: {name: orders}}}
queues:
  jobs: {dead-letter: true}
  tasks: {dead-letter: true}
tables:
  orders: {key: id}
"""
APP = """\
def fail(item, context):
    raise RuntimeError(f"attempt {item.attempt} of {context.function}")


async def fail_async(item, context):
    fail(item, context)
"""


class _Tokens(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"access_token": "t", "expires_on": str(int(time.time()) + 9999)})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Host, Any]]:
    folder = tmp_path_factory.mktemp("recovery")
    (folder / "app.py").write_text(APP)
    manifest = folder / "portafaas.yaml"
    manifest.write_text(MANIFEST)
    plan = build_plan(load_manifest(manifest), "azure")
    built = build(manifest, ["azure"])[0]
    broker = Broker()
    for name in ("jobs", "tasks", "on-row-again"):
        broker.queue(name)
    for name in ("jobs-dead", "tasks-dead", "on-row-dead"):
        broker.queue(name)
    server = HTTPServer(("127.0.0.1", 0), _Tokens)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with bus(broker) as peer:
        url = f"http://{peer.address}"
        environ = {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{server.server_port}/token",
            "IDENTITY_HEADER": "h",
            **{f"PORTAFAAS_SOURCE_{n}": f"{url}/{q}" for n, q in
               (("WORK", "jobs"), ("WORK_ASYNC", "tasks"), ("ON_ROW", "on-row-again"))},
            **{f"PORTAFAAS_DEAD_{n}": f"{url}/{q}-dead" for n, q in
               (("WORK", "jobs"), ("WORK_ASYNC", "tasks"), ("ON_ROW", "on-row"))},
        }  # fmt: skip
        runner = PackageRunner(
            ADAPTER, plan, built.package, built.deployment, Path(folder / "package"), environ
        )
        with runner:
            def invoke(name: str, payload: dict[str, Any], entry: str = "") -> bool:
                function = plan.function(name)
                found = runner.session(function).invoke(payload, function=entry or function.entry)
                return bool(found.ok)

            host = Host(
                broker,
                {
                    "jobs": lambda payload: invoke("work", payload),
                    "tasks": lambda payload: invoke("work-async", payload),
                    "on-row-again": lambda payload: invoke("on-row", payload, "on_row__again"),
                },
            )
            yield broker, host, invoke
    server.shutdown()
    server.server_close()


def letter(broker: Broker, name: str) -> dict[str, Any]:
    [found] = broker.entities[name].messages
    said: dict[str, Any] = json.loads(found.properties["pf-dead"])
    broker.entities[name].messages.clear()
    return said


@pytest.mark.parametrize(("name", "queue"), [("work", "jobs"), ("work-async", "tasks")])
def test_a_copy_and_then_a_dead_letter(world: Any, name: str, queue: str) -> None:
    from proton import Message

    broker, host, _ = world
    host.deliveries.clear()
    broker.send(queue, Message(b"x", id="m-1", inferred=True, properties={"pf-id": "i-1"}))
    host.run()
    assert len(host.deliveries) == 2
    assert host.deliveries[1][0] - host.deliveries[0][0] == pytest.approx(10, abs=4)
    found = letter(broker, f"{queue}-dead")
    assert (found["id"], found["attempts"], found["reason"]) == ("i-1", 2, "attempts")
    assert found["error"] == f"RuntimeError: attempt 2 of {name}"


def test_the_hosts_count_and_the_queue_of_what_comes_again(world: Any) -> None:
    """The worker hands on the host's count of repetitions: the last one is a dead letter."""
    broker, host, invoke = world
    row = {"id": "r1", "_etag": '"t"', "_ts": int(time.time()), "_lsn": 1}
    payload = {"trigger": {"type": "json", "value": [row]}, "metadata": {}}
    assert not invoke("on-row", {**payload, "retry": {"count": 0, "max": -1}})
    assert invoke("on-row", {**payload, "retry": {"count": 1, "max": -1}})
    [found] = broker.entities["on-row-dead"].messages
    assert json.loads(found.body) == row
    assert letter(broker, "on-row-dead")["attempts"] == 2
    message = found.message
    message.properties = {"pf-id": found.properties["pf-id"]}
    broker.send("on-row-again", message)
    host.run()
    assert letter(broker, "on-row-dead")["error"] == "RuntimeError: attempt 2 of on-row"
