"""Cloud Tasks and the metadata server, as far as functions ask them, on one port of 127.0.0.1.

https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create
A task's request is made at its time, and again until it is answered with 2xx.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Tasks:
    """A running server. ``pending`` counts the tasks that are not done."""

    def __init__(self) -> None:
        self._due: list[tuple[float, dict[str, Any]]] = []
        self._names: set[str] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self.problems: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # the metadata server
                self._answer(200, {"access_token": "token", "expires_in": 3600})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._answer(*owner.create(self.path, json.loads(body)))

            def _answer(self, status: int, document: dict[str, Any]) -> None:
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("metadata-flavor", "Google")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._threads = [
            threading.Thread(target=self._server.serve_forever, daemon=True),
            threading.Thread(target=self._run, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def environment(self) -> dict[str, str]:
        """What leads a function here."""
        return {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS": f"http://127.0.0.1:{self.port}/",
            "GCE_METADATA_HOST": f"127.0.0.1:{self.port}",
        }

    @property
    def pending(self) -> int:
        """How many tasks wait."""
        with self._lock:
            return len(self._due)

    def create(self, path: str, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Take a task; one name once."""
        task = document["task"]
        assert path.startswith("/v2/projects/") and path.endswith("/tasks"), path
        with self._lock:
            if task["name"] in self._names:
                return 409, {"error": {"status": "ALREADY_EXISTS"}}
            self._names.add(task["name"])
            when = datetime.fromisoformat(task["scheduleTime"].replace("Z", "+00:00")).timestamp()
            self._due.append((when, task))
        return 200, task

    def _run(self) -> None:
        while not self._end.wait(0.02):
            with self._lock:
                ready = [task for when, task in self._due if when <= time.time()]
            for task in ready:
                status = self._send(task["httpRequest"])
                with self._lock:
                    self._due = [pair for pair in self._due if pair[1] is not task]
                    if status >= 300:
                        self.problems.append(f"a task was answered with {status}")
                        self._due.append((time.time() + 0.2, task))

    def _send(self, request: dict[str, Any]) -> int:
        url = urlsplit(request["url"])
        connection = http.client.HTTPConnection(url.netloc, timeout=30)
        try:
            connection.request(
                request["httpMethod"],
                url.path,
                base64.b64decode(request["body"]),
                request["headers"],
            )
            return connection.getresponse().status
        except OSError:
            return 599
        finally:
            connection.close()

    def close(self) -> None:
        """End it."""
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
