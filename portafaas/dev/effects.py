"""What invocations have sent and written, and what other code tells of them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portafaas.local.driver.portafaas_local_resources import database


def taken(folder: Path, marks: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Return what was sent and written under *marks*, and forget it."""
    found: dict[str, list[dict[str, Any]]] = {}
    with contextlib.suppress(sqlite3.Error, OSError):
        connection = database(str(folder))
        try:
            for start in range(0, len(marks), 500):
                part = marks[start : start + 500]
                holes = ", ".join("?" * len(part))
                rows = connection.execute(
                    f"select number, run, effect from effects where run in ({holes}) "
                    "order by number",
                    part,
                ).fetchall()
                for _, run, effect in rows:
                    found.setdefault(run, []).append(json.loads(effect))
                if rows:
                    connection.execute(f"delete from effects where run in ({holes})", part)
        finally:
            connection.close()
    return found


def spans_of(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield trace id and span, as records have it, of an ExportTraceServiceRequest as JSON.

    Raises KeyError, TypeError or ValueError for what is none.
    """
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                start = int(span["startTimeUnixNano"]) / 1e9
                yield (
                    span["traceId"],
                    {
                        "name": str(span.get("name", "")),
                        "start": start,
                        "seconds": max(0.0, int(span["endTimeUnixNano"]) / 1e9 - start),
                        "status": "error" if span.get("status", {}).get("code") == 2 else "ok",
                        "span_id": span["spanId"],
                        "parent": span.get("parentSpanId", ""),
                    },
                )
