"""Reads and writes objects of a bucket: ``context.buckets["uploads"]``. Ships.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

from __future__ import annotations

from portafaas.runtime.resources import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BufferedReader
    from typing import Any

    from portafaas.runtime.objects import ObjectInfo
    from portafaas.runtime.rows import Page

#: Bytes of a key (all three: 1024).
MAX_KEY = 1024
#: Prefix of what portafaas keeps in a bucket for itself: ``control.CLAIMS``.
OWN = "pf-claims/"
#: Objects of a page unless told otherwise, and at most (S3: 1000).
PAGE = 100
MAX_PAGE = 1000
#: Seconds that a signed URL may be good for (all three: 7 days).
MAX_EXPIRES = 7 * 24 * 3600


class Bucket(Client):
    """One bucket that the function may read, write or both."""

    __slots__ = ()

    kind = "bucket"

    def read(self, key: str) -> bytes:
        """Return an object's content; raises NotFound when there is none of that *key*."""
        self._check("read")
        content: bytes = self._driver().read(self._address(), _checked(key))
        return content

    def open(self, key: str) -> BufferedReader:
        """Return a binary file that fetches the object range by range, for a ``with``.

        It can be sought. Raises NotFound when there is no such object; reading raises Conflict when
        it has been replaced meanwhile.
        """
        from io import BufferedReader

        from portafaas.runtime.objects import CHUNK, ObjectReader

        info = self.stat(key)
        driver, address = self._driver(), self._address()

        def fetch(start: int, size: int) -> bytes:
            data: bytes = driver.read_range(address, info.key, start, size, info.etag)
            return data

        return BufferedReader(ObjectReader(info, fetch), CHUNK)

    def stat(self, key: str) -> ObjectInfo:
        """Return size, etag, time and content type of an object; raises NotFound."""
        self._check("read")
        found: ObjectInfo = self._driver().stat(self._address(), _checked(key))
        return found

    def list(self, prefix: str = "", *, after: str | None = None, limit: int | None = None) -> Page:
        """Return a page of the objects whose keys begin with *prefix*, in the order of their keys.

        At most *limit* (1 to 1000, by default 100), fewer than there are too; *after* is the
        ``cursor`` of the page before. ``list(...).all()`` yields the objects of all pages.
        """
        from portafaas.runtime.rows import Page

        self._check("read")
        if not isinstance(prefix, str):
            raise TypeError(f"a prefix is text, not {type(prefix).__name__!r}")
        if prefix:
            _sized(prefix)
        size = PAGE if limit is None else limit
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"limit is a number, not {limit!r}")
        if not 0 < size <= MAX_PAGE:
            raise ValueError(f"limit is 1 to {MAX_PAGE}, not {limit}")
        if after is not None and not isinstance(after, str):
            raise TypeError(f"after is the cursor of a page, text, not {after!r}")
        found, cursor = self._driver().list_objects(self._address(), prefix, after, size)
        if not OWN.startswith(prefix) and not prefix.startswith(OWN):
            return Page(found, cursor, lambda next_: self.list(prefix, after=next_, limit=limit))
        found = [each for each in found if not each.key.startswith(OWN)]
        return Page(found, cursor, lambda next_: self.list(prefix, after=next_, limit=limit))

    def write(
        self, key: str, data: Any, content_type: str | None = None, if_absent: bool = False
    ) -> None:
        """Store *data* in place of what is there; the object is there when all of it is.

        *data* is bytes, str (as UTF-8), a binary file or an iterable of bytes; of the last two only
        some MiB are in memory at a time. With *if_absent* an object that is there raises Conflict.
        """
        self._check("write")
        if isinstance(data, str):
            data = data.encode("utf-8")
            content_type = content_type or "text/plain; charset=utf-8"
        elif not isinstance(data, (bytes, bytearray, memoryview)) and (
            hasattr(data, "items")
            or not (hasattr(data, "read") or hasattr(data, "__iter__"))
        ):
            raise TypeError(
                "an object's data is bytes or str, a binary file or an iterable of bytes, not "
                f"{type(data).__name__!r}"
            )
        _header(content_type)
        key = _checked(key)
        driver, address = self._driver(), self._address()
        if isinstance(data, (bytes, bytearray, memoryview)):
            driver.write(address, key, bytes(data), content_type, bool(if_absent))
            return
        from itertools import chain

        from portafaas.runtime.objects import parts, pieces

        found = parts(pieces(data))
        one = next(found)
        two = next(found, None)
        if two is None:
            driver.write(address, key, one, content_type, bool(if_absent))
        else:
            driver.write_parts(
                address, key, chain((one, two), found), content_type, bool(if_absent)
            )

    def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        self._check("write")
        self._driver().delete(self._address(), _checked(key))

    def signed_url(
        self,
        key: str,
        method: str = "GET",
        expires: float = 3600,
        content_type: str | None = None,
    ) -> str:
        """Return a URL that lets whoever has it read (GET) or store (PUT) the object.

        For *expires* seconds, at most 7 days, and no longer than the function's own right lasts. A
        PUT must send *content_type* as ``Content-Type`` when it is given. A GET needs the grant to
        read, a PUT the one to write. Nothing is asked of the bucket: there may be no such object.
        """
        if method not in ("GET", "PUT"):
            raise ValueError(f"a URL is signed for GET or PUT, not {method!r}")
        self._check("read" if method == "GET" else "write")
        if isinstance(expires, bool) or not isinstance(expires, (int, float)):
            raise TypeError(f"expires is a number of seconds, not {expires!r}")
        if not 1 <= expires <= MAX_EXPIRES:
            raise ValueError(f"expires is 1 to {MAX_EXPIRES} seconds, not {expires}")
        if content_type is not None and method == "GET":
            raise ValueError("content_type is of a PUT")
        _header(content_type)
        url: str = self._driver().signed_url(
            self._address(), _checked(key), method, int(expires), content_type
        )
        return url


def _header(content_type: str | None) -> None:
    if content_type is not None and not (content_type.isascii() and content_type.isprintable()):
        raise ValueError(f"content type {content_type!r} is no header value")


def _checked(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"an object's key is text, not {type(key).__name__!r}")
    _sized(key)
    if key in (".", "..") or any(part in (".", "..") for part in key.split("/")):
        raise ValueError("'.' and '..' may not stand in an object's key")
    if key.startswith(OWN):
        raise ValueError(f"keys that begin with {OWN!r} are portafaas' own")
    return key


def _sized(key: str) -> None:
    size = len(key.encode("utf-8"))
    if not 0 < size <= MAX_KEY:
        raise ValueError(f"an object's key has 1 to {MAX_KEY} bytes, not {size}")
    # Cloud Storage refuses line ends, "." and ".."; Blob Storage takes path segments apart.
    if any(char < " " or char == "\x7f" for char in key):
        raise ValueError("an object's key may not hold control characters")
