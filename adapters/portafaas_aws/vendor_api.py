"""A Lambda Runtime API on 127.0.0.1, served only while somebody waits for it: no thread.

The protocol is https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. One runtime
process talks to it, over one kept connection for invocations and one more for an init error.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, parse_headers
from typing import IO, Any

from portafaas.vendor.process import Child, Clock

_PREFIX = "/2018-06-01/runtime/"
# A complete request follows its first byte at once, or its sender was killed.
_READ_SECONDS = 10.0
#: The service's limit for a synchronous response, in bytes.
#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
RESPONSE_LIMIT = 6 * 1024 * 1024 + 100


@dataclass(slots=True)
class Reply:
    """What the runtime posted: ``kind`` is ``response`` or ``error``."""

    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(_READ_SECONDS)
        # The reply to one request must not wait for the acknowledgement of the one before.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.reader: IO[bytes] = sock.makefile("rb")

    def read(self) -> _Request | None:
        """Return one request, or None when the peer has closed."""
        line = self.reader.readline()
        if not line:
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = parse_headers(self.reader)
        if headers.get("Expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("Transfer-Encoding", "").lower() == "chunked":
            return _Request(method, path, self._read_chunks())
        return _Request(method, path, self.reader.read(int(headers.get("Content-Length", 0))))

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self.reader.readline().split(b";")[0], 16):
            body += self.reader.read(size)
            self.reader.readline()
        while self.reader.readline().strip():
            pass
        return body

    def answer(self, status: str, headers: dict[str, str], body: bytes) -> None:
        """Send one response in one piece; two would cost a delayed acknowledgement."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def close(self) -> None:
        self.reader.close()
        self.sock.close()


class RuntimeApi:
    """The service's side of the Runtime API for one execution environment."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._connections: set[_Connection] = set()
        self._waiting: _Connection | None = None
        self._request_id = ""
        self.init_error: dict[str, Any] | None = None
        self.reply: Reply | None = None

    @property
    def address(self) -> str:
        """``127.0.0.1:port`` for ``AWS_LAMBDA_RUNTIME_API``."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def is_polled(self) -> bool:
        """Tell whether the runtime waits for the next invocation."""
        return self._waiting is not None

    def serve(self, done: Callable[[], bool], child: Child, clock: Clock) -> bool:
        """Answer requests until *done*; False when *child* ended or time ran out before."""
        while not done():
            left = clock.left()
            if not left or (child.exit_status() is not None and not self._step(0)):
                return False
            # Without a connection only polling shows that the process ended.
            self._step(min(left, 0.05 if self._connections else 0.002))
        return True

    def dispatch(self, request_id: str, headers: dict[str, str], body: bytes) -> None:
        """Hand the runtime, which must be polling, its next invocation."""
        connection, self._waiting = self._waiting, None
        assert connection is not None
        self._request_id, self.reply = request_id, None
        try:
            connection.answer("200 OK", headers, body)
        except OSError:
            self._drop(connection)

    def reset(self) -> None:
        """Forget the runtime process, which has ended."""
        for connection in list(self._connections):
            self._drop(connection)
        self.init_error = self.reply = None

    def close(self) -> None:
        """Close all sockets."""
        self.reset()
        self._selector.close()
        self._listener.close()

    def _step(self, seconds: float) -> bool:
        """Handle what has arrived within *seconds*; False when nothing has."""
        events = self._selector.select(seconds)
        for key, _ in events:
            if key.fileobj is self._listener:
                connection = _Connection(self._listener.accept()[0])
                self._connections.add(connection)
                self._selector.register(connection.sock, selectors.EVENT_READ, connection)
            elif key.data in self._connections:
                self._handle(key.data)
        return bool(events)

    def _handle(self, connection: _Connection) -> None:
        try:
            request = connection.read()
            if request is None:
                self._drop(connection)
            else:
                self._answer(connection, request)
        except (OSError, ValueError, HTTPException):
            self._drop(connection)

    def _answer(self, connection: _Connection, request: _Request) -> None:
        part = request.path.removeprefix(_PREFIX).split("/")
        match request.method, part:
            case "GET", ["invocation", "next"]:
                self._waiting = connection
            case "GET", ["restore", "next"]:
                connection.answer("200 OK", {}, b"")
            case "POST", ["init", "error"]:
                self.init_error = json.loads(request.body)
                connection.answer("202 Accepted", {}, b'{"status":"OK"}')
            case "POST", ["invocation", self._request_id, ("response" | "error") as kind]:
                self.reply = Reply(kind, request.body)
                if kind == "response" and len(request.body) > RESPONSE_LIMIT:
                    connection.answer("413 Payload Too Large", {}, b"{}")
                else:
                    connection.answer("202 Accepted", {}, b'{"status":"OK"}')
            case _:
                connection.answer("400 Bad Request", {}, b'{"errorType":"InvalidRequestID"}')

    def _drop(self, connection: _Connection) -> None:
        if self._waiting is connection:
            self._waiting = None
        self._connections.discard(connection)
        self._selector.unregister(connection.sock)
        connection.close()
