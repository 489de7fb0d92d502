"""Events for every trigger, samples of schemas, and strategies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from portafaas.adapter import neutral
from portafaas.plan.examples import example, problems
from portafaas.plan.patterns import NoExample
from portafaas.testing import events, strategies


def test_every_function_gets_its_sample(app) -> None:
    app.secret("token", "x")
    app.put_object("files", "in/sample", "text")
    outcomes = {}
    for function in app.plan.functions:
        event = events.sample(app.plan, function)
        assert neutral.stimulus_from_json(neutral.stimulus_to_json(event)) == event
        outcomes[function.name] = app.invoke(function.name, event)
    assert outcomes["step"]["output"]["asked"] == "seven"
    assert outcomes["hello"]["status"] == 401
    delivered = [name for name, outcome in outcomes.items() if outcome.get("delivered")]
    assert delivered == ["work", "each", "in-order", "tell", "nightly", "changed", "stored"]
    assert app.logs("tell").one().message == "done: id"
    # Of a sample nothing comes again: it was never in a box.
    app.fail("each")
    assert app.invoke("each")["failed"] == ["message-1"]


def test_what_is_said_is_in_the_event(app) -> None:
    plan = app.plan
    request = events.http(plan, "hello", who="Å da", json={"a": 1}, method="post",
                          headers={"X-Api-Key": app.key})  # fmt: skip
    assert (request.method, request.path) == ("POST", "/hello/%C3%85%20da")
    assert app.invoke("hello", request)["status"] == 200
    assert events.http(plan, "everything", path="a b/c").path == "/a%20b/c"
    with pytest.raises(TypeError, match="has no parameter whom"):
        events.http(plan, "hello", whom="x")
    two = events.queue(plan, "each", "one", {"n": 2}, attributes={"a": "b"}, attempt=2)
    assert [(m.body, m.attempt, m.attributes) for m in two.messages] == [
        (b"one", 2, {"a": "b"}), (b'{"n":2}', 2, {"a": "b"}),
    ]  # fmt: skip
    assert events.queue(plan, "in-order").messages[0].key == "key-1"
    topic = events.topic(plan, "tell", {"id": "x"}, subject="s")
    assert topic.message.attributes["ce-type"] == "kit.done"
    assert topic.message.attributes["ce-subject"] == "s"
    assert events.object(plan, "stored").key == "in/sample"
    with pytest.raises(ValueError, match="does not hear of 'out/x'"):
        events.object(plan, "stored", "out/x")
    change = events.table(plan, "changed", {"n": 1}, old={"n": 0})
    assert (change.kind, change.keys, change.new) == (
        "update", {"id": "row-1"}, {"id": "row-1", "n": 1},
    )  # fmt: skip
    assert events.table(plan, "changed", old={"id": "7"}).kind == "delete"
    # 2:30 in Berlin is skipped on that day.
    assert events.schedule(plan, "nightly", after="2027-03-28T00:00:00Z").time.startswith(
        "2027-03-29T00:30"
    )
    assert events.task(plan, "step", {"id": "x"}, attempt=2).attempt == 2
    with pytest.raises(TypeError, match="'work' has a queue trigger, not http"):
        events.http(plan, "work")
    with pytest.raises(LookupError, match="no function 'wrok'"):
        events.queue(plan, "wrok")


SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"id": {"type": "string", "pattern": "^[A-Z]{2}-\\d{4}$"}},
     "required": ["id"]},
    {"type": "array", "items": {"$ref": "#/$defs/line"}, "minItems": 2,
     "$defs": {"line": {"type": "object", "required": ["n"], "additionalProperties": False,
                        "properties": {"n": {"type": "integer", "exclusiveMinimum": 3,
                                             "multipleOf": 5, "maximum": 50}}}}},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]},
               {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]}]},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "number", "minimum": 2.5}}},
               {"required": ["a", "b"], "properties": {"b": {"type": ["null", "boolean"]}}}]},
    {"type": "object", "required": ["when", "mail", "who"],
     "properties": {"when": {"type": "string", "format": "date-time"},
                    "mail": {"type": "string", "format": "email"},
                    "who": {"type": "string", "minLength": 12, "maxLength": 12}}},
    {"type": "object", "properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}},
     "required": ["n"]},
    # A tree, of which each level has two of the next.
    {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["rest"], "properties": {
        "left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"},
        "rest": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}},
    {"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}},
    {"enum": ["x", 2]},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_examples_fit_their_schema(schema) -> None:
    found = example(schema)
    assert problems(schema, found) == []
    assert example(schema) == found
    json.dumps(found, allow_nan=False)


@settings(max_examples=10, deadline=None, phases=[Phase.generate], database=None,
          suppress_health_check=list(HealthCheck))
@given(st.data())
def test_strategies_fit_their_schema(data) -> None:
    # Not the one that wants properties of any name: strategies make those that are declared.
    for schema in (*SCHEMAS[:6], SCHEMAS[-1]):
        value = data.draw(strategies.from_schema(schema))
        assert problems(schema, value) == []


def test_what_no_example_is_found_for() -> None:
    with pytest.raises(NoExample, match="add 'examples'"):
        example({"type": "string", "pattern": "(?<=a)b", "not": {"const": "b"}})
    with pytest.raises(NoExample, match="outside of the schema"):
        example({"$ref": "https://example.com/schema"})


@settings(max_examples=3, deadline=None, phases=[Phase.generate], database=None,
          suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_event_of_any_function(app, data) -> None:
    app.reset()
    app.secret("token", "x")
    for function in app.plan.functions:
        event = data.draw(strategies.for_function(app.plan, function.name))
        found = app.invoke(function.name, event)
        assert found.get("status", 200) < 500 or function.kind != "http"
        assert "failed" not in found or not found["failed"] or function.kind == "object", found
