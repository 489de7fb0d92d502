"""``idempotency`` of a function: what the plan makes of it and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portafaas.plan import BuildPlan
from portafaas.plan.entry import function_spec
from portafaas.plan.model import Idempotency, Use

TABLES = "tables:\n  done: {ttl: expires}\n"


def function(settings: str, trigger: str = "{queue: {name: plain}}") -> str:
    # HEAD ends in another block: the function goes in by a stage.
    return (
        f"stages:\n  test:\n    functions:\n      more: {{handler: 'm:f', trigger: {trigger}, "
        f"{settings}}}\n"
    )


def test_the_plan_grants_the_records(planned: Callable[..., BuildPlan]) -> None:
    settings = "uses: [{send: jobs}], idempotency: {table: done, key: '$.lines[0].id', expires: 2h}"
    plan = planned(TABLES + function(settings), "test")
    more = plan.function("more")
    assert more.idempotency == Idempotency("done", ("lines", 0, "id"), 7200, False)
    why = "$.functions.more.idempotency"
    assert more.uses == (
        Use("send", "queue", "jobs"),
        Use("read", "table", "done", why),
        Use("write", "table", "done", why),
    )
    assert [more.why(i) for i in range(3)] == ["$.functions.more.uses[0]", why, why]
    spec = function_spec(plan, more)
    assert spec["idempotency"] == {"table": "done", "expires": 7200, "key": ["lines", 0, "id"]}
    assert spec["uses"]["table"]["done"] == {
        "verbs": ["read", "write"], "key": "id", "sort": "", "ttl": "expires",
    }  # fmt: skip


def test_what_uses_grants_is_not_granted_twice(planned: Callable[..., BuildPlan]) -> None:
    settings = "uses: [{read: done}], idempotency: {table: done, required: true}"
    plan = planned(TABLES + function(settings), "test")
    more = plan.function("more")
    assert [(use.verb, bool(use.why)) for use in more.uses] == [("read", False), ("write", True)]
    assert function_spec(plan, more)["idempotency"] == {
        "table": "done", "expires": 86_400, "required": True,
    }  # fmt: skip


def test_functions_without_it_say_nothing(planned: Callable[..., BuildPlan]) -> None:
    plan = planned("")
    assert plan.function("web").idempotency is None
    assert "idempotency" not in function_spec(plan, plan.function("web"))


def problems(refused: Callable[..., list[Any]], more: str) -> list[tuple[str, str, str]]:
    return [(p.code, p.path, p.message) for p in refused(more, "test")]


def test_tables_that_cannot_keep_records(refused: Callable[..., list[Any]]) -> None:
    for tables, code, text in (
        ("", "PF2002", "no table is called 'done'"),
        ("tables: {done: {}}\n", "PF2025", "has no 'ttl'"),
        ("tables: {done: {ttl: expires, sort: at}}\n", "PF2025", "has a sort key"),
        ("tables: {done: {ttl: expires, key: owner}}\n", "PF2025", "'owner'"),
    ):
        ((found, path, message),) = problems(
            refused, tables + function("idempotency: {table: done}")
        )
        assert (found, path) == (code, "$.functions.more.idempotency.table"), message
        assert text in message


def test_settings_that_cannot_be(refused: Callable[..., list[Any]]) -> None:
    for settings, trigger, code, path, text in (
        ("timeout: 30s, idempotency: {table: done, expires: 10s}", "{queue: {name: plain}}",
         "PF2025", "expires", "timeout of 30 s"),
        ("idempotency: {table: done, key: $.id}", "{schedule: {cron: '* * * * *'}}",
         "PF2025", "key", "no body"),
        ("idempotency: {table: done, key: id}", "{queue: {name: plain}}",
         "PF1001", "key", "$.order.id"),
        ("idempotency: {table: done, key: $}", "{queue: {name: plain}}",
         "PF1001", "key", "$.order.id"),
    ):  # fmt: skip
        ((found, where, message),) = problems(refused, TABLES + function(settings, trigger))
        assert (found, where) == (code, f"$.functions.more.idempotency.{path}"), message
        assert text in message
