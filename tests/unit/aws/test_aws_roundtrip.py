"""Encode, bridge, decode: same outcome, and the handler sees the same, as on the reference."""

from __future__ import annotations

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

ECHO = "/echo/Ada"
HTTP: dict[str, tuple[str, HttpStimulus]] = {
    "plain": ("create-order", HttpStimulus("POST", "/orders", body=b"{}")),
    "not-found": ("create-order", HttpStimulus("POST", "/orders/")),
    "wrong-method": ("create-order", HttpStimulus("DELETE", "/orders")),
    "too-large": ("create-order", HttpStimulus("POST", "/orders", body=b"x" * 4_500_001)),
    "query": ("echo", HttpStimulus("GET", f"{ECHO}/", "a=1&a=2&b=%20+%C3%A9&c&=d&a%26=1")),
    "path": ("echo", HttpStimulus("GET", "/echo/a%20b%2Fc/x%25/%C3%A9//y")),
    "headers": (
        "echo",
        HttpStimulus(
            "GET",
            ECHO,
            headers=(
                ("X-Test-A", "1"),
                ("x-test-a", "2, 3"),
                ("X_Test_B", "dropped"),
                ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ),
        ),
    ),
    "cookies": ("echo", HttpStimulus("GET", ECHO, headers=(("Cookie", 'a=1; b="2"; c=x=y'),))),
    "json": (
        "create-order",
        HttpStimulus(
            "PUT", "/orders", "", (("Content-Type", "application/json"),), '{"ü": "😀"}'.encode()
        ),
    ),
    "binary": (
        "create-order",
        HttpStimulus(
            "POST", "/orders", "", (("content-type", "image/png"),), bytes(range(256))
        ),
    ),
    "not-utf8": (
        "create-order",
        HttpStimulus("POST", "/orders", "", (("content-type", "text/plain"),), b"\xff\x00"),
    ),
    "head": ("echo", HttpStimulus("HEAD", ECHO)),
    "anonymous": ("signed", HttpStimulus("GET", "/signed")),
    "signed": ("signed", HttpStimulus("GET", "/signed", caller="arn:aws:iam::1:user/ada")),
    "url": ("url", HttpStimulus("GET", "/u/a%2520%2F", "x=1")),
}
ANSWERS = ("raise", "error", "exit", "none", "text", "bytes", "text-bytes", "latin", "empty",
           "cookies", "json", "long")  # fmt: skip


def _same(on_lambda: Any, on_reference: Any, name: str, stimulus: Any) -> Any:
    expected, reference = on_reference(name, stimulus)
    outcome, seen = on_lambda(name, stimulus)
    assert seen == reference
    assert outcome == expected
    return outcome


@pytest.mark.parametrize("case", HTTP)
def test_request(on_lambda: Any, on_reference: Any, case: str) -> None:
    _same(on_lambda, on_reference, *HTTP[case])


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("body", [b'{"a": [1, null]}', b" [1] ", b"not json", b"\xef\xbb\xbf1"])
def test_response(on_lambda: Any, on_reference: Any, answer: str, body: bytes) -> None:
    stimulus = HttpStimulus(
        "POST",
        "/orders",
        "",
        (("x-test-answer", answer), ("content-type", "application/json")),
        body,
    )
    outcome = _same(on_lambda, on_reference, "create-order", stimulus)
    assert isinstance(outcome, HttpOutcome)
    assert bool(outcome.body) == ("content-type" in dict(outcome.headers))


def _message(id: str, body: bytes, key: str | None = None, **more: Any) -> MessageStimulus:
    return MessageStimulus(id, body, key=key, **more)


MESSAGES = (
    _message("m1", b"one", attributes={"a": "1", "pf-hidden": "x"}),
    _message("m2", b"\xff\x00binary"),
    _message("m3", b"fail", attempt=3, time="2026-11-23T10:00:01.500Z"),
    _message("m4", "tab\tüñí 😀\n".encode()),
    _message("m5", b""),
    _message("m6", b"\x00"),
    _message("m7", b"fail too"),
)


@pytest.mark.parametrize("name", ["work", "work-batch"])
def test_queue(on_lambda: Any, on_reference: Any, name: str) -> None:
    outcome = _same(on_lambda, on_reference, name, QueueStimulus(MESSAGES))
    assert outcome == DeliveryOutcome(("m3", "m7"))


