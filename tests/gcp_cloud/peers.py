"""Cloud Tasks, the metadata server, Cloud Functions and Monitoring, as far as functions and tools use them.

A task is held against Google's own description of the API, its maker and the account it acts as
against the grants of the document, and then really sent when its time has come.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.unit.gcp.test_gcp_infrastructure_rest import _problems, _schemas

#: Bytes of a task, and seconds that it may be put off: https://cloud.google.com/tasks/docs/quotas
LARGEST = 1_048_576
LATEST = 30 * 86_400


class Task:
    """One task; ``delay`` is how many seconds it was put off when it was made, ``by`` whom."""

    __slots__ = ("by", "delay", "done", "due", "name", "request")

    def __init__(self, body: Mapping[str, Any], by: str, pace: float) -> None:
        self.by = by
        self.name: str = body.get("name", "")
        self.request: Mapping[str, Any] = body["httpRequest"]
        self.delay = 0.0
        if "scheduleTime" in body:
            moment = datetime.fromisoformat(body["scheduleTime"].replace("Z", "+00:00"))
            self.delay = max(0.0, moment.timestamp() - time.time())
        self.due = time.monotonic() + self.delay * pace
        self.done = False


class Peers:
    """One server; *may* tells whether an account has a role on something, *function* of functions.

    ``pace`` multiplies delays, 0 is at once. The token of ``a@b`` is ``token-of-a@b``.
    """

    def __init__(
        self,
        may: Callable[[str, str, str], bool],
        function: Callable[[str], Any],
        pace: float = 0.0,
    ) -> None:
        self.pace = pace
        self.tasks: list[Task] = []
        self.refused: list[str] = []
        #: What Cloud Monitoring says of subscriptions.
        self.counts: dict[str, int] = {}
        #: What is in buckets, JSON, by the path ``/storage/v1/b/<bucket>/o/<name>``.
        self.objects: dict[str, Any] = {}
        self._may = may
        self._lock = threading.Lock()
        self._end = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/v2/"):
                    value = function(self.path[4:])
                    self.say(200 if value else 404, value)
                    return
                if self.path.startswith("/storage/v1/b/"):
                    found = owner.objects.get(unquote(urlsplit(self.path).path))
                    self.say(404 if found is None else 200, found)
                    return
                if self.path.startswith("/v3/"):
                    self.say(200, {"timeSeries": owner.series(self.path)})
                    return
                match = re.match(r"/of/([^/]+)/computeMetadata/", self.path)
                assert match and self.headers["metadata-flavor"] == "Google"
                self.say(200, {"access_token": f"token-of-{match[1]}", "expires_in": 3599})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.say(*owner.create(self.path, self.headers["authorization"] or "", body))

            def say(self, status: int, value: Any) -> None:
                content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.02,)),
            threading.Thread(target=self._fire),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more tasks."""
        self._end.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()

    def series(self, path: str) -> list[Any]:
        """Return what ``projects.timeSeries.list`` does, by what ``counts`` has."""
        query = dict(parse_qsl(urlsplit(path).query))
        assert query["interval.startTime"] < query["interval.endTime"]
        assert '/num_undelivered_messages" AND ' in query["filter"]
        return [
            {
                "resource": {"labels": {"subscription_id": name}},
                "points": [{"value": {"int64Value": str(count)}}, {"value": {"int64Value": "9"}}],
            }
            for name, count in self.counts.items()
            if f'"{name}"' in query["filter"]
        ]

    def idle(self) -> bool:
        """Tell whether all tasks are done."""
        with self._lock:
            return all(task.done for task in self.tasks)

    def create(self, path: str, authorization: str, content: bytes) -> tuple[int, Any]:
        """Return status and answer of ``projects.locations.queues.tasks.create``."""
        status, said = self._create(path, authorization, content)
        if status != 200:
            self.refused.append(said)
            return status, {"error": {"code": status, "message": said, "status": "NO"}}
        return 200, {}

    def _create(self, path: str, authorization: str, content: bytes) -> tuple[int, str]:
        found = re.fullmatch(r"/v2/(projects/[^/]+/locations/[^/]+/queues/[^/]+)/tasks", path)
        caller = authorization.removeprefix("Bearer token-of-")
        document = json.loads(content)
        if found is None:
            return 404, f"no such method: {path}"
        schemas = _schemas("cloudtasks.v2")
        problems = list(_problems(schemas, schemas["CreateTaskRequest"], document, "task"))
        task = document["task"]
        if problems:
            return 400, "; ".join(problems)
        named = task.get("name", f"{found[1]}/tasks/one")
        if not re.fullmatch(re.escape(found[1]) + r"/tasks/[\w-]{1,500}", named):
            return 400, f"a bad name: {named}"
        if len(base64.b64decode(task["httpRequest"]["body"])) > LARGEST:
            return 400, "the task is too large"
        if not self._may(caller, "roles/cloudtasks.enqueuer", found[1]):
            return 403, f"{caller} may not create tasks in {found[1]}"
        token = task["httpRequest"].get("oauthToken") or task["httpRequest"].get("oidcToken")
        account = token["serviceAccountEmail"]
        if not self._may(caller, "roles/iam.serviceAccountUser", account):
            return 403, f"{caller} may not act as {account}"
        made = Task(task, caller, self.pace)
        if made.delay > LATEST:
            return 400, "later than 30 days"
        with self._lock:
            if made.name and any(other.name == made.name for other in self.tasks):
                return 409, "there is such a task"
            self.tasks.append(made)
        return 200, ""

    def _fire(self) -> None:
        while not self._end.wait(0.01):
            with self._lock:
                due = [t for t in self.tasks if not t.done and t.due <= time.monotonic()]
            for task in due:
                status = self._send(task)
                with self._lock:
                    task.done = 200 <= status <= 299
                    task.due = time.monotonic() + 0.1

    def _send(self, task: Task) -> int:
        request, address = task.request, urlsplit(task.request["url"])
        token = request.get("oauthToken") or request.get("oidcToken")
        assert token is not None
        headers = {
            **request.get("headers", {}),
            "Authorization": f"Bearer token-of-{token['serviceAccountEmail']}",
            "User-Agent": "Google-Cloud-Tasks",
            "X-CloudTasks-TaskName": task.name.rpartition("/")[2],
        }
        assert address.hostname is not None
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        try:
            body = base64.b64decode(request["body"])
            connection.request("POST", address.path or "/", body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()
