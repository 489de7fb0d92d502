"""What ``portafaas.dev`` and a function's process say to each other.

A frame of the stream is its length (4 bytes, little-endian) and a value of ``marshal``: both ends
are the same Python. A message of the socket is such a value alone; one that is too long for it
names a file with the value.
"""

from __future__ import annotations

import marshal
import os
import socket
import struct
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What messages of the socket are.
HTTP, EVENT, END, FILE = 0, 1, 2, 3
#: What frames of the stream are.
READY, ANSWER, LOG = 0, 1, 2
#: How an http invocation went; beyond OK the answer's notes have the error.
OK, REFUSED, ERROR, TIMEOUT = 0, 1, 2, 3
#: Which request a thread is at, and since when on the monotonic clock; 0 for none.
SLOT = struct.Struct("<Qd")
LENGTH = struct.Struct("<I")
#: Bytes of the longest message of the socket.
LONGEST = 65_536


class Stream:
    """The process' way to who started this process; frames of several threads do not mix."""

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()

    def send(self, value: tuple[Any, ...]) -> None:
        """Send a frame, as a whole."""
        data = marshal.dumps(value)
        frame = LENGTH.pack(len(data)) + data
        # The deadline's signal must not leave half a frame behind.
        with self._lock:
            whole_frame(self.socket, frame)

    def first(self) -> tuple[dict[str, Any], list[int]]:
        """Return what to be, and the descriptors that come with it."""
        data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 16, 8)
        if not data:
            raise SystemExit(0)
        (size,) = LENGTH.unpack_from(data)
        while len(data) < size + 4:
            data += self.socket.recv(1 << 20)
        return marshal.loads(data[4:]), descriptors

    def watch(self) -> None:
        """End this process when nobody is at the other end."""
        while True:
            try:
                if not self.socket.recv(1):
                    break
            except OSError:
                break
        os._exit(0)


def whole_frame(to: socket.socket, frame: bytes) -> None:
    """Send all of *frame*; ``portafaas.runtime.deadline`` lets this come to its end."""
    try:
        sent = to.send(frame)
        while sent < len(frame):
            sent += to.send(frame[sent:])
    except OSError:
        # Nobody is there to hear it: watch() ends the process.
        return


def read(file: str) -> Any:
    """Return the message that is in *file*, and remove that."""
    with open(file, "rb") as opened:  # noqa: PTH123 (pathlib would have to be imported)
        order = marshal.loads(opened.read())
    os.unlink(file)  # noqa: PTH108
    return order