def test_ordered_queue_holds_back_the_key(on_lambda: Any, on_reference: Any) -> None:
    stimulus = QueueStimulus(
        (_message("m1", b"fail", "a"), _message("m2", b"x", "a"), _message("m3", b"x", "b"))
    )
    outcome = _same(on_lambda, on_reference, "work-ordered", stimulus)
    assert outcome == DeliveryOutcome(("m1", "m2"))


def test_ordered_queue_holds_back_across_batches(on_lambda: Any) -> None:
    stimulus = QueueStimulus(
        (_message("m1", b"fail", "a"), _message("m2", b"x", "b"), _message("m3", b"x", "a"))
    )
    outcome, _ = on_lambda("work-ordered", stimulus)
    assert outcome == DeliveryOutcome(("m1", "m3"))


BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "e1",
    "ce-source": "/x",
    "ce-type": "made",
    "ce-time": "2026-11-23T10:00:00Z",
    "ce-tenant": "t",
    "kind": "a",
}
TOPIC = {
    "plain": _message("m1", b"hello"),
    "binary-body": _message("m1", b"\x00\xff", attempt=2),
    "empty": _message("m1", b""),
    "cloudevent": _message("m1", b'{"a": 1}', attributes=BINARY, content_type="application/json"),
    "structured": _message(
        "m1",
        b'{"specversion":"1.0","id":"e","source":"/s","type":"made","data":{"a":1},"kind":"b"}',
        content_type="application/cloudevents+json",
    ),
    "keyed": _message("m1", b"text", "k", content_type="text/plain", attributes={"pf-x": "1"}),
    "failing": _message("m1", b'"fail"', content_type="application/json", attributes=BINARY),
}


@pytest.mark.parametrize("name", ["listen", "pick"])
@pytest.mark.parametrize("case", TOPIC)
def test_topic(on_lambda: Any, on_reference: Any, name: str, case: str) -> None:
    outcome = _same(on_lambda, on_reference, name, TopicStimulus(TOPIC[case]))
    assert outcome == DeliveryOutcome(("event",) if case == "failing" else ())


@pytest.mark.parametrize(
    "stimulus",
    [
        ObjectStimulus("created", "in/a b+c%20ü/😀.txt", 5),
        ObjectStimulus("deleted", "in/x", etag="abc"),
        ObjectStimulus("created", "out/x", 5),
        ObjectStimulus("created", "in/fail", 0),
    ],
)
def test_object(on_lambda: Any, on_reference: Any, stimulus: ObjectStimulus) -> None:
    outcome = _same(on_lambda, on_reference, "store", stimulus)
    assert outcome == DeliveryOutcome(("event",) if "fail" in stimulus.key else ())


ROW = {"id": "r1", "n": 5, "f": 1.25, "big": 10**30, "t": True, "none": None, "l": [1, {"m": "é"}]}


@pytest.mark.parametrize("name", ["rows", "upserts"])
@pytest.mark.parametrize(
    "stimulus",
    [
        ChangeStimulus("insert", {"id": "r1"}, ROW),
        ChangeStimulus("update", {"id": "r1", "sort": 7}, ROW, {"id": "r1"}),
        ChangeStimulus("delete", {"id": "r1"}, None, ROW, time="2026-11-23T10:00:00.250Z"),
        ChangeStimulus("insert", {"id": "fail"}, {"id": "fail"}),
    ],
)
def test_table(on_lambda: Any, on_reference: Any, name: str, stimulus: ChangeStimulus) -> None:
    outcome = _same(on_lambda, on_reference, name, stimulus)
    assert outcome == DeliveryOutcome(("event",) if stimulus.keys["id"] == "fail" else ())


@pytest.mark.parametrize(
    ("time", "fires"),
    [
        ("2026-11-23T01:30:00.000Z", 1),
        ("2026-11-23T02:30:00.000Z", 0),
        ("2026-07-01T00:30:00.000Z", 1),
    ],
)
def test_schedule(on_lambda: Any, on_reference: Any, time: str, fires: int) -> None:
    _same(on_lambda, on_reference, "tick", ScheduleStimulus(time))
    assert len(on_lambda("tick", ScheduleStimulus(time))[1]) == fires
