"""What a pool's processes take requests from, and how each is told what to be."""

from __future__ import annotations

import contextlib
import errno
import marshal
import socket
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from portafaas.dev.frames import LENGTH


class Channel:
    """A socket that keeps messages apart; what it has no room for waits in ``backlog``."""

    def __init__(self) -> None:
        self._ours, self._theirs = _messages()
        self.backlog: deque[bytes] = deque()

    def fileno(self) -> int:
        """Return the descriptor that processes read."""
        return self._theirs.fileno()

    def put(self, message: bytes) -> None:
        """Have a process get *message* when one is free."""
        if self.backlog:
            self.backlog.append(message)
        else:
            self._send(message)

    def more(self) -> None:
        """Send of the backlog what there is room for."""
        backlog = self.backlog
        while backlog:
            message = backlog.popleft()
            before = len(backlog)
            self._send(message)
            if len(backlog) > before:
                return

    def _send(self, message: bytes) -> None:
        try:
            self._ours.send(message)
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS):
                raise
            # They have enough to do: the rest is sent when there are answers.
            self.backlog.appendleft(message)

    def close(self) -> None:
        """Forget what nobody has taken."""
        self._ours.close()
        self._theirs.close()
        self.backlog.clear()


def _messages() -> tuple[socket.socket, socket.socket]:
    """Return a socket that keeps messages apart: what is sent to one, and read from the other."""
    kind = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    for each in (ours, theirs):
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
    ours.setblocking(False)
    return ours, theirs


def tell(ours: socket.socket, what: Mapping[str, Any], descriptors: Iterable[int]) -> None:
    """Say to a new process what to be; the *descriptors* go with it."""
    data = marshal.dumps(dict(what))
    frame = LENGTH.pack(len(data)) + data
    sent = socket.send_fds(ours, [frame], list(descriptors))
    ours.sendall(frame[sent:])
