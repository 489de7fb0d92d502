"""Tables: rows of ``items``."""

from __future__ import annotations

import json
from time import time

from .store import effect, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.rows import Row, Write


def get_row(address: str, key: dict[str, Any]) -> Row | None:
    """Return the row with that key, or None."""
    with opened(address) as (connection, name):
        return _current(connection, name, key)


def query(
    address: str,
    key: tuple[str, str],
    sort: str,
    prefix: str | None,
    first: str | None,
    last: str | None,
    descending: bool,
    limit: int,
    after: str | None,
) -> tuple[list[Row], bool]:
    """Return rows with *key* in the order of their sort keys, and whether more follow."""
    where, values = "name = ? and key = ?", [key[1]]
    for condition, text in (
        ("sort >= ?", prefix if first is None else first),
        ("sort <= ?", last),
        ("sort < ?" if descending else "sort > ?", after),
        ("substr(sort, 1, length(?)) = ?", prefix),
    ):
        if text is not None:
            where += f" and {condition}"
            values += [text] * condition.count("?")
    order = "desc" if descending else "asc"
    with opened(address) as (connection, name):
        found = connection.execute(
            f"select row, version from items where {where} order by sort {order} limit ?",
            (name, *values, limit + 1),
        ).fetchall()
    return [_row(*each) for each in found[:limit]], len(found) > limit


def scan(address: str) -> Iterator[Row]:
    """Yield every row, a hundred at a time."""
    last = ("", "")
    while True:
        with opened(address) as (connection, name):
            page = connection.execute(
                "select key, sort, row, version from items "
                "where name = ? and (key, sort) > (?, ?) order by key, sort limit 100",
                (name, *last),
            ).fetchall()
        yield from (_row(row, version) for _, _, row, version in page)
        if not page:
            return
        last = page[-1][:2]


def write_row(address: str, write: Write, ttl: str) -> Row | None:
    """Do one write and return the row after it; raises as ``portafaas.runtime.rows.apply``."""
    with opened(address) as (connection, name):
        return _write(connection, name, write, ttl)


def commit(address: str, writes: Sequence[Write], ttl: str) -> None:
    """Do all writes or none."""
    with opened(address) as (connection, name):
        for write in writes:
            _write(connection, name, write, ttl)


def _write(connection: sqlite3.Connection, name: str, write: Write, ttl: str) -> Row | None:
    from portafaas.runtime.resources import new_id
    from portafaas.runtime.rows import Row, apply

    row = apply(_current(connection, name, write.key), write, ttl, time())
    if row is None:
        connection.execute(
            "delete from items where name = ? and key = ? and sort = ?", _place(name, write.key)
        )
        effect(connection, kind="table", name=name, verb="delete", key=write.key)
        return None
    made = Row(row, new_id())
    connection.execute(
        "insert or replace into items (name, key, sort, row, version) values (?, ?, ?, ?, ?)",
        (*_place(name, write.key), json.dumps(row, ensure_ascii=False), made.version),
    )
    effect(connection, kind="table", name=name, verb=write.kind, row=row)
    return made


def _current(connection: sqlite3.Connection, name: str, key: dict[str, Any]) -> Row | None:
    found = connection.execute(
        "select row, version from items where name = ? and key = ? and sort = ?",
        _place(name, key),
    ).fetchone()
    return None if found is None else _row(*found)


def _row(row: str, version: str) -> Row:
    from portafaas.runtime.rows import Row

    return Row(json.loads(row), version)


def _place(name: str, key: dict[str, Any]) -> tuple[str, str, str]:
    first, *rest = key.values()
    return name, first, rest[0] if rest else ""
