"""Reads and writes objects of a bucket: ``context.buckets["uploads"]``. Ships.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

from __future__ import annotations

from portafaas.runtime.resources import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Bytes of a key (all three: 1024).
MAX_KEY = 1024


class Bucket(Client):
    """One bucket that the function may read, write or both."""

    __slots__ = ()

    kind = "bucket"

    def read(self, key: str) -> bytes:
        """Return an object's content; raises NotFound when there is none of that *key*."""
        self._check("read")
        content: bytes = self._driver().read(self._address(), _checked(key))
        return content

    def write(self, key: str, data: Any, content_type: str | None = None) -> None:
        """Store *data*, bytes or str (as UTF-8), in place of what is there."""
        self._check("write")
        if isinstance(data, str):
            data = data.encode("utf-8")
            content_type = content_type or "text/plain; charset=utf-8"
        elif not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"an object's data is bytes or str, not {type(data).__name__!r}")
        if content_type is not None and not (content_type.isascii() and content_type.isprintable()):
            raise ValueError(f"content type {content_type!r} is no header value")
        self._driver().write(self._address(), _checked(key), bytes(data), content_type)

    def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        self._check("write")
        self._driver().delete(self._address(), _checked(key))


def _checked(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"an object's key is text, not {type(key).__name__!r}")
    size = len(key.encode("utf-8"))
    if not 0 < size <= MAX_KEY:
        raise ValueError(f"an object's key has 1 to {MAX_KEY} bytes, not {size}")
    # Cloud Storage refuses line ends, "." and ".."; Blob Storage takes path segments apart.
    if any(char < " " or char == "\x7f" for char in key):
        raise ValueError("an object's key may not hold control characters")
    if key in (".", "..") or any(part in (".", "..") for part in key.split("/")):
        raise ValueError("'.' and '..' may not stand in an object's key")
    return key
