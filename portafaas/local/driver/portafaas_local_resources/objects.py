"""Buckets: rows of ``objects``, whole in memory, as SQLite has them anyway."""

# ruff: noqa: PTH119 (plain strings: pathlib costs the handler time)
from __future__ import annotations

import os
from time import time

from portafaas.runtime.resources import Conflict, NotFound

from .store import effect, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from portafaas.runtime.objects import ObjectInfo

#: What :func:`_info` takes.
_FACTS = "key, length(data), etag, modified"


def read(address: str, key: str) -> bytes:
    """Return an object's content; raises NotFound."""
    with opened(address) as (connection, name):
        found = connection.execute(
            "select data from objects where name = ? and key = ?", (name, key)
        ).fetchone()
    if found is None:
        raise NotFound(f"bucket {name!r} has no object {key!r}")
    return bytes(found[0])


def read_range(address: str, key: str, start: int, size: int, etag: str) -> bytes:
    """Return *size* bytes from *start*; raises Conflict when the object has another etag."""
    with opened(address) as (connection, name):
        found = connection.execute(
            "select etag, substr(data, ?, ?) from objects where name = ? and key = ?",
            (start + 1, size, name, key),
        ).fetchone()
    if found is None or found[0] != etag:
        raise Conflict(f"object {key!r} of bucket {name!r} has been replaced")
    return bytes(found[1])


def stat(address: str, key: str) -> ObjectInfo:
    """Return what is known of an object; raises NotFound."""
    with opened(address) as (connection, name):
        found = connection.execute(
            f"select {_FACTS}, content_type from objects where name = ? and key = ?", (name, key)
        ).fetchone()
    if found is None:
        raise NotFound(f"bucket {name!r} has no object {key!r}")
    return _info(*found)


def _info(
    key: str, size: int, etag: str, modified: float, content_type: str | None = None
) -> ObjectInfo:
    from datetime import datetime, timezone

    from portafaas.runtime.objects import ObjectInfo

    time = datetime.fromtimestamp(modified, timezone.utc)  # noqa: UP017 (Python 3.10)
    return ObjectInfo(key, size, etag, time, content_type)


def list_objects(
    address: str, prefix: str, after: str | None, limit: int
) -> tuple[list[ObjectInfo], str | None]:
    """Return objects in the order of their keys, and the cursor: the last key."""
    with opened(address) as (connection, name):
        found = connection.execute(
            f"select {_FACTS} from objects where name = ? and key > ? "
            "and substr(key, 1, length(?)) = ? order by key limit ?",
            (name, after or "", prefix, prefix, limit + 1),
        ).fetchall()
    cursor = found[limit - 1][0] if len(found) > limit else None
    return [_info(*each) for each in found[:limit]], cursor


def signed_url(address: str, key: str, method: str, expires: int, content_type: str | None) -> str:
    """Return a URL that leads nowhere, for a function to hand out: nothing is served here."""
    from portafaas.runtime.text import percent_encode

    name = os.path.basename(address)
    path = "/".join(percent_encode(part) for part in key.split("/"))
    return f"https://{name}.invalid/{path}?method={method}&expires={int(time()) + expires}"


def write_parts(
    address: str,
    key: str,
    parts: Iterator[bytes],
    content_type: str | None,
    if_absent: bool,
) -> None:
    """Store an object of parts: whole in memory, as SQLite has it anyway."""
    write(address, key, b"".join(parts), content_type, if_absent)


def write(
    address: str, key: str, data: bytes, content_type: str | None, if_absent: bool = False
) -> None:
    """Store an object; raises Conflict when there is one and *if_absent*."""
    from portafaas.runtime.resources import new_id

    with opened(address) as (connection, name):
        if (
            if_absent
            and connection.execute(
                "select 1 from objects where name = ? and key = ?", (name, key)
            ).fetchone()
        ):
            raise Conflict(f"bucket {name!r} has an object {key!r}")
        connection.execute(
            "insert or replace into objects (name, key, data, content_type, etag, modified) "
            "values (?, ?, ?, ?, ?, ?)",
            (name, key, data, content_type, new_id(), time()),
        )
        effect(
            connection, kind="bucket", name=name, verb="write", key=key, size=len(data),
            content_type=content_type,
        )  # fmt: skip


def delete(address: str, key: str) -> None:
    """Delete an object, if there is one."""
    with opened(address) as (connection, name):
        connection.execute("delete from objects where name = ? and key = ?", (name, key))
        effect(connection, kind="bucket", name=name, verb="delete", key=key)
