"""A table against a dict: any sequence of writes, reads and queries, on every back end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portafaas.runtime import ABSENT, Conflict, Delete, NotFound, Put, ResourceError, Row, Update
from portafaas.runtime.rows import Write, apply
from tests.behaviour.backends import Backend

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

#: Long over and far away: no example is about seconds.
PAST, FUTURE = 1_000_000_000, 4_000_000_000
LINES = st.sampled_from(["a", "a b", "a/b", "b", "\u00e9", "%"])
NAMES = st.sampled_from(["n", "x", "a.b", "ttl", "until"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=3)
    | st.floats(-1e6, 1e6).map(lambda f: round(f, 3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


def _timed(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (value if name != "until" else FUTURE if value else PAST)
        for name, value in values.items()
    }


ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=3).map(_timed)


@st.composite
def operations(draw: Any) -> Any:
    line = draw(LINES)
    kind = draw(st.sampled_from(["put", "put", "absent", "update", "update", "create", "delete"]))
    condition: dict[str, Any] = {}
    if kind != "absent":
        condition = draw(
            st.sampled_from([{}, {}, {"version": True}, {"version": False}])
            | st.builds(lambda name, value: {"when": {name: value}}, NAMES, VALUES | st.just(ABSENT))
        )
    new = draw(ATTRIBUTES)
    add: dict[str, int] = {}
    remove: tuple[str, ...] = ()
    if kind in ("update", "create"):
        left = [name for name in ("n", "x") if name not in new]
        add = {name: draw(st.integers(-9, 9)) for name in left if draw(st.booleans())}
        remove = tuple(n for n in ("a.b", "until") if n not in new and draw(st.booleans()))
    return line, kind, new, add, remove, condition


def _comparable(when: dict[str, Any]) -> bool:
    """Tell whether moto answers as DynamoDB: see test_tables.MOTO."""
    return all(v is ABSENT or (isinstance(v, str) and v != "") for v in when.values())


@settings(
    max_examples=8, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(steps=st.lists(operations(), min_size=5, max_size=25))
def test_a_table_is_a_dict(
    table: Callable[..., Any], backend: Backend, steps: list[Any]
) -> None:
    if backend.target == "azure":
        steps = steps[:7]  # 10 ms a request
    made = table("order", "line", ttl="until")
    model: dict[str, Row] = {}
    for line, kind, new, add, remove, condition in steps:
        key = {"order": "1", "line": line}
        known: Any = {}
        if "when" in condition:
            if backend.target == "aws" and not _comparable(condition["when"]):
                continue
            known["when"] = condition["when"]
        if "version" in condition:
            current = made.get("1", line)
            version = current.version if condition["version"] and current is not None else "no"
            known["if_version"] = version
        if kind in ("put", "absent"):
            operation: Any = Put({**key, **new}, kind == "absent", **known)
            write = Write("put", key, row={**key, **new}, if_absent=kind == "absent")
        elif kind == "delete":
            operation, write = Delete("1", line, **known), Write("delete", key)
        else:
            if not (new or add or remove or kind == "create"):
                continue
            operation = Update(
                "1", line, set=new, add=add, remove=remove, create=kind == "create", **known
            )
            write = Write("update", key, set=new, add=add, remove=remove, create=kind == "create")
        write.when = known.get("when", {})
        write.if_version = known.get("if_version")
        wanted = _outcome(apply, model.get(line), write, "until", time.time())
        found = _outcome(made._one, operation)
        assert found == wanted, (line, kind)
        if not isinstance(wanted, type):
            if wanted is None:
                model.pop(line, None)
            else:
                assert found.version
                model[line] = Row(wanted, found.version)
        live = {
            line: row for line, row in model.items() if row.get("until", FUTURE) != PAST
        }
        assert made.get("1", line) == live.get(line)
        if line in live:
            assert made.get("1", line).version == live[line].version
    rows = [live[line] for line in sorted(live)] if steps and model else []
    assert made.query("1").rows == rows
    assert made.query("1", descending=True).rows == rows[::-1]
    assert list(made.query("1", limit=2).all()) == rows
    assert made.query("1", prefix="a").rows == [r for r in rows if r["line"].startswith("a")]


def _outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what *call* returns, or the kind of its error."""
    try:
        return call(*arguments)
    except (Conflict, NotFound, ResourceError) as exc:
        return type(exc)
