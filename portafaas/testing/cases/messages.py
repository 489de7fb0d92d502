"""What handlers of queues see, and which messages come again."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from portafaas.adapter import MessageStimulus, QueueStimulus
from portafaas.testing.cases.model import ABSENT, TRACE, TRACED, Case


def _case(name: str, function: str, *messages: MessageStimulus, **expected: Any) -> Case:
    return Case(name=name, function=function, stimulus=QueueStimulus(messages), **expected)


def _do(what: str | None, number: int = 1, **facts: Any) -> MessageStimulus:
    body = json.dumps({"number": number} if what is None else {"do": what, "number": number})
    return MessageStimulus(f"message-{number}", body.encode(), **facts)


_BODIES: dict[str, bytes] = {
    "json": b'{"order": 7, "name": "gr\xc3\xbc\xc3\x9fe"}',
    "text": b"plain text",
    "unicode": "grüße \U0001f6d2".encode(),
    "binary": bytes(range(256)),
    "nul": b"a\x00b",
    "control": b"\x01\x02\x7f",
    "invalid-utf8": b"\xff\xfe",
    "base64-text": base64.b64encode(b"looks encoded"),
    "json-string": b'"text"',
    "json-null": b"null",
    "spaces": b"  padded \n",
    "crlf": b"a\r\nb",
    "bom": b"\xef\xbb\xbfa",
    "large": b"x" * 150_000,
    "large-binary": bytes(range(256)) * 400,
}


def _messages() -> Iterator[Case]:
    for name, body in _BODIES.items():
        yield _case(
            f"queue-body-{name}", "work", MessageStimulus("m-1", body),
            failed=(),
            seen=(
                {"class": "Message", "id": "m-1", "body": base64.b64encode(body).decode(),
                 "queue": "jobs", "key": None},
            ),
        )  # fmt: skip
    attributes = {"origin": "web", "Tier": "gold", "note": "grüße, 1", "number": "7"}
    yield _case(
        "queue-attributes", "work", MessageStimulus("m-1", b"{}", attributes),
        failed=(), seen=({"attributes": attributes},),
    )  # fmt: skip
    yield _case(
        "queue-attributes-binary-body", "work", MessageStimulus("m-1", b"\xff\x00", {"a": "1"}),
        failed=(), seen=({"attributes": {"a": "1"}},),
    )  # fmt: skip
    yield _case(
        "queue-no-attributes", "work", MessageStimulus("m-1", b"{}"),
        failed=(), seen=({"attributes": {}},),
    )  # fmt: skip
    yield _case(
        "queue-attempt", "work", MessageStimulus("m-1", b"{}", attempt=3),
        failed=(), seen=({"attempt": 3, "context": {"attempt": 3, "function": "work"}},),
    )  # fmt: skip
    yield _case(
        "queue-first-attempt", "work", MessageStimulus("m-1", b"{}"),
        failed=(), seen=({"attempt": 1, "context": {"attempt": 1}},),
    )  # fmt: skip
    yield _case(
        "queue-time", "work", MessageStimulus("m-1", b"{}", time="2026-03-29T01:30:00.123Z"),
        failed=(), seen=({"time": "2026-03-29T01:30:00.123Z"},),
    )  # fmt: skip

    yield _case(
        "queue-content-type", "work",
        MessageStimulus("m-1", b"{}", content_type="application/json"),
        failed=(), seen=({"attributes": {"content-type": ABSENT}},),
    )  # fmt: skip
    yield _case(
        "queue-labels-hidden", "work", MessageStimulus("m-1", b"{}", {"pf-own": "1", "a": "b"}),
        failed=(), seen=({"attributes": {"a": "b", "pf-own": ABSENT}},),
    )  # fmt: skip
    yield _case(
        "queue-trace", "work", MessageStimulus("m-1", b"{}", {"traceparent": TRACE}),
        failed=(), seen=({"context": {"trace": TRACE, **TRACED}},),
    )  # fmt: skip
    yield _case(
        "queue-trace-state", "work",
        MessageStimulus("m-1", b"{}", {"traceparent": TRACE, "tracestate": "rojo=00f067"}),
        failed=(), seen=({"context": {**TRACED, "trace_state": "rojo=00f067"}},),
    )  # fmt: skip
    other = f"00-{'a' * 32}-{'b' * 16}-01"
    yield _case(
        "queue-traces-of-a-run", "work-many",
        MessageStimulus("m-1", b"{}", {"traceparent": TRACE, "correlationid": "one"}),
        MessageStimulus("m-2", b"{}"),
        MessageStimulus("m-3", b"{}", {"traceparent": other, "correlationid": "three"}),
        failed=(),
        seen=(
            {"context": {**TRACED, "correlation": "one"}},
            {"context": {"trace_id": None, "parent_id": None, "correlation": None}},
            {"context": {"trace_id": "a" * 32, "parent_id": "b" * 16, "correlation": "three"}},
        ),
    )  # fmt: skip
    yield _case(
        "queue-trace-of-a-batch", "work-batch",
        MessageStimulus("m-1", b"{}", {"traceparent": TRACE}),
        failed=(),
        seen=({"context": {"trace_id": None, "links": [TRACED["trace_id"]]}},),
    )  # fmt: skip
    yield _case(
        "queue-correlation", "work",
        MessageStimulus("m-1", b"{}", {"correlationid": "order-7/a"}),
        failed=(), seen=({"context": {"correlation": "order-7/a"}},),
    )  # fmt: skip


def _failures() -> Iterator[Case]:
    for again in ("", "-again"):
        yield _case(
            f"queue-broken-handler{again}", "broken-work", _do(None), failed=("message-1",), seen=(),
        )  # fmt: skip
    yield _case(
        "queue-raise", "work", _do("raise"), failed=("message-1",), seen=({"id": "message-1"},)
    )
    yield _case("queue-exit", "work", _do("exit"), failed=("message-1",), seen=({},))
    yield _case("queue-hang", "work", _do("hang"), failed=("message-1",), seen=({},))
    yield _case("queue-after-hang", "work", _do(None), failed=(), seen=({},))
    yield _case("queue-async", "work-async", _do(None), failed=(), seen=({"queue": "async-jobs"},))
    yield _case("queue-async-raise", "work-async", _do("raise"), failed=("message-1",), seen=({},))
    yield _case("queue-async-exit", "work-async", _do("exit"), failed=("message-1",), seen=({},))
    yield _case("queue-function", "work-function", _do(None), failed=(), seen=({},))
    yield _case(
        "queue-function-raise", "work-function", _do("raise"), failed=("message-1",), seen=({},)
    )
    yield _case(
        "queue-many", "work-many", *(_do(None, n) for n in range(1, 6)),
        failed=(), seen=tuple({"id": f"message-{n}"} for n in range(1, 6)),
    )  # fmt: skip
    yield _case(
        "queue-many-more-than-a-batch", "work-many", *(_do(None, n) for n in range(1, 13)),
        failed=(), seen=tuple({"id": f"message-{n}"} for n in range(1, 13)),
    )  # fmt: skip
    yield _case(
        "queue-many-some-fail", "work-many",
        _do(None, 1), _do("raise", 2), _do(None, 3), _do("raise", 4), _do(None, 5),
        failed=("message-2", "message-4"), seen=({}, {}, {}, {}, {}),
    )  # fmt: skip
    yield _case(
        "queue-many-all-fail", "work-many", *(_do("raise", n) for n in range(1, 4)),
        failed=("message-1", "message-2", "message-3"), seen=({}, {}, {}),
    )  # fmt: skip
    yield _case(
        "queue-many-attempts", "work-many", _do(None, 1), _do(None, 2, attempt=4),
        failed=(), seen=({"context": {"attempt": 1}}, {"context": {"attempt": 4}}),
    )  # fmt: skip
    yield _case(
        "queue-many-exit", "work-many", _do(None, 1), _do("exit", 2), _do(None, 3),
        failed=("message-2",), seen=({}, {}, {}),
    )  # fmt: skip


def _batches() -> Iterator[Case]:
    yield _case(
        "batch", "work-batch", *(_do(None, n) for n in range(1, 6)),
        failed=(), seen=tuple({"id": f"message-{n}"} for n in range(1, 6)),
    )  # fmt: skip
    yield _case("batch-of-one", "work-batch", _do(None), failed=(), seen=({"queue": "batch-jobs"},))
    yield _case(
        "batch-more-than-one", "work-batch", *(_do(None, n) for n in range(1, 8)),
        failed=(), seen=tuple({"id": f"message-{n}"} for n in range(1, 8)),
    )  # fmt: skip
    yield _case(
        "batch-partial", "work-batch", _do(None, 1), _do("raise", 2), _do(None, 3),
        failed=("message-2",), seen=({}, {}, {}),
    )  # fmt: skip
    yield _case(
        "batch-all-fail", "work-batch", _do("raise", 1), _do("raise", 2),
        failed=("message-1", "message-2"), seen=({}, {}),
    )  # fmt: skip
    wrong = b'{"do": "return", "value": [1]}'
    yield _case(
        "batch-wrong-result", "work-batch", MessageStimulus("m-1", wrong),
        failed=("m-1",), seen=({},),
    )  # fmt: skip
    yield _case("batch-exit", "work-batch", _do("exit"), failed=("message-1",), seen=({},))


def _ordered() -> Iterator[Case]:
    yield _case(
        "ordered", "work-ordered", _do(None, 1, key="a"), _do(None, 2, key="b"), _do(None, 3, key="a"),
        failed=(), seen=({"key": "a"}, {"key": "b"}, {"key": "a"}),
    )  # fmt: skip
    yield _case(
        "ordered-held-back", "work-ordered",
        _do(None, 1, key="a"), _do("raise", 2, key="a"), _do(None, 3, key="a"),
        failed=("message-2", "message-3"), seen=({"id": "message-1"}, {"id": "message-2"}),
    )  # fmt: skip
    yield _case(
        "ordered-other-keys", "work-ordered",
        _do("raise", 1, key="a"), _do(None, 2, key="b"), _do(None, 3, key="a"),
        failed=("message-1", "message-3"), seen=({"id": "message-1"}, {"id": "message-2"}),
    )  # fmt: skip
    yield _case(
        "ordered-over-batches", "work-ordered",
        _do("raise", 1, key="a"),
        *(_do(None, n, key="b") for n in range(2, 8)),
        _do(None, 8, key="a"),
        failed=("message-1", "message-8"),
        seen=tuple({"id": f"message-{n}"} for n in range(1, 8)),
    )  # fmt: skip
    yield _case(
        "ordered-key-text", "work-ordered", _do(None, 1, key="customer-7:eu"),
        failed=(), seen=({"key": "customer-7:eu"},),
    )  # fmt: skip


MESSAGE_CASES: tuple[Case, ...] = (*_messages(), *_failures(), *_batches(), *_ordered())
