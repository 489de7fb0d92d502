"""``emits``, ``events`` and schemas: what the plan has of them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan, MessageSchema
from portafaas.plan.entry import uses_spec
from portafaas.plan.schemas import problems, resolve

Check = Callable[..., list[Diagnostic]]
Planned = Callable[..., BuildPlan]

TOPICS = """\
topics: {news: {external: [consumers]}, other: {}}
"""


def with_function(rest: str, more: str = "") -> str:
    # HEAD ends with channels; functions can only be added by a stage.
    return f"""\
{TOPICS}{more}stages:
  x:
    functions:
      tick:
        uses: [{{publish: news}}]
{rest}"""


def test_emits_of_the_one_topic(planned: Planned) -> None:
    plan = planned(with_function("        emits: [a.b, c]\n"), "x")
    tick = plan.function("tick")
    assert tick.emits == (("news", ("a.b", "c")),)
    assert tick.emitted("news") == ("a.b", "c")
    assert tick.emitted("other") is None
    assert uses_spec(plan, tick)["topic"]["news"] == {
        "verbs": ["publish"], "ordered": False, "emits": ["a.b", "c"],
    }  # fmt: skip
    assert plan.topic("news").external == ("consumers",)


def test_emits_by_topic(planned: Planned) -> None:
    more = "        uses: [{publish: news}, {publish: other}]\n        emits: {other: [c]}\n"
    text = with_function("").replace("        uses: [{publish: news}]\n", more)
    plan = planned(text, "x")
    assert plan.function("tick").emits == (("other", ("c",)),)
    spec = uses_spec(plan, plan.function("tick"))["topic"]
    assert "emits" not in spec["news"]
    assert spec["other"]["emits"] == ["c"]


def test_emits_that_contradict_uses(check: Check) -> None:
    found = check(
        with_function("        emits: {other: [a]} #!\n"),
        "PF2101",
        ("functions.tick.emits.other", "may not publish to topic 'other'"),
        stage="x",
    )
    assert found[0].hint == "add '- publish: other' to its 'uses'"
    found = check(
        with_function("        emits: {nws: [a]} #!\n"),
        "PF2002",
        ("functions.tick.emits.nws", "no topic is called 'nws'"),
        stage="x",
    )
    assert found[0].hint == "did you mean 'news'?"
    none = with_function("        emits: [a] #!\n").replace("        uses: [{publish: news}]\n", "")
    check(none, "PF2101", ("functions.tick.emits", "publishes to no topic"), stage="x")
    two = with_function("        emits: [a] #!\n").replace(
        "[{publish: news}]", "[{publish: news}, {publish: other}]"
    )
    (problem,) = check(two, "PF2101", ("functions.tick.emits", "to which of them"), stage="x")
    assert problem.hint == "say it by topic: {news: [a], other: [a]}"


def test_types_must_be_declared_once_there_are_events(check: Check, planned: Planned) -> None:
    events = "events:\n  a.b: {description: one}\n"
    assert planned(with_function("        emits: [a.b]\n", events), "x").events[0].name == "a.b"
    (problem,) = check(
        with_function("        emits: [a.c] #!\n", events),
        "PF2002",
        ("functions.tick.emits[0]", "no event is called 'a.c'"),
        stage="x",
    )
    assert problem.hint == "did you mean 'a.b'?"


def test_schemas(planned: Planned, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"id": {"$ref": "#/$defs/id"}}, "$defs": {"id": {}}}
    (tmp_path / "events").mkdir()
    (tmp_path / "events/a.json").write_text(json.dumps(schema))
    plan = planned("""\
events:
  a: {schema: events/a.json, schema-version: 2, compatibility: full}
  b: {schema: {type: string}}
  c:
