"""Stimulus to native request to bridge to outcome, under functions-framework, as the reference."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import pytest

from portafaas.adapter import (
    ChangeStimulus,
    DeliveryOutcome,
    HttpOutcome,
    HttpStimulus,
    MessageStimulus,
    ObjectStimulus,
    QueueStimulus,
    ScheduleStimulus,
    TopicStimulus,
)


@pytest.mark.parametrize(
    "stimulus",
    [
        HttpStimulus("GET", "/"),
        HttpStimulus("GET", "/a/b%2Fc/%25/d%20e/%C3%BC/+", "a=1&a=2&b=%C3%BC+x&c&d="),
        HttpStimulus("GET", "/a//b/"),
        HttpStimulus("GET", "//a/b"),
        HttpStimulus("GET", "/robots.txt"),
        HttpStimulus("GET", "/favicon.ico"),
        HttpStimulus("GET", "/bad%FFutf8/%zz"),
        HttpStimulus("GET", "/;a=1/@:!$&'()*,~"),
        HttpStimulus("GET", "/a", "x=a?b/c:@;&&=1&%zz"),
        HttpStimulus("POST", "/x", "", (("content-type", "text/plain"),), "grüße".encode()),
        HttpStimulus("PUT", "/x", "", (("content-type", "image/png"),), bytes(range(256))),
        HttpStimulus(
            "POST", "/x", "", (("content-type", "application/x-www-form-urlencoded"),), b"a=1&b=2"
        ),
        HttpStimulus("DELETE", "/x", "", (("X-Twice", "1"), ("x-twice", "2"), ("x-a_b", "no"))),
        HttpStimulus("PATCH", "/x", "", (("cookie", 'a=1; b="2"; a=3'),)),
        HttpStimulus("GET", "/x", "", (("x-name", "grüße ☃"), ("x-old", "Ã©"))),
        HttpStimulus("OPTIONS", "/x"),
        HttpStimulus("TRACE", "/x"),
    ],
    ids=lambda stimulus: f"{stimulus.method} {stimulus.path}",
)
def test_http_request_arrives_as_sent(both: Any, stimulus: HttpStimulus) -> None:
    outcome, _ = both("echo", stimulus)
    assert outcome.status == 200
    told = json.loads(outcome.body)
    assert told["body"] == base64.b64encode(stimulus.body).decode()
    assert told["raw_query"] == stimulus.query


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "what",
    ["binary", "cookies", "none", "empty", "not-modified", "unicode", "teapot", "crash", "exit",
     "other"],
)  # fmt: skip
def test_http_response_arrives_as_returned(both: Any, what: str, method: str) -> None:
    outcome, _ = both("answer", HttpStimulus(method, f"/do/{what}"))
    assert isinstance(outcome, HttpOutcome)
    if what == "cookies":
        assert len(outcome.cookies) == 2
        assert ("server", "mine") in outcome.headers and ("date", "never") in outcome.headers


def test_http_refusals_are_the_reference_s(both: Any) -> None:
    assert both("answer", HttpStimulus("POST", "/do/none"))[0].status == 405
    assert both("answer", HttpStimulus("GET", "/do/none/more"))[0].status == 404
    assert both("answer", HttpStimulus("GET", "*"))[0].status == 404


def test_http_timeout_is_answered(both: Any) -> None:
    assert both("answer", HttpStimulus("GET", "/do/slow"))[0].status == 504


def test_http_body_over_the_limit(both: Any) -> None:
    assert both("echo", HttpStimulus("POST", "/", body=b"x" * 4_500_001))[0].status == 413


@pytest.mark.parametrize(("name", "status"), [("old-site", 202), ("new-site", 203)])
def test_http_applications(both: Any, name: str, status: int) -> None:
    outcome, _ = both(name, HttpStimulus("POST", "/a%20b/%C3%BC", "", (), b"body"))
    assert outcome.status == status and outcome.body == b"POST body"
    assert outcome.cookies == ("a=1",)


def test_http_async_handler(both: Any) -> None:
    outcome, _ = both("later", HttpStimulus("GET", "/later"))
    assert json.loads(outcome.body) == {"deadline": True, "away": True}


def test_http_iam_caller(both: Any) -> None:
    told = json.loads(both("who-calls", HttpStimulus("GET", "/iam/", caller="a@b.iam"))[0].body)
    assert told["identity"] == ["a@b.iam", {}, "iam"]
    own = (("authorization", "Basic YTpi"),)
    told = json.loads(both("who-calls", HttpStimulus("GET", "/iam/x", "", own, b"", "é@x"))[0].body)
    assert told["identity"] == ["é@x", {}, "iam"]


def test_http_iam_without_caller_is_refused(both: Any) -> None:
    forged = (("Authorization", "Bearer e30.eyJlbWFpbCI6ImEifQ.x"),)
    for headers in ((), forged):
        assert both("who-calls", HttpStimulus("GET", "/iam/", "", headers))[0].status == 401


def _message(id: str, body: bytes = b"x", **more: Any) -> MessageStimulus:
    return MessageStimulus(id, body, **more)


def test_queue_messages(both: Any) -> None:
    stimulus = QueueStimulus(
        (
            _message("1", b"", attributes={"only": "this"}),
            _message("2", bytes(range(256)), attributes={"a": "ü", "pf-own": "x"}, key="k"),
            _message("3", b"fail", attempt=4),
            _message("4", b"{}", time="2026-01-02T03:04:05.678Z"),
        )
    )
    outcome, seen = both("take-orders", stimulus)
    assert outcome == DeliveryOutcome(("3",))
    assert len(seen) == 4 and seen[2][6:8] == [4, 4]


def test_ordered_queue_holds_back(both: Any, plan: Any, invoke: Any) -> None:
    from portafaas_gcp.adapter import ADAPTER

    stimulus = QueueStimulus(
        (
            _message("1", b"fail", key="a"),
            _message("2", key="b"),
            _message("3", key="a"),
            _message("4", b"fail", key="c"),
        )
    )
    function = plan.function("take-in-turn")
    results = [
        (request, {"ok": True, "value": invoke("take-in-turn", request.payload)})
        for request in ADAPTER.encode(plan, function, stimulus)
    ]
    assert ADAPTER.decode(plan, function, stimulus, results) == DeliveryOutcome(("1", "3", "4"))
    done, seen = both("take-in-turn", QueueStimulus((_message("1", key="a"), _message("2"))))
    assert done == DeliveryOutcome() and seen[0][4] == "a" and seen[1][4] is None


def test_batch_handler_gets_batches_of_one(invoke: Any, handlers: Any, plan: Any) -> None:
    from portafaas_gcp.adapter import ADAPTER

    handlers.SEEN.clear()
    stimulus = QueueStimulus((_message("1"), _message("2", b"fail"), _message("3")))
    function = plan.function("take-many")
    requests = ADAPTER.encode(plan, function, stimulus)
    assert [request.ids for request in requests] == [("1",), ("2",), ("3",)]
    results = [
        (request, {"ok": True, "value": invoke("take-many", request.payload)})
        for request in requests
    ]
    assert ADAPTER.decode(plan, function, stimulus, results) == DeliveryOutcome(("2",))
    assert handlers.SEEN == [["batch", ["1"]], ["batch", ["2"]], ["batch", ["3"]]]


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        (_message("1", b'{"a": 1}', content_type="application/json"), 0),
        (
            _message(
                "2",
                b'{"a": 1}',
                attributes={
                    "ce-specversion": "1.0",
                    "ce-id": "e",
                    "ce-source": "/s",
                    "ce-type": "a.b",
                    "ce-time": "2026-05-05T01:02:03+02:00",
                    "ce-tenant": "t",
                    "plain": "p",
                    "pf-x": "y",
                },
                content_type="application/json; charset=utf-8",
                key="k",
                attempt=3,
            ),
            1,
        ),
        (
            _message(
                "3",
                b'{"specversion":"1.0","id":"i","source":"/s","type":"x.y","data":{"fail":true}}',
                content_type="application/cloudevents+json",
            ),
            1,
        ),
        (_message("4", b"text", attributes={"ce-type": "x.y", "Content-Type": "text/plain"}), 1),
        (_message("5", b"\xff", attributes={"ce-type": "x.y"}), 1),
    ],
    ids=lambda value: value.id if isinstance(value, MessageStimulus) else None,
)
def test_topic_event(both: Any, message: MessageStimulus, calls: int) -> None:
    outcome, seen = both("listen", TopicStimulus(message))
    assert len(seen) == calls
    assert outcome == DeliveryOutcome(("event",) if message.id == "3" else ())
    assert len(both("listen-all", TopicStimulus(message))[1]) == 1


@pytest.mark.parametrize(
    ("key", "calls"),
    [("in/a.txt", 1), ("in/ü %25 +?#/☃.txt", 1), ("out/a.txt", 0), ("in/a.bin", 0)],
)
@pytest.mark.parametrize("kind", ["created", "deleted"])
def test_object_event(both: Any, key: str, calls: int, kind: str) -> None:
    outcome, seen = both("files", ObjectStimulus(kind, key, size=12, etag="CJ+/="))
    assert outcome == DeliveryOutcome() and len(seen) == calls
    assert both("files", ObjectStimulus(kind, "in/fail.txt"))[0] == DeliveryOutcome(("event",))


ROW: dict[str, Any] = {
    "id": "row/1",
    "text": "grüße",
    "none": None,
    "yes": True,
    "no": False,
    "whole": 2**53 + 1,
    "low": -(2**63),
    "part": 0.1,
    "list": [1, [], {}, [None, {"a": -1}]],
    "map": {"": "", "deep": {"er": [1.5]}},
}


@pytest.mark.parametrize("kind", ["insert", "update", "delete"])
def test_upserts_have_the_new_image(both: Any, kind: str) -> None:
    new = None if kind == "delete" else ROW
    old = None if kind == "insert" else {**ROW, "text": "before"}
    for stimulus in (
        ChangeStimulus(kind, {"id": "row/1"}, new, old),
        ChangeStimulus(kind, {"id": "row/1"}, new, None),
    ):
        outcome, seen = both("rows", stimulus)
        assert outcome == DeliveryOutcome()
        if kind == "delete":
            assert seen == []
        else:
            assert seen[0][2:] == ["upsert", {"id": "row/1"}, ROW, None]


@pytest.mark.parametrize("kind", ["insert", "update", "delete"])
def test_changes_have_both_images(both: Any, kind: str) -> None:
    keys = {"owner": "ann", "number": 7}
    new = None if kind == "delete" else {**keys, **ROW}
    old = None if kind == "insert" else {**keys, "was": 1}
    outcome, seen = both("audit", ChangeStimulus(kind, keys, new, old, id="c-9"))
    assert outcome == DeliveryOutcome()
    assert seen[0][2:] == [kind, keys, new, old]
    keys = {"owner": "fail", "number": 7}
    new = None if new is None else {**new, **keys}
    old = None if old is None else {**old, **keys}
    assert both("audit", ChangeStimulus(kind, keys, new, old))[0] == DeliveryOutcome(("event",))


@pytest.mark.parametrize(
    ("time", "fires"),
    [
        ("2026-11-23T01:30:00.000Z", 1),  # Monday, winter time
        ("2026-07-01T00:30:00.000Z", 1),  # Wednesday, summer time
        ("2026-11-23T02:30:00.000Z", 0),
        ("2026-11-22T01:30:00.000Z", 0),
    ],
)
def test_schedule(both: Any, time: str, fires: int) -> None:
    outcome, seen = both("nightly", ScheduleStimulus(time))
    assert outcome == DeliveryOutcome() and len(seen) == fires
    if fires:
        assert seen[0][0]["time"] == time and seen[0][0]["id"] == f"nightly@{time}"


def test_lost_connections_are_failures(plan: Any) -> None:
    from portafaas_gcp.adapter import ADAPTER

    http, queue = plan.function("echo"), plan.function("take-orders")
    broken = {"ok": False, "value": None}
    stimulus = QueueStimulus((_message("1"),))
    pairs = [(request, broken) for request in ADAPTER.encode(plan, queue, stimulus)]
    assert ADAPTER.decode(plan, queue, stimulus, pairs) == DeliveryOutcome(("1",))
    request = ADAPTER.encode(plan, http, HttpStimulus())[0]
    assert ADAPTER.decode(plan, http, HttpStimulus(), [(request, broken)]).status == 500  # type: ignore[union-attr]


def test_only_what_the_server_added_is_removed(plan: Any) -> None:
    from portafaas_gcp.adapter import ADAPTER

    http = plan.function("echo")
    request = ADAPTER.encode(plan, http, HttpStimulus())[0]
    headers = [
        ["Server", "gunicorn"], ["Date", "now"], ["Connection", "close"], ["Content-Length", "0"],
        ["date", "mine"], ["X-Cloud-Trace-Context", "mine"], ["Set-Cookie", "a=1"],
    ]  # fmt: skip
    value = {"status": 200, "headers": headers, "body": ""}
    outcome = ADAPTER.decode(plan, http, HttpStimulus(), [(request, {"ok": True, "value": value})])
    assert outcome == HttpOutcome(
        200, (("date", "mine"), ("x-cloud-trace-context", "mine")), ("a=1",), b""
    )
    value["headers"] = [["Server", "Google Frontend"], ["X-Cloud-Trace-Context", "t"]]
    outcome = ADAPTER.decode(plan, http, HttpStimulus(), [(request, {"ok": True, "value": value})])
    assert outcome == HttpOutcome(200, (), (), b"")


def test_encode_is_deterministic(plan: Any) -> None:
    from portafaas.adapter.neutral import sample
    from portafaas_gcp.adapter import ADAPTER

    for function in plan.functions:
        stimulus = sample(plan, function)
        first = [dataclasses.astuple(item) for item in ADAPTER.encode(plan, function, stimulus)]
        again = [dataclasses.astuple(item) for item in ADAPTER.encode(plan, function, stimulus)]
        assert first == again and json.loads(json.dumps(first)) is not None
