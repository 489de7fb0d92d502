"""What handlers of topics, objects, tables and schedules see, and what comes again.

Long because it is all tables, of which a half would be no easier to read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from portafaas.adapter import (
    ChangeStimulus,
    MessageStimulus,
    ObjectStimulus,
    ScheduleStimulus,
    Stimulus,
    TopicStimulus,
)
from portafaas.testing.cases.model import ABSENT, TRACE, TRACED, Case

_FAILED = ("event",)
_CORE = {
    "ce-specversion": "1.0",
    "ce-id": "e-1",
    "ce-source": "/shop",
    "ce-type": "order.placed",
}


def _case(name: str, function: str, stimulus: Stimulus, **expected: Any) -> Case:
    return Case(name=name, function=function, stimulus=stimulus, **expected)


def _topic(
    body: bytes,
    attributes: dict[str, str] | None = None,
    content_type: str | None = "application/json",
    **facts: Any,
) -> TopicStimulus:
    return TopicStimulus(
        MessageStimulus("m-1", body, attributes or {}, content_type=content_type, **facts)
    )


def _topics() -> Iterator[Case]:
    yield _case(
        "topic-cloudevent", "on-event",
        _topic(b'{"order": 7}', {**_CORE, "ce-subject": "7", "ce-time": "2026-01-02T03:04:05.678Z"}),
        failed=(),
        seen=(
            {"class": "Event", "id": "e-1", "source": "/shop", "type": "order.placed", "subject": "7",
             "time": "2026-01-02T03:04:05.678Z", "data": {"order": 7}, "extensions": {},
             "attributes": {}, "datacontenttype": "application/json"},
        ),
    )  # fmt: skip
    yield _case(
        "topic-extensions", "on-event",
        _topic(b"{}", {**_CORE, "ce-tenant": "eu", "ce-traceparent": "00-ab-cd-01", "plain": "x"}),
        failed=(),
        seen=({"extensions": {"tenant": "eu", "traceparent": "00-ab-cd-01"}, "attributes": {"plain": "x"}},),
    )  # fmt: skip
    yield _case(
        "topic-time-precision", "on-event", _topic(b"{}", {**_CORE, "ce-time": "2026-01-02T03:04:05Z"}),
        failed=(), seen=({"time": "2026-01-02T03:04:05.000Z"},),
    )  # fmt: skip
    yield _case(
        "topic-schema", "on-event", _topic(b"{}", {**_CORE, "ce-dataschema": "https://s.example/1"}),
        failed=(), seen=({"dataschema": "https://s.example/1"},),
    )  # fmt: skip
    structured = {
        "specversion": "1.0",
        "id": "e-2",
        "source": "/shop",
        "type": "order.paid",
        "tenant": "eu",
        "datacontenttype": "application/json",
        "data": {"order": 8},
    }
    yield _case(
        "topic-structured", "on-event",
        _topic(json.dumps(structured).encode(), None, "application/cloudevents+json"),
        failed=(),
        seen=({"id": "e-2", "type": "order.paid", "data": {"order": 8}, "extensions": {"tenant": "eu"}},),
    )  # fmt: skip
    binary = {**structured, "data_base64": base64.b64encode(b"\x00\xff").decode()}
    del binary["data"]
    binary["datacontenttype"] = "application/octet-stream"
    yield _case(
        "topic-structured-binary", "on-event",
        _topic(json.dumps(binary).encode(), None, "application/cloudevents+json; charset=utf-8"),
        failed=(), seen=({"data": {"base64": base64.b64encode(b"\x00\xff").decode()}},),
    )  # fmt: skip
    broken = {
        "base64": b'{"specversion": "1.0", "id": "1", "data_base64": 7}',
        "list": b"[1]",
        "truncated": b'{"specversion": "1.0", "id"',
        "deep": b"[" * 100_000,
    }
    for name, body in broken.items():
        yield _case(
            f"topic-structured-bad-{name}", "on-event",
            _topic(body, None, "application/cloudevents+json"), failed=_FAILED, seen=(),
        )  # fmt: skip
    yield _case(
        "topic-plain", "on-event", _topic(b'{"a": 1}', {"origin": "web"}),
        failed=(),
        seen=(
            {"id": "m-1", "source": "/conformance/topics/news", "type": "portafaas.topic.message",
             "data": {"a": 1}, "attributes": {"origin": "web"}, "time": "2026-11-23T10:00:00.000Z"},
        ),
    )  # fmt: skip
    data: dict[str, tuple[bytes, str | None, Any]] = {
        "text": ("grüße".encode(), "text/plain", "grüße"),
        "json-suffix": (b"[1]", "application/vnd.shop+json", [1]),
        "json-invalid": (b"{no", "application/json", {"base64": base64.b64encode(b"{no").decode()}),
        "binary": (bytes(range(256)), "application/octet-stream",
                   {"base64": base64.b64encode(bytes(range(256))).decode()}),
        "no-type": (b"\x01\x02", None, {"base64": "AQI="}),
        "null": (b"null", "application/json", None),
        "unicode": ('"\U0001f6d2"'.encode(), "application/json", "\U0001f6d2"),
    }  # fmt: skip
    for name, (body, content_type, seen) in data.items():
        yield _case(
            f"topic-data-{name}", "on-event", _topic(body, dict(_CORE), content_type),
            failed=(), seen=({"data": seen, "datacontenttype": content_type},),
        )  # fmt: skip
    yield _case(
        "topic-raise",
        "on-event",
        _topic(b'{"do": "raise"}', dict(_CORE)),
        failed=_FAILED,
        seen=({},),
    )
    yield _case(
        "topic-exit", "on-event", _topic(b'{"do": "exit"}', dict(_CORE)), failed=_FAILED, seen=({},)
    )
    yield _case(
        "topic-hang", "on-event", _topic(b'{"do": "hang"}', dict(_CORE)), failed=_FAILED, seen=({},)
    )
    yield _case("topic-after-hang", "on-event", _topic(b"{}", dict(_CORE)), failed=(), seen=({},))
    yield _case(
        "topic-async",
        "on-event-async",
        _topic(b'{"a": 1}', dict(_CORE)),
        failed=(),
        seen=({"data": {"a": 1}},),
    )
    yield _case(
        "topic-async-raise",
        "on-event-async",
        _topic(b'{"do": "raise"}', dict(_CORE)),
        failed=_FAILED,
        seen=({},),
    )
    yield _case(
        "topic-attempt", "on-event", _topic(b"{}", dict(_CORE), attempt=2),
        failed=(), seen=({"attempt": 2, "context": {"attempt": 2}},),
    )  # fmt: skip
    filters: dict[str, tuple[dict[str, str], int]] = {
        "passes": ({**_CORE, "tier": "gold"}, 1),
        "other-value": ({**_CORE, "ce-type": "order.paid", "tier": "gold"}, 1),
        "wrong-type": ({**_CORE, "ce-type": "order.dropped", "tier": "gold"}, 0),
        "wrong-attribute": ({**_CORE, "tier": "silver"}, 0),
        "no-attribute": (dict(_CORE), 0),
        "extension": ({**_CORE, "ce-tier": "gold"}, 1),
        "case": ({**_CORE, "tier": "Gold"}, 0),
    }
    for name, (attributes, calls) in filters.items():
        yield _case(
            f"topic-filter-{name}", "on-placed", _topic(b"{}", attributes),
            failed=(), seen=({},) * calls,
        )  # fmt: skip

    yield _case(
        "topic-labels-hidden", "on-event", _topic(b"{}", {**_CORE, "pf-own": "1", "a": "b"}),
        failed=(), seen=({"attributes": {"a": "b", "pf-own": ABSENT}},),
    )  # fmt: skip
    yield _case(
        "topic-trace", "on-event", _topic(b"{}", {**_CORE, "traceparent": TRACE}),
        failed=(), seen=({"context": {"trace": TRACE, **TRACED}},),
    )  # fmt: skip
    yield _case(
        "topic-trace-extension", "on-event",
        _topic(b"{}", {**_CORE, "ce-traceparent": TRACE, "ce-tracestate": "rojo=00f067",
                       "ce-correlationid": "order-7/a"}),
        failed=(),
        seen=(
            {"context": {"trace": TRACE, **TRACED, "trace_state": "rojo=00f067",
                         "correlation": "order-7/a"}},
        ),
    )  # fmt: skip
    yield _case(
        "topic-key", "on-ordered-event", _topic(b"{}", dict(_CORE), key="customer-7"),
        failed=(), seen=({"key": "customer-7"},),
    )  # fmt: skip
    yield _case(
        "topic-broken-handler", "broken-event", _topic(b"{}", dict(_CORE)), failed=_FAILED, seen=(),
    )  # fmt: skip


def _objects() -> Iterator[Case]:
    yield _case(
        "object-created", "on-created",
        ObjectStimulus("created", "a.txt", 5, "abc", "2026-01-02T03:04:05.678Z", "0A1B"),
        failed=(),
        seen=(
            {"class": "ObjectEvent", "bucket": "all-files", "kind": "created", "key": "a.txt", "size": 5, "etag": "abc",
             "id": "a.txt@0A1B", "source": "/conformance/buckets/all-files", "subject": "a.txt",
             "type": "portafaas.object.created", "time": "2026-01-02T03:04:05.678Z"},
        ),
    )  # fmt: skip
    keys = {
        "folder": "in/2026/a.txt",
        "space": "a b.txt",
        "plus": "a+b.txt",
        "percent": "100%25.txt",
        "utf8": "grüße.txt",
        "astral": "\U0001f6d2.txt",
        "special": "a&b=c;d:e@f,g.txt",
        "quote": "it's.txt",
        "long": "x" * 400 + ".txt",
    }
    for name, key in keys.items():
        yield _case(
            f"object-key-{name}", "on-created", ObjectStimulus("created", key, 1),
            failed=(), seen=({"key": key, "subject": key},),
        )  # fmt: skip
    yield _case(
        "object-empty",
        "on-created",
        ObjectStimulus("created", "empty", 0),
        failed=(),
        seen=({"size": 0},),
    )
    yield _case(
        "object-huge", "on-created", ObjectStimulus("created", "huge", 5_000_000_000_000),
        failed=(), seen=({"size": 5_000_000_000_000},),
    )  # fmt: skip
    yield _case(
        "object-deletion-not-asked",
        "on-created",
        ObjectStimulus("deleted", "a"),
        failed=(),
        seen=(),
    )
    yield _case(
        "object-deleted", "on-removed", ObjectStimulus("deleted", "a.txt"),
        failed=(), seen=({"kind": "deleted", "size": None, "type": "portafaas.object.deleted"},),
    )  # fmt: skip
    yield _case(
        "object-both",
        "on-removed",
        ObjectStimulus("created", "a.txt", 3),
        failed=(),
        seen=({"kind": "created"},),
    )
    names = {
        "fits": ("in/a.csv", 1),
        "prefix": ("out/a.csv", 0),
        "suffix": ("in/a.txt", 0),
        "case": ("in/a.CSV", 0),
        "inside": ("x/in/a.csv", 0),
    }
    for name, (key, calls) in names.items():
        yield _case(
            f"object-name-{name}", "on-upload", ObjectStimulus("created", key, 1),
            failed=(), seen=({"key": key},) * calls,
        )  # fmt: skip
    yield _case(
        "object-raise",
        "on-upload",
        ObjectStimulus("created", "in/raise.csv", 1),
        failed=_FAILED,
        seen=({},),
    )


_ROW = {
    "order_id": "o-1",
    "text": "grüße \U0001f6d2",
    "empty": "",
    "integer": 7,
    "negative": -3,
    "float": 1.5,
    "zero": 0,
    "large": 9007199254740991,
    "yes": True,
    "no": False,
    "nothing": None,
    "list": [1, "two", None, [True], {"a": 1}],
    "map": {"a": {"b": [1]}, "empty": {}},
    "no-items": [],
}


def _tables() -> Iterator[Case]:
    keys = {"order_id": "o-1"}
    for kind in ("insert", "update"):
        yield _case(
            f"table-upsert-{kind}", "on-upsert",
            ChangeStimulus(kind, keys, _ROW, None if kind == "insert" else {**_ROW, "integer": 6}),
            failed=(),
            seen=(
                {"class": "ChangeEvent", "table": "orders", "kind": "upsert", "keys": keys,
                 "new": _ROW, "old": None, "source": "/conformance/tables/orders",
                 "subject": "o-1", "type": "portafaas.table.upsert", "id": "change-1",
                 "time": "2026-11-23T10:00:00.000Z"},
            ),
        )  # fmt: skip
    yield _case(
        "table-upsert-raise", "on-upsert", ChangeStimulus("insert", keys, {**keys, "do": "raise"}),
        failed=_FAILED, seen=({},),
    )  # fmt: skip
    yield _case(
        "table-upsert-hang", "on-upsert", ChangeStimulus("insert", keys, {**keys, "do": "hang"}),
        failed=_FAILED, seen=({},),
    )  # fmt: skip
    yield _case(
        "table-upsert-after", "on-upsert", ChangeStimulus("insert", keys, dict(keys)),
        failed=(), seen=({"new": keys},),
    )  # fmt: skip
    place = {"sku": "s-1", "place": "left"}
    new, old = {**place, "count": 2}, {**place, "count": 1}
    images: dict[str, tuple[Any, Any]] = {
        "insert": (new, None),
        "update": (new, old),
        "delete": (None, old),
    }
    for kind, (after, before) in images.items():
        yield _case(
            f"table-{kind}", "on-change", ChangeStimulus(kind, place, after, before),
            failed=(),
            seen=({"kind": kind, "keys": place, "new": after, "old": before, "subject": "s-1/left"},),
        )  # fmt: skip
        yield _case(
            f"table-only-insert-{kind}", "on-insert",
            ChangeStimulus(
                kind, {"id": "1"},
                None if after is None else {"id": "1", "n": 1},
                None if before is None else {"id": "1", "n": 0},
            ),
            failed=(), seen=({"kind": "insert", "new": {"id": "1", "n": 1}, "old": None},) * (kind == "insert"),
        )  # fmt: skip
        yield _case(
            f"table-only-delete-{kind}", "on-delete",
            ChangeStimulus(
                kind, {"id": "1"},
                None if after is None else {"id": "1", "n": 1},
                None if before is None else {"id": "1", "n": 0},
            ),
            failed=(), seen=({"kind": "delete", "new": None, "old": {"id": "1", "n": 0}},) * (kind == "delete"),
        )  # fmt: skip

    for name, sent, seen in (("whole", 1.0, 1), ("large", 2.0**52, 2**52), ("half", 0.5, 0.5)):
        yield _case(
            f"table-float-{name}", "on-upsert", ChangeStimulus("insert", keys, {**keys, "n": sent}),
            failed=(), seen=({"new": {"n": seen}},),
        )  # fmt: skip


def _schedules() -> Iterator[Case]:
    def at(name: str, function: str, time: str, calls: int = 1, **expected: Any) -> Case:
        return _case(
            f"schedule-{name}", function, ScheduleStimulus(time),
            seen=({"class": "ScheduleEvent", "time": time, "id": f"{function}@{time}"},) * calls,
            **{"failed": (), **expected},
        )  # fmt: skip

    yield at("utc", "on-minute", "2026-11-23T10:05:00.000Z")
    yield at("midnight", "on-minute", "2026-11-23T00:00:00.000Z")
    yield at("not-due", "on-minute", "2026-11-23T10:07:00.000Z", 0)
    yield at("winter", "on-morning", "2026-01-05T05:30:00.000Z")
    yield at("summer", "on-morning", "2026-07-06T04:30:00.000Z")
    yield at("winter-off-by-one", "on-morning", "2026-01-05T04:30:00.000Z", 0)
    yield at("summer-off-by-one", "on-morning", "2026-07-06T05:30:00.000Z", 0)
    yield at("weekend", "on-morning", "2026-01-04T05:30:00.000Z", 0)
    yield at("before-skipped-hour", "on-night", "2026-03-28T01:30:00.000Z")
    yield at("skipped-hour", "on-night", "2026-03-29T01:30:00.000Z", 0)
    yield at("repeated-hour-first", "on-night", "2026-10-25T00:30:00.000Z")
    yield at("repeated-hour-second", "on-night", "2026-10-25T01:30:00.000Z", 0)
    yield at("raise", "on-failing", "2026-11-23T10:05:00.000Z", failed=_FAILED)


EVENT_CASES: tuple[Case, ...] = (*_topics(), *_objects(), *_tables(), *_schedules())
