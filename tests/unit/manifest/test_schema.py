"""The published schema, our evaluator of it, and the jsonschema library agree."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portafaas.manifest.load import manifest_schema
from portafaas.manifest.validate import ANNOTATIONS, KEYWORDS, Validator

SCHEMA = manifest_schema()
REFERENCE = jsonschema.Draft202012Validator(SCHEMA)
OURS = Validator(SCHEMA)

VALID: dict[str, Any] = {
    "portafaas": 1,
    "name": "shop",
    "python": "3.12",
    "defaults": {"memory": "256MB", "timeout": "30s", "environment": {"A": 1, "B": True}},
    "functions": {
        "create-order": {
            "handler": "shop.orders:CreateOrder",
            "trigger": {
                "http": {
                    "method": ["POST"],
                    "path": "/orders",
                    "auth": {"jwt": {"issuer": "https://i", "audience": ["a"]}},
                    "cors": {"origins": ["*"], "max-age": "5m"},
                }
            },
            "uses": [{"publish": "order-placed"}, {"write": "orders"}],
            "targets": {"aws": {"tracing": True}},
        },
        "charge": {
            "handler": "shop.payments:Charge",
            "trigger": {"queue": {"name": "payments", "batch": 10}},
            "retry": {"attempts": 5, "backoff": "exponential", "initial": "2s", "max": "1m"},
        },
        "tick": {"handler": "a:b", "trigger": {"schedule": {"cron": "* * * * *"}}},
    },
    "queues": {"payments": {"ordered": True, "dead-letter": True}, "plain": None},
    "tables": {"orders": {"key": "id"}},
    "stages": {"prod": {"defaults": {"memory": 512}}},
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "a", "A-B", "30s", "256MB", "GET", "ANY", "key", "jwt", "on", "/x", "a:b"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "http", "path", "jwt", "issuer", "handler", "x", "on"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += paths(item, (*at, index))
    return found


def keywords(schema: Any) -> set[str]:
    found = set(schema)
    for key in ("properties", "$defs"):
        for inner in schema.get(key, {}).values():
            found |= keywords(inner)
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(key), dict):
            found |= keywords(schema[key])
    for inner in schema.get("anyOf", ()):
        found |= keywords(inner)
    return found


def test_the_schema_is_a_valid_2020_12_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_uses_only_keywords_that_the_evaluator_knows() -> None:
    assert keywords(SCHEMA) <= KEYWORDS | ANNOTATIONS


def test_the_valid_document_is_valid() -> None:
    REFERENCE.validate(VALID)
    assert OURS.problems(VALID) == []


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_both_give_the_same_verdict_on_a_changed_document(data: st.DataObject) -> None:
    document: Any = copy.deepcopy(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(document)))
        new = data.draw(values)
        if not path:
            document = new
            break
        holder: Any = document
        for part in path[:-1]:
            holder = holder[part]
        action = data.draw(st.sampled_from(["replace", "delete", "add"]))
        if action == "delete":
            del holder[path[-1]]
        elif action == "add" and isinstance(holder, dict):
            holder[data.draw(st.sampled_from(["extra", "http", "name", "queue"]))] = new
        else:
            holder[path[-1]] = new
    assert (not OURS.problems(document)) == REFERENCE.is_valid(document), document


@settings(max_examples=200, deadline=None)
@given(values)
def test_both_give_the_same_verdict_on_anything(document: Any) -> None:
    assert (not OURS.problems(document)) == REFERENCE.is_valid(document)
