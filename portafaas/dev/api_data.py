"""What lies in the store on this machine: tables and buckets, page by page."""

from __future__ import annotations

import json
from typing import Any

from portafaas.dev.api_http import SHOWN, Call, Raw, Refused, shown
from portafaas.dev.api_store import opened

#: Objects whose key begins so are portafaas' own.
_OWN = "pf-claims/"


def tables(call: Call) -> list[dict[str, Any]]:
    """Return the tables and how many rows each has."""
    with opened(call.dev) as connection:
        counts = dict(connection.execute("select name, count(*) from items group by name"))
    return [
        {"name": t.name, "key": t.key, "sort": t.sort, "ttl": t.ttl, "rows": counts.get(t.name, 0)}
        for t in call.dev.plan.tables
    ]


def rows(call: Call) -> dict[str, Any]:
    """Return a page of a table's rows, in the order of their keys.

    Query: ``prefix`` of the key, ``limit``, ``after`` (of the page before).
    """
    plan, name = call.dev.plan, call.params["table"]
    table = next((t for t in plan.tables if t.name == name), None)
    if table is None:
        raise Refused(404, "PF8059", f"there is no table {name!r}")
    limit = call.number("limit", 50, 500)
    prefix = call.query.get("prefix", "")
    key, sort = _cursor(call.query.get("after"))
    with opened(call.dev) as connection:
        found = connection.execute(
            "select key, sort, substr(row, 1, ?), length(row) from items where name = ? "
            "and (key, sort) > (?, ?) and substr(key, 1, length(?)) = ? "
            "order by key, sort limit ?",
            (SHOWN, name, key, sort, prefix, prefix, limit + 1),
        ).fetchall()
        (total,) = connection.execute(
            "select count(*) from items where name = ?", (name,)
        ).fetchone()
    part = found[:limit]
    return {
        "table": {"name": name, "key": table.key, "sort": table.sort, "ttl": table.ttl},
        "total": total,
        # Rows that are too long to be handed out are text, cut.
        "rows": [
            {"key": k, "sort": s, "size": size}
            | ({"row": json.loads(text)} if size <= SHOWN else {"text": text})
            for k, s, text, size in part
        ],
        "after": json.dumps([part[-1][0], part[-1][1]]) if len(found) > limit else None,
    }


def _cursor(text: str | None) -> tuple[str, str]:
    if not text:
        return "", ""
    try:
        key, sort = json.loads(text)
        return str(key), str(sort)
    except (ValueError, TypeError):
        raise Refused(422, "PF8059", "after must be that of the page before") from None


def buckets(call: Call) -> list[dict[str, Any]]:
    """Return the buckets, how many objects each has, and their bytes."""
    with opened(call.dev) as connection:
        counts = {
            name: facts
            for name, *facts in connection.execute(
                "select name, count(*), sum(length(data)) from objects group by name"
            )
        }
    return [
        {"name": b.name, "objects": counts.get(b.name, (0, 0))[0],
         "size": counts.get(b.name, (0, 0))[1]}
        for b in call.dev.plan.buckets
    ]  # fmt: skip


def objects(call: Call) -> dict[str, Any]:
    """Return a page of a bucket's objects, in the order of their keys."""
    name = _bucket(call)
    limit = call.number("limit", 50, 500)
    prefix, after = call.query.get("prefix", ""), call.query.get("after", "")
    with opened(call.dev) as connection:
        found = connection.execute(
            "select key, length(data), content_type, etag, modified from objects "
            "where name = ? and key > ? and substr(key, 1, length(?)) = ? order by key limit ?",
            (name, after, prefix, prefix, limit + 1),
        ).fetchall()
        (total,) = connection.execute(
            "select count(*) from objects where name = ?", (name,)
        ).fetchone()
    names = ("key", "size", "content_type", "etag", "modified")
    part = [
        dict(zip(names, row, strict=True)) | {"own": row[0].startswith(_OWN)}
        for row in found[:limit]
    ]
    return {
        "bucket": name,
        "total": total,
        "objects": part,
        "after": part[-1]["key"] if len(found) > limit else None,
    }


def content(call: Call) -> dict[str, Any] | Raw:
    """Return an object; with ``?download`` the bytes themselves, as a file to be saved."""
    name, key = _bucket(call), call.params["key"]
    with opened(call.dev) as connection:
        row = connection.execute(
            "select data, content_type, etag, modified from objects where name = ? and key = ?",
            (name, key),
        ).fetchone()
    if row is None:
        raise Refused(404, "PF8059", f"bucket {name!r} has no object {key!r}")
    data = bytes(row[0])
    if "download" in call.query:
        # Never shown as a page: it would be one of ours.
        return Raw(
            data,
            (
                ("content-type", "application/octet-stream"),
                ("content-disposition", "attachment"),
                ("content-security-policy", "sandbox; default-src 'none'"),
                ("cache-control", "no-store"),
            ),
        )
    return {
        "bucket": name, "key": key, "content_type": row[1], "etag": row[2], "modified": row[3],
        "body": shown(data),
    }  # fmt: skip


def _bucket(call: Call) -> str:
    name = call.params["bucket"]
    if name not in {bucket.name for bucket in call.dev.plan.buckets}:
        raise Refused(404, "PF8059", f"there is no bucket {name!r}")
    return name
