"""Payloads as AWS sends them: own samples of each shape, recorded ones if at hand, broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portafaas_aws.runtime.table import number, value_of

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "events" / "aws"
FUNCTIONS = {
    "http": "echo",
    "queue": "work",
    "topic": "listen",
    "storage": "store",
    "db": "rows",
    "timer": "tick",
}
FILES = sorted(
    path
    for kind in FUNCTIONS
    for path in CASES.glob(f"{kind}/*.json")
    # Answers, and a file that is cut off: Lambda hands over JSON or nothing.
    if "response" not in path.name and "malformed" not in path.name
)


@pytest.mark.skipif(not FILES, reason="shared/cases is not here")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_recorded_event(invoke: Any, handlers: Any, file: Path) -> None:
    handlers.SEEN.clear()
    text = file.read_text("utf-8")
    for name, value in (("body", "e30="), ("method", "GET"), ("key", "in/k"), ("path", "echo/a")):
        text = text.replace("{{{" + name + "}}}", value)
    payload = json.loads(text)
    kind = file.parent.name
    if kind == "storage":
        payload["Records"][0]["s3"]["object"]["key"] = "in/Happy%20Face.jpg"
    if kind == "http" and "requestContext" in payload:
        for name in ("rawPath", "path"):
            if name in payload:
                payload[name] = "/echo/a"
    answer = invoke(FUNCTIONS[kind], payload)
    if kind == "http":
        assert answer["statusCode"] == 200
        assert "headers" in answer or "multiValueHeaders" in answer
    elif kind in ("queue", "db"):
        assert answer == {"batchItemFailures": []}
    else:
        assert answer is None
    # The recorded tick is at midnight of 1970, when nothing is planned.
    expected = 0 if kind == "timer" else len(payload.get("Records", [1]))
    assert len(handlers.SEEN) == expected


def _sqs(**changes: Any) -> dict[str, Any]:
    record = {
        "messageId": "m1",
        "body": "text",
        "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": "1520621625029"},
        "messageAttributes": {
            "number": {"stringValue": "123", "dataType": "Number"},
            "binary": {"binaryValue": "MTEwMA==", "dataType": "Binary"},
            "pf-trace": {"stringValue": "x", "dataType": "String"},
        },
        "eventSource": "aws:sqs",
    }
    return {"Records": [record | changes]}


def test_sqs_record(invoke: Any, handlers: Any) -> None:
    handlers.SEEN.clear()
    invoke("work", _sqs())
    assert handlers.SEEN == [
        {
            "id": "m1",
            "body": b"text",
            "attributes": {"number": "123", "binary": "MTEwMA=="},
            "key": None,
            "queue": "jobs",
            "attempt": 2,
            "time": "2018-03-09T18:53:45.029Z",
        }
    ]


def test_topic_shapes_give_one_event(invoke: Any, handlers: Any) -> None:
    attributes = {"a": {"Type": "String", "Value": "1"}, "pf-x": {"Type": "String", "Value": "2"}}
    notification = {
        "Type": "Notification",
        "MessageId": "m1",
        "TopicArn": "arn:aws:sns:eu-west-1:1:news",
        "Message": "text",
        "Timestamp": "2018-03-09T18:53:45.029Z",
        "MessageAttributes": attributes,
    }
    raw = {"a": {"stringValue": "1", "dataType": "String"}}
    once = {"attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1520621625029"}}
    handlers.SEEN.clear()
    direct = {"EventSource": "aws:sns", "Sns": notification}
    assert invoke("listen", {"Records": [direct]}) is None
    none: dict[str, Any] = {"batchItemFailures": []}
    envelope = {"messageId": "q1", "body": json.dumps(notification), "messageAttributes": {}}
    assert invoke("listen", _sqs(**once, **envelope)) == none
    assert invoke("listen", _sqs(**once, messageAttributes=raw)) == none
    first, second, third = handlers.SEEN
    assert first == second == third
    assert first["id"] == "m1" and first["data"] == b"text" and first["attributes"] == {"a": "1"}


def test_topic_failures(bound: Any, context: Any, handlers: Any) -> None:
    handler = bound("listen")
    content = {"content-type": {"stringValue": "text/plain"}}
    event = _sqs(body="fail", messageAttributes=content)
    event["Records"] += _sqs(messageId="m2")["Records"]
    assert handler(event, context) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    notification = {
        "MessageId": "m1",
        "Message": "fail",
        "MessageAttributes": {"content-type": {"Value": "text/plain"}},
    }
    with pytest.raises(ValueError, match="no"):
        handler({"Records": [{"EventSource": "aws:sns", "Sns": notification}]}, context)


@pytest.mark.parametrize(
    ("detail_type", "seen"),
    [("Object Created", "created"), ("Object Deleted", "deleted"), ("Object Tags Added", None)],
)
def test_s3_through_eventbridge(invoke: Any, handlers: Any, detail_type: str, seen: Any) -> None:
    handlers.SEEN.clear()
    item = {"key": "in/a+b c", "size": 5, "etag": '"abc"', "sequencer": "00"}
    event = {
        "source": "aws.s3",
        "detail-type": detail_type,
        "time": "2021-11-12T00:00:00Z",
        "detail": {"bucket": {"name": "x"}, "object": item},
    }
    invoke("store", event)
    facts = [(e["id"], e["kind"], e["size"], e["etag"], e["time"]) for e in handlers.SEEN]
    size = 5 if seen == "created" else None
    wanted = ("in/a+b c@00", seen, size, "abc", "2021-11-12T00:00:00.000Z")
    assert facts == ([wanted] if seen else [])


def _change(number: str, name: str = "INSERT", **row: Any) -> dict[str, Any]:
    return {
        "eventID": number,
        "eventName": name,
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "Keys": {"id": {"S": row.get("id", "r")}},
            "NewImage": {"id": {"S": row.get("id", "r")}},
            "SequenceNumber": number,
        },
    }


def test_stream_stops_at_the_first_failure(invoke: Any, handlers: Any) -> None:
    handlers.SEEN.clear()
    records = [_change("1"), _change("2", id="fail"), _change("3"), _change("4", id="fail")]
    answer = invoke("rows", {"Records": records})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert [e["id"] for e in handlers.SEEN] == ["1", "2"]


def test_stream_drops_other_kinds(invoke: Any, handlers: Any) -> None:
    handlers.SEEN.clear()
    records = [_change("1", "REMOVE", id="fail"), _change("2", "MODIFY")]
    assert invoke("upserts", {"Records": records}) == {"batchItemFailures": []}
    assert [(e["id"], e["kind"], e["old"]) for e in handlers.SEEN] == [("2", "upsert", None)]


def test_attribute_values() -> None:
    typed = {
        "M": {
            "sets": {"L": [{"SS": ["a"]}, {"NS": ["1", "2.5"]}, {"BS": ["AA=="]}]},
            "flag": {"BOOL": False},
            "none": {"NULL": True},
            "binary": {"B": "AA=="},
        }
    }
    assert value_of(typed) == {
        "sets": [["a"], [1, 2.5], ["AA=="]],
        "flag": False,
        "none": None,
        "binary": "AA==",
    }
    assert [number(n) for n in ("12", "-0.5", "1.0", "1E+30")] == [12, -0.5, 1, 10**30]
    assert type(number("1.0")) is int
    for wrong in ({"X": "1"}, {}, {"S": "a", "N": "1"}, "a"):
        with pytest.raises(ValueError, match="attribute"):
            value_of(wrong)


@pytest.mark.parametrize(
    ("event", "fires"),
    [
        ({"time": "2026-11-23T01:30:00Z", "attempt": "2"}, ["2026-11-23T01:30:00.000Z"]),
        ({"time": "2026-11-23T02:30:00+01:00"}, ["2026-11-23T01:30:00.000Z"]),
        ({"time": "2026-11-23T01:30:42"}, ["2026-11-23T01:30:00.000Z"]),
        ({"time": "2026-11-23T01:31:00Z"}, []),
        (
            {"detail-type": "Scheduled Event", "time": "2026-11-23T01:30:31Z"},
            ["2026-11-23T01:30:00.000Z"],
        ),
        ({"detail-type": "Scheduled Event", "time": "2026-11-23T05:00:00Z"}, []),
    ],
)
def test_schedule(invoke: Any, handlers: Any, event: dict[str, Any], fires: list[str]) -> None:
    handlers.SEEN.clear()
    invoke("tick", event)
    assert [e["time"] for e in handlers.SEEN] == fires
    assert [e["id"] for e in handlers.SEEN] == [f"tick@{time}" for time in fires]
    assert [e["attempt"] for e in handlers.SEEN] == [int(event.get("attempt", 1)) for _ in fires]


def test_schedule_without_time_uses_the_clock(bound: Any, context: Any, handlers: Any) -> None:
    from portafaas.plan import ScheduleTrigger

    handlers.SEEN.clear()
    bound("tick", trigger=ScheduleTrigger("* * * * *"))({}, context)
    assert len(handlers.SEEN) == 1 and handlers.SEEN[0]["time"].endswith(":00.000Z")


@pytest.mark.parametrize("name", ["work", "listen", "store", "rows"])
@pytest.mark.parametrize(
    "event",
    [None, [], {}, {"Records": None}, {"Records": []}, {"Records": ["x"]}, {"Records": [{}]},
     {"Records": [{"eventSource": "aws:kinesis"}]}],
)  # fmt: skip
def test_other_payloads_are_refused(bound: Any, context: Any, name: str, event: Any) -> None:
    with pytest.raises(ValueError, match=r"not an event of|comes from"):
        bound(name)(event, context)


@pytest.mark.parametrize(
    ("name", "event", "message"),
    [
        ("work", _sqs(messageId=None), "messageId"),
        ("listen", _sqs(messageId=1), "message id"),
        (
            "store",
            {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]},
            "no object",
        ),
        ("rows", {"Records": [_change("1", "GONE")]}, "eventName"),
        (
            "rows",
            {"Records": [{"eventSource": "aws:dynamodb", "eventName": "INSERT"}]},
            "eventName",
        ),
        ("tick", [], "must be an object"),
        ("tick", {"time": "soon"}, "soon"),
        ("tick", {"time": 5}, "5"),
    ],
)
def test_malformed_record(bound: Any, context: Any, name: str, event: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bound(name)(event, context)


@pytest.mark.parametrize("name", ["work", "listen", "store", "rows", "tick"])
def test_handler_that_cannot_be_loaded_fails_the_delivery(
    bound: Any, context: Any, name: str
) -> None:
    sns = {"EventSource": "aws:sns", "Sns": {"MessageId": "m", "Message": "x"}}
    events = {
        "work": _sqs(),
        "listen": {"Records": [sns]},
        "store": {"source": "aws.s3", "detail-type": "Object Created",
                  "detail": {"object": {"key": "in/x"}}},
        "tick": {"time": "2026-11-23T01:30:00Z"},
    }  # fmt: skip
    broken = bound(name, module="no_such_module_at_all")
    if name == "rows":
        answer = broken({"Records": [_change("7")]}, context)
        assert answer == {"batchItemFailures": [{"itemIdentifier": "7"}]}
    else:
        with pytest.raises(ModuleNotFoundError):
            broken(events[name], context)
