"""uvicorn's protocol, with head and body of an answer written at once.

Each write to a socket is a call of the system and a packet; uvicorn makes two of an answer. Only
asyncio's own contract is used: what a protocol is given as its transport is wrapped.
"""

from __future__ import annotations

import asyncio
from typing import Any

_SIZED = b"\r\ncontent-length: "


class Gathering:
    """A transport that keeps the head of an answer until its body is written.

    That of an answer whose length is said, which is how it is known that there will be a write of a
    body; ``portafaas.dev.server`` says none in answers to HEAD.
    """

    __slots__ = ("_head", "_to", "_write")

    def __init__(self, to: Any) -> None:
        self._to = to
        self._write = to.write
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write *data*, or keep it until the rest is there."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data[:5] == b"HTTP/" and _SIZED in data and data[-4:] == b"\r\n\r\n":
            self._head = data
            return
        self._write(data)

    def close(self) -> None:
        """Write what is kept, and close."""
        if self._head:
            self._write(self._head)
            self._head = b""
        self._to.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)


def protocol() -> type[asyncio.Protocol]:
    """Return the protocol that uvicorn is to use: httptools' where it is installed."""
    base: Any
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as base
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol as base

    class Gathered(base):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(Gathering(transport))

    made: type[asyncio.Protocol] = Gathered
    return made
