"""``outbox`` of a table: the function that the plan adds, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portafaas.errors import PlanError
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.plan.entry import function_spec, trigger_spec, uses_spec
from portafaas.plan.model import TableTrigger, Use

MANIFEST = """\
portafaas: 1
name: shop
defaults: {{memory: 512MB, timeout: 20s, environment: {{A: b}}, retry: {{attempts: 7}}}}
functions:
  order:
    handler: m:f
    trigger: {{http: {{path: /, method: POST}}}}
    uses: [{{write: orders}}, {{publish: news}}, {{send: payments}}, {{read: token}}]
  report: {{handler: "m:f", trigger: {{schedule: {{cron: "* * * * *"}}}}, uses: [{{send: other}}]}}
  stock: {{handler: "m:f", trigger: {{table: {{name: orders}}}}}}
  {name}: {{handler: "m:f", trigger: {{http: {{path: /x}}}}}}
queues: {{payments: {{}}, other: {{}}}}
topics: {{news: {{}}}}
secrets: {{token: {{}}}}
tables:
  {tables}
alerts:
  lost: {{metric: dead-letters, function: orders-outbox, notify: [ops]}}
channels:
  ops: {{email: ops@example.com}}
"""

Make = Callable[..., BuildPlan]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def plan(
        tables: str = "orders: {key: order, sort: part, outbox: true}", name: str = "web"
    ) -> BuildPlan:
        (tmp_path / "m.py").write_text("def f(event, context):\n    return None\n")
        file = tmp_path / "portafaas.yaml"
        file.write_text(MANIFEST.format(tables=tables, name=name))
        return build_plan(load_manifest(file, None))

    return plan


def test_the_relay_is_a_function_like_any_other(make: Make) -> None:
    plan = make()
    relay = plan.functions[-1]
    why = "$.tables.orders.outbox"
    assert (relay.name, relay.origin) == ("orders-outbox", why)
    assert relay.trigger == TableTrigger("orders")
    assert (relay.memory, relay.timeout, relay.retry.attempts) == (512, 20, 7)
    assert dict(relay.environment) == {}
    assert relay.uses == (
        Use("read", "table", "orders", why),
        Use("write", "table", "orders", why),
        Use("publish", "topic", "news", why),
        Use("send", "queue", "payments", why),
    )
    spec = function_spec(plan, relay)
    assert spec["handler"] == "portafaas.runtime.relay:relay"
    assert spec["uses"]["table"]["orders"]["outbox"] is True


def test_its_rows_are_told_apart(make: Make) -> None:
    plan = make()
    assert trigger_spec(plan, plan.function("stock"))["outbox"] is False
    assert trigger_spec(plan, plan.function("orders-outbox"))["outbox"] is True
    assert uses_spec(plan, plan.function("order"))["table"]["orders"]["outbox"] is True


def test_lines_of_the_manifest(make: Make) -> None:
    plan = make()
    for path, line in (
        ("$.functions.orders-outbox", "$.tables.orders.outbox"),
        ("$.functions.orders-outbox.trigger.table", "$.tables.orders.outbox"),
        ("$.functions.orders-outbox-2", "$.functions.orders-outbox-2"),
        ("$.functions.order.uses[0]", "$.functions.order.uses[0]"),
        ("platform", "platform"),
    ):
        assert plan.line(path) == line


def test_without_an_outbox_there_is_none(make: Make) -> None:
    with pytest.raises(PlanError, match="orders-outbox"):  # of the alert
        make("orders: {key: order, sort: part}")


@pytest.mark.parametrize(
    ("tables", "name", "text"),
    [
        ("orders: {outbox: true}", "web", "has no sort key"),
        ("orders: {key: outbox, sort: part, outbox: true}", "web", "the outbox's own"),
        ("orders: {key: k, sort: part, outbox: true}", "orders-outbox", "which has that name"),
    ],
)
def test_tables_that_cannot_have_one(make: Make, tables: str, name: str, text: str) -> None:
    with pytest.raises(PlanError) as caught:
        make(tables, name)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.path) == ("PF2026", "$.tables.orders.outbox")
    assert text in problem.message


def test_names_that_are_those_of_others_elsewhere(make: Make, tmp_path: Path) -> None:
    tables = "orders: {key: order, sort: part, outbox: true}"
    for name in ("orders-out-box", "ordersoutbox"):
        with pytest.raises(PlanError) as caught:
            make(tables, name)
        (problem,) = caught.value.diagnostics
        assert (problem.code, problem.path) == ("PF2007", "$.tables.orders.outbox")
    make(tables)
    file = tmp_path / "portafaas.yaml"
    file.write_text(
        file.read_text().replace("queues: {", "queues: {orders-outbox: {dead-letter: true}, ")
    )
    with pytest.raises(PlanError) as caught:
        build_plan(load_manifest(file, None))
    assert [p.code for p in caught.value.diagnostics] == ["PF2027"]


def test_a_queue_and_its_function_may_have_one_name(make: Make, tmp_path: Path) -> None:
    make()
    file = tmp_path / "portafaas.yaml"
    file.write_text(
        file.read_text().replace("queues: {", "queues: {jobs: {dead-letter: true}, ").replace(
            "  stock:", "  jobs: {handler: 'm:f', trigger: {queue: {name: jobs}}}\n  stock:"
        )
    )
    assert build_plan(load_manifest(file, None)).function("jobs").kind == "queue"


def test_tables_that_nobody_sends_from(make: Make) -> None:
    long = "x" * 34
    tables = (
        "orders: {key: order, sort: part, outbox: true}\n"
        f"  {long}: {{key: order, sort: part, outbox: true}}"
    )
    with pytest.raises(PlanError) as caught:
        make(tables)
    found: list[Any] = [(p.code, p.path) for p in caught.value.diagnostics]
    assert found == [("PF2026", f"$.tables.{long}.outbox")] * 2
    assert "over 40 characters" in caught.value.diagnostics[0].message
    assert "sends or publishes" in caught.value.diagnostics[1].message


def test_warnings_are_about_those_who_publish(make: Make, tmp_path: Path) -> None:
    from portafaas.choreography.flow import findings

    make()
    file = tmp_path / "portafaas.yaml"
    file.write_text(
        file.read_text()
        .replace("{read: token}]", "{read: token}]\n    emits: [order.placed]")
        .replace("  report:", "  hear: {handler: 'm:f', trigger: {topic: {name: news, filter: "
                 "{type: [order.paid]}}}}\n  report:")
    )  # fmt: skip
    manifest = load_manifest(file, None)
    found = [(note.code, note.path) for note in findings(manifest, build_plan(manifest))]
    assert ("PF2114", "$.functions.hear.trigger.topic.filter.type") in found
    assert [path for code, path in found if "orders-outbox" in str(path)] == []
    assert "PF2115" not in {code for code, _ in found}
