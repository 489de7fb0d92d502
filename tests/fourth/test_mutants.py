"""The kit can fail: adapters that are wrong in one line each, and the case that says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

#: name -> (file, what it says, what it says instead, cases that notice, a case that does not)
MUTANTS: dict[str, tuple[str, str, str, tuple[str, ...], str]] = {
    "drops-duplicate-headers": (
        "runtime/http.py",
        "headers=fields,",
        "headers=dict(fields),",
        ("http-header-duplicate", "http-header-three", "http-header-accept"),
        "http-header-one",
    ),
    "decodes-path-twice": (
        "runtime/http.py",
        "percent_decode(path),",
        "percent_decode(percent_decode(path)),",
        ("http-path-double-encoded", "http-asgi-encoded", "http-wsgi-encoded"),
        "http-path-space",
    ),
    "leaves-path-encoded": (
        "runtime/http.py",
        "percent_decode(path),",
        "path,",
        ("http-path-space", "http-path-utf8", "http-params-encoded"),
        "http-path-plain",
    ),
    "loses-repeated-query": (
        "runtime/http.py",
        "query=query,",
        'query="&".join({pair.partition("=")[0]: pair for pair in query.split("&")}.values()),',
        ("http-query-multi", "http-query-multi-mixed", "http-query-multi-same"),
        "http-query-two",
    ),
    "drops-cookies": (
        "runtime/http.py",
        "for text in response.cookies]",
        "for text in response.cookies[:1]]",
        ("reply-cookies", "reply-cookie-header", "http-wsgi"),
        "reply-cookie",
    ),
    "takes-bodies-for-text": (
        "runtime/http.py",
        'body=a2b_base64(sent["body"]),',
        'body=a2b_base64(sent["body"]).decode("utf-8", "replace"),',
        ("http-body-binary", "http-body-text-latin1", "http-body-image"),
        "http-body-json",
    ),
    "takes-underscores-for-dashes": (
        "runtime/http.py",
        '(name, text) for name, text in sent["fields"] if "_" not in name',
        '(name.replace("_", "-"), text) for name, text in sent["fields"]',
        ("http-header-underscore",),
        "http-header-one",
    ),
    "loses-attempt": (
        "runtime/queue.py",
        'attempt=letter["tries"],',
        "",
        ("queue-attempt", "queue-many-attempts"),
        "queue-first-attempt",
    ),
    "acknowledges-failed-message": (
        "runtime/queue.py",
        'return {"returned": failed}',
        'return {"returned": []}',
        ("queue-raise", "queue-many-some-fail", "batch-partial"),
        "queue-body-json",
    ),
    "returns-the-whole-batch": (
        "runtime/queue.py",
        'return {"returned": failed}',
        'return {"returned": [m.id for m in messages] if failed else []}',
        ("queue-many-some-fail", "batch-partial", "queue-many-exit"),
        "batch-all-fail",
    ),
    "swallows-failed-event": (
        "runtime/common.py",
        "            run_event(function, found, context_of(function, event, facts, trace))\n",
        "            try:\n"
        "                run_event(function, found, context_of(function, event, facts, trace))\n"
        "            except Exception:\n"
        "                pass\n",
        ("topic-raise", "object-raise", "table-upsert-raise", "schedule-raise"),
        "topic-cloudevent",
    ),
    "ignores-daylight-saving": (
        "runtime/schedule.py",
        "if not should_fire(cron, timezone, moment):",
        "if False:",
        ("schedule-skipped-hour", "schedule-repeated-hour-second", "schedule-weekend"),
        "schedule-utc",
    ),
    "leaves-object-key-encoded": (
        "runtime/object.py",
        'key = percent_decode(file["name"])',
        'key = file["name"]',
        ("object-key-space", "object-key-utf8"),
        "object-created",
    ),
    "loses-ordering-key": (
        "runtime/queue.py",
        'key=letter["lane"] if function.trigger["ordered"] else None,',
        "",
        ("ordered", "ordered-key-text"),
        "queue-many",
    ),
    "lets-underscores-through": (
        "runtime/http.py",
        'for name, text in sent["fields"] if "_" not in name]',
        'for name, text in sent["fields"]]',
        ("http-header-underscore",),
        "http-header-one",
    ),
    "shows-labels-of-its-own": (
        "runtime/common.py",
        ' if not name.startswith("pf-")',
        "",
        ("queue-labels-hidden", "topic-labels-hidden"),
        "queue-attributes",
    ),
    "loses-trace": (
        "runtime/common.py",
        "trace_parent=trace_parent,",
        "",
        ("http-trace", "queue-trace", "topic-trace"),
        "http-context",
    ),
    "loses-key-of-topic": (
        "runtime/topic.py",
        'key=notice["lane"],',
        "",
        ("topic-key",),
        "topic-plain",
    ),
    "loses-etag": (
        "runtime/object.py",
        'etag=file["tag"],',
        "",
        ("object-created",),
        "object-deleted",
    ),
    "loses-id-of-change": (
        "runtime/table.py",
        'event["event"],',
        'str(row["key"]),',
        ("table-upsert-insert", "table-upsert-update"),
        "table-upsert-after",
    ),
    "loses-time-of-change": (
        "runtime/table.py",
        'time=row["at"],',
        "",
        ("table-upsert-insert", "table-upsert-update"),
        "table-upsert-after",
    ),
    "acknowledges-what-cannot-start": (
        "runtime/queue.py",
        "failed = [message.id for message in messages]",
        "failed = []",
        ("queue-broken-handler", "queue-broken-handler-again"),
        "queue-raise",
    ),
}


@pytest.mark.vendor
@pytest.mark.parametrize("name", MUTANTS)
def test_the_kit_catches(name: str, installed: Path, tmp_path: Path, run_suite: Run) -> None:
    file, right, wrong, noticed, unnoticed = MUTANTS[name]
    site = tmp_path / "site"
    shutil.copytree(installed, site)
    path = site / "portafaas_example" / file
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    report = run_suite(site, *noticed, unnoticed)
    assert not report.errors and not report.skipped, report.output
    assert sorted(report.failed) == sorted(noticed), report.output
    # Caught for what is wrong, and not because nothing works any more.
    assert report.passed == (unnoticed,)
