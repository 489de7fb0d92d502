"""Payloads that no platform should send: a failed delivery that says why, and life goes on."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from portafaas.adapter import (
    ChangeStimulus,
    HttpStimulus,
    MessageStimulus,
    ObjectStimulus,
    QueueStimulus,
    ScheduleStimulus,
    TopicStimulus,
)

pytestmark = pytest.mark.vendor

MESSAGE = MessageStimulus("m-1", b'{"a": 1}', {"origin": "web"}, "key-1")
EVENT = MessageStimulus(
    "m-1",
    b'{"a": 1}',
    {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"},
    content_type="application/json",
)
GOOD = {
    "web": HttpStimulus("POST", "/web", "a=1", (("content-type", "text/plain"), ("cookie", "a=1")), b"x"),
    "queue": QueueStimulus((MESSAGE,)),
    "ordered": QueueStimulus((MESSAGE,)),
    "topic": TopicStimulus(EVENT),
    "object": ObjectStimulus("created", "a/b.txt", 5),
    "table": ChangeStimulus("insert", {"id": "1"}, {"id": "1", "n": [1, {"a": None}]}),
    "schedule": ScheduleStimulus("2026-11-23T10:00:00.000Z"),
}
EVENTS = tuple(name for name in GOOD if name != "web")
#: In place of the whole event, its list of records, one record, or any part of it.
WRONG: tuple[Any, ...] = (None, [], {}, "", "x", 7, True, [None], [[]], ["x"], {"x": None}, -1.5)


def _works(service, function):
    answer = service.deliver(function, GOOD[function])
    if function == "web":
        assert answer.outcome["status"] == 200, answer.logs
    else:
        assert answer.outcome == {"delivered": True, "failed": []}, answer.logs
        assert "handler-ran" in answer.logs


def _refused(service, function, result):
    """Tell that the delivery failed in a way that is no accident, and says why."""
    assert _failed(service, result), (result, "taken for delivered")
    assert "handler-ran" not in result.logs
    _no_accident(result)
    error = result.logs + (f"{result.error.type}: {result.error.message}" if result.error else "")
    assert any(word in error for word in CLEAR), (result, "says nothing")


def _failed(service, result) -> bool:
    if service.target == "gcp":
        return result.value is None or result.value["status"] >= 400
    if result.ok and service.target == "aws" and isinstance(result.value, dict):
        return bool(result.value.get("batchItemFailures")) or result.value.get("statusCode", 0) >= 400
    if result.ok and service.target == "azure" and isinstance(result.value, dict):
        return int(result.value.get("status", 0)) >= 400
    return not result.ok


def _no_accident(result) -> None:
    if result.error is not None:
        assert result.error.kind == "handler", result
        assert result.error.type.rpartition(".")[2] not in ACCIDENTS, result
    for name in ACCIDENTS:
        assert f"{name}: " not in result.logs and f"{name}(" not in result.logs, result.logs


#: What a refusal that was meant says, each in its own words.
CLEAR = ("ValueError", "unreadable delivery", "not ", "no ")
ACCIDENTS = ("KeyError", "TypeError", "AttributeError", "IndexError", "RecursionError")


# AWS


def _aws(function: str) -> Iterator[tuple[str, Any]]:
    for wrong in WRONG:
        if function != "schedule" or not isinstance(wrong, dict):
            yield f"event {wrong!r}", wrong  # a schedule's input may be any object
        if function in ("queue", "ordered", "topic", "object", "table"):
            if wrong != []:
                yield f"Records {wrong!r}", {"Records": wrong}
            yield f"record {wrong!r}", {"Records": [wrong]}


@pytest.mark.parametrize("function", [*GOOD])
def test_aws_payloads_of_the_wrong_shape(services, function):
    service = services["aws"]
    for what, payload in _aws(function):
        result = service.native(function, payload)
        try:
            _refused(service, function, result)
        except AssertionError as error:
            raise AssertionError(what) from error
    _works(service, function)


# Azure

_DATA: tuple[tuple[str, Any], ...] = (
    ("string", ""), ("string", "x"), ("string", "{"), ("json", None), ("json", {}), ("json", []),
    ("json", "x"), ("json", 7), ("json", [None]), ("json", [[]]), ("json", ["x"]), ("json", {"x": 1}),
    ("int", 7), ("double", 1.5), ("bytes", ""), ("bytes", "/w=="),
    ("collection_string", ["x"]), ("collection_bytes", ["/w=="]), ("collection_sint64", [1]),
)  # fmt: skip


@pytest.mark.parametrize("function", [*GOOD])
def test_azure_payloads_of_the_wrong_shape(services, function):
    service = services["azure"]
    metadata = _payload(service, function)["metadata"]
    for kind, value in _DATA:
        choices: tuple[dict[str, object], ...] = ({}, metadata)
        for more in choices:
            payload = {"trigger": {"type": kind, "value": value}, "metadata": more}
            result = service.native(function, payload)
            try:
                # A queue takes any bytes, and a changed item may be anything with the key.
                if result.ok and _failed(service, result) is False:
                    assert function != "web", result
                    assert function != "object" or "handler-ran" not in result.logs, result
                assert result.error is None or result.error.kind == "handler", result
            except AssertionError as error:
                raise AssertionError(f"{kind} {value!r} {more!r}") from error
    _works(service, function)


# Google

_BODIES = (
    b"", b"{", b"null", b"[]", b"{}", b'"x"', b"7", b"\xff\xfe", b'{"message": null}',
    b'{"message": []}', b'{"message": "x"}', b'{"message": {}}', b'{"message": {"data": 7}}',
    b'{"message": {"data": "\xc3\xa9", "messageId": "1"}}', b"[" * 100_000,
    b'{"message": {"messageId": "1", "attributes": ["x"]}}', b"\x0a\xff\xff\xff\xff\x0f", b"\x00" * 9,
)  # fmt: skip


@pytest.mark.parametrize("function", [name for name in EVENTS if name != "schedule"])
def test_gcp_payloads_of_the_wrong_shape(services, function):
    service = services["gcp"]
    good = _payload(service, function)
    for body in _BODIES:
        for headers in (good["headers"], [["content-type", "application/json"]], []):
            if function == "table" and headers == good["headers"] and not body.strip(b"\0"):
                continue  # an empty protobuf message is a document without fields
            payload = {**good, "headers": headers, "body": base64.b64encode(body).decode()}
            result = service.native(function, payload)
            try:
                _refused(service, function, result)
            except AssertionError as error:
                raise AssertionError(f"{body[:60]!r} {headers!r}") from error
    _works(service, function)


# Every part of a good payload, missing or wrong


def _payload(service, function) -> dict[str, Any]:
    (request,) = service.adapter.encode(
        service.plan, service.plan.function(function), GOOD[function]
    )
    return json.loads(json.dumps(dict(request.payload)))


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*at, name)
        yield from _places(item, (*at, name))


def _mutations(payload: Any) -> Iterator[tuple[str, Any]]:
    for place in _places(payload):
        for wrong in ("missing", *WRONG):
            changed = copy.deepcopy(payload)
            inner = changed
            for step in place[:-1]:
                inner = inner[step]
            if wrong == "missing":
                del inner[place[-1]]
            else:
                inner[place[-1]] = copy.deepcopy(wrong)
            yield f"{'.'.join(map(str, place))} = {wrong!r}", changed


@pytest.mark.parametrize("function", [*GOOD])
def test_aws_payloads_with_any_part_wrong(services, function):
    service = services["aws"]
    _accidents(service, function, _mutations(_payload(service, function)))


def _accidents(service, function, payloads) -> None:
    """Deliver all; each is served, or refused on purpose. All accidents are told at once."""
    found = []
    for what, payload in payloads:
        result = service.native(function, payload)
        try:
            if _failed(service, result):
                _no_accident(result)
        except AssertionError as error:
            found.append(f"{what}: {str(error)[:300]}")
    assert not found, f"{len(found)} accidents:\n" + "\n".join(found)
    _works(service, function)
