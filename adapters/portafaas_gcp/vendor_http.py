"""One HTTP/1.1 exchange, with every byte of the request under control and one deadline for all.

Not ``http.client.HTTPConnection`` nor ``urllib``: they refuse or rewrite targets and merge or add
headers, and their timeout starts anew with every read.
"""

from __future__ import annotations

import base64
import io
import re
import socket
import sys
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, cast

from portafaas.vendor.contract import VendorRuntimeError
from portafaas.vendor.process import Clock

# https://www.rfc-editor.org/rfc/rfc9110#section-5.1 and 5.5; obs-text is allowed in values.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(r"[\x21-\x7e]+")
# A server may expect a length of these even when there is no body.
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class ConnectionLost(Exception):
    """The server closed the connection before its response was complete, or refused it."""


def exchange(port: int, request: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    """Send *request* to 127.0.0.1:*port* and return the response, both as in the contract.

    Adds ``Host: localhost`` and ``Content-Length`` where they are absent, nothing else. Raises
    TimeoutError when *clock* runs out, ConnectionLost, and VendorRuntimeError (PF6004) for a
    request that HTTP cannot express.
    """
    data = encode(request)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_left(clock)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _send(sock, data, clock)
            # HTTPResponse calls nothing but makefile.
            stream = cast("socket.socket", _Source(sock, clock))
            with HTTPResponse(stream, method=request["method"]) as response:
                response.begin()
                body = response.read()
                headers = [[name, value] for name, value in response.getheaders()]
                status = response.status
    except TimeoutError:
        raise
    except (OSError, HTTPException, ValueError) as exc:
        raise ConnectionLost(f"{type(exc).__name__}: {exc}") from exc
    return {"status": status, "headers": headers, "body": base64.b64encode(body).decode("ascii")}


def encode(request: Mapping[str, Any]) -> bytes:
    """Return the bytes of *request*, or raise VendorRuntimeError (PF6004)."""
    try:
        method, target = request["method"], request["path"]
        headers = [(name, value) for name, value in request.get("headers") or ()]
        body = base64.b64decode(request.get("body") or "", validate=True)
        if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
            raise ValueError(f"not a request line: {method!r} {target!r}")
        for name, value in headers:
            if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError(f"not a header: {name!r}: {value!r}")
    except (KeyError, TypeError, ValueError) as exc:
        raise VendorRuntimeError(
            "PF6004", f"not an HTTP request: {type(exc).__name__}: {exc}"
        ) from exc
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        headers.insert(0, ("Host", "localhost"))
    if (body or method in _WITH_BODY) and not names & {"content-length", "transfer-encoding"}:
        headers.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _left(clock: Clock) -> float:
    left = clock.left()
    if not left:
        raise TimeoutError
    return left


def _send(sock: socket.socket, data: bytes, clock: Clock) -> None:
    sock.settimeout(_left(clock))
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        # The server may have answered before it has read all.
        return


class _Source:
    """What HTTPResponse reads from: a socket whose every read ends when *clock* does."""

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self._sock = sock
        self._clock = clock

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a reader that does not own the socket."""
        return io.BufferedReader(_Reader(self._sock, self._clock))


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self._sock = sock
        self._clock = clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_left(self._clock))
        return self._sock.recv_into(buffer)


def reserve_port() -> tuple[int, socket.socket]:
    """Return a free port of 127.0.0.1 and a socket that keeps others from it while it is open.

    Linux lets gunicorn, which sets SO_REUSEADDR too, listen there nevertheless. Elsewhere the port
    is given back at once, and another process could take it first: the start would then fail.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    port: int = sock.getsockname()[1]
    if sys.platform != "linux":
        sock.close()
    return port, sock


def is_listening(port: int) -> bool:
    """Tell whether 127.0.0.1:*port* accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
