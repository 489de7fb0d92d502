"""Facts, readers and parts of a bucket's objects. Ships; loaded with the first bucket."""

from __future__ import annotations

from io import RawIOBase, UnsupportedOperation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from typing import Any

#: Bytes of a part of what is written in parts (S3: 5 MiB to 5 GiB, 10 000 of them; Cloud Storage: a
#: multiple of 256 KiB).
PART = 8 * 1024 * 1024
#: Bytes that a reader asks for at once.
CHUNK = 1024 * 1024


class ObjectInfo:
    """What is known of an object.

    Attributes:
        key: text.
        size: bytes.
        etag: opaque text that is another one when the content is.
        modified: when it was written (datetime in UTC).
        content_type: of ``stat``; None in lists.
    """

    __slots__ = ("content_type", "etag", "key", "modified", "size")

    def __init__(
        self, key: str, size: int, etag: str, modified: datetime, content_type: str | None = None
    ) -> None:
        self.key = key
        self.size = size
        self.etag = etag
        self.modified = modified
        self.content_type = content_type

    def __repr__(self) -> str:
        return f"<ObjectInfo {self.key!r} {self.size} bytes>"


class ObjectReader(RawIOBase):
    """A binary file that reads ranges of an object when they are asked for, and can be sought.

    All of what it reads is of one version; Conflict says that the object was replaced meanwhile.
    """

    def __init__(self, info: ObjectInfo, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self.info = info
        self._fetch = fetch
        self._place = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place; what is behind the end reads as nothing."""
        base = {0: 0, 1: self._place, 2: self.info.size}.get(whence)
        if base is None:
            raise UnsupportedOperation(f"whence {whence}")
        if base + offset < 0:
            raise ValueError("the place is before the start")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Read into *buffer* and return how many bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        size = min(len(view), self.info.size - self._place)
        if size <= 0:
            return 0
        data = self._fetch(self._place, size)
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


def pieces(data: Any) -> Iterator[bytes]:
    """Yield bytes of a binary file or an iterable of bytes; raises TypeError for other content."""
    if hasattr(data, "read"):
        while True:
            piece = data.read(CHUNK)
            if not piece:
                return
            yield _bytes(piece)
    for piece in data:
        yield _bytes(piece)


def _bytes(piece: Any) -> bytes:
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise TypeError(f"an object is made of bytes, not of {type(piece).__name__!r}")
    return bytes(piece)


def parts(content: Iterable[bytes], size: int = PART) -> Iterator[bytes]:
    """Yield the content in parts of *size* bytes, the last one less: never none, maybe empty."""
    held = bytearray()
    some = False
    for piece in content:
        held += piece
        while len(held) > size:
            some = True
            yield bytes(held[:size])
            del held[:size]
    if held or not some:
        yield bytes(held)