stages: {x: {queues: {jobs: {schema: {type: [object, "null"]}}}}}
""", "x")  # fmt: skip
    assert [event.schema for event in plan.events] == [
        MessageSchema(schema, 2, "full", "events/a.json"),
        MessageSchema({"type": "string"}),
        MessageSchema(),
    ]
    assert plan.queue("jobs").schema.document == {"type": ["object", "null"]}
    assert plan.queue("plain").schema.document == {}


def test_schemas_that_are_none(check: Check, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "nan.json").write_text('{"minimum": NaN}')
    (tmp_path / "bad.json").write_text('{"properties": {"a/b": {"type": "text"}}}')
    (tmp_path / "away.json").symlink_to("/etc/hostname")
    check(
        """\
events:
  a: {schema: none.json} #!
  b: {schema: ../m.py} #!
  c: {schema: /etc/hostname} #!
  d: {schema: list.json} #!
  e: {schema: text.json} #!
  f: {schema: nan.json} #!
  g: {schema: bad.json} #!
  h: {schema: away.json} #!
  i: {schema: {type: obect}} #!
  j: {schema: {properties: {a: {minLength: -1}}}} #!
  k: {schema: {$ref: "other.json#/a"}} #!
  l: {schema: {$ref: "#/$defs/none"}} #!
  m: {schema: {multipleOf: 0}} #!
  n: {schema: {items: [{type: string}]}} #!
  o: {schema-version: 2} #!
""",
        "PF2102",
        ("events.a.schema", "none.json does not exist"),
        ("events.b.schema", "../m.py is not in the project"),
        ("events.c.schema", "is not in the project"),
        ("events.d.schema", "holds no JSON object"),
        ("events.e.schema", "is not JSON"),
        ("events.f.schema", "NaN is no JSON number"),
        ("events.g.schema", "bad.json#/properties/a~1b/type: 'text' is not array, boolean"),
        ("events.h.schema", "is not in the project"),
        ("events.i.schema.type", "'obect' is not array"),
        ("events.j.schema.properties.a.minLength", "-1 is not at least 0"),
        ("events.k.schema['$ref']", "is not a place in the same schema"),
        ("events.l.schema['$ref']", "'#/$defs/none' is not a place"),
        ("events.m.schema.multipleOf", "0 is not above 0"),
        ("events.n.schema.items", "a list is not a schema"),
        ("events.o.schema-version", "'schema-version' is of a schema"),
    )


def test_references() -> None:
    document: dict[str, Any] = {
        "$defs": {"a/b": {"$anchor": "here", "type": "string"}}, "allOf": [True]
    }  # fmt: skip
    assert resolve(document, "#") is document
    assert resolve(document, "#/$defs/a~1b") == resolve(document, "#here") != None  # noqa: E711
    assert resolve(document, "#/allOf/0") is True
    assert resolve(document, "#/allOf/1") is None
    assert resolve(document, "#/%24defs/a~1b") is not None
    assert resolve(document, "#nowhere") is None
    assert resolve(document, "https://example.com/x") is None


WORDS = ["type", "enum", "const", "properties", "items", "prefixItems", "required", "minLength",
         "maximum", "multipleOf", "anyOf", "not", "additionalProperties", "pattern", "$defs",
         "uniqueItems", "dependentRequired", "x", "$comment", "title", "if"]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-2, 2)
    | st.sampled_from(["string", "object", "x", "integer"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=4))
def test_the_same_verdict_as_the_library(schema: dict[str, Any]) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        valid = True
    except jsonschema.SchemaError:
        valid = False
    assert (not problems(schema)) == valid


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": False, "unevaluatedProperties": {"not": {}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:x"},
        {"if": {"const": 1}, "then": False, "dependentSchemas": {"a": {"minProperties": 1}}},
    ],
)
def test_valid_schemas(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert problems(schema) == []


def test_another_dialect_is_refused() -> None:
    ((path, message),) = problems({"$schema": "http://json-schema.org/draft-07/schema#"})
    assert path == ("$schema",)
    assert "draft-07" in message
