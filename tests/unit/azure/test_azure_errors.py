"""What an alert on errors counts: its query, run over the rows that a host would make of real runs.

The query has been held against Kusto's own grammar and binding (``@kusto/language-service-next``);
here its steps are done in Python, as far as this query has them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from portafaas.adapter.stimulus import (
    ChangeStimulus,
    MessageStimulus,
    ObjectStimulus,
    QueueStimulus,
    ScheduleStimulus,
    Stimulus,
    TopicStimulus,
)
from portafaas.plan import BuildPlan, ScheduleTrigger
from portafaas.plan.entry import function_spec
from portafaas.plan.model import AlertPlan
from portafaas.runtime import BatchHandler, BatchResult, Context, Message, Permanent, QueueHandler
from portafaas.runtime.function import Function
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.infrastructure.alerts import query
from portafaas_azure.runtime.run import Runner

Rows = list[dict[str, Any]]


def _ask(text: str, tables: dict[str, Rows], now: int) -> Any:
    """Return ``Value`` of each row that the query gives; times are whole minutes."""
    known = dict(tables)
    *named, last = text.split("; ")
    for each in named:
        name, _, body = each.removeprefix("let ").partition(" = ")
        known[name] = _steps(body, known, now)
    return [row["Value"] for row in _steps(last, known, now)]


def _steps(text: str, known: dict[str, Rows], now: int) -> Rows:
    name, *steps = text.split(" | ")
    rows = known[name]
    for step in steps:
        word, _, rest = step.partition(" ")
        if word == "where":
            rows = [row for row in rows if _holds(rest, row, now)]
        elif word == "project":
            rows = [_projected(rest, row) for row in rows]
        elif word == "join":
            found = re.fullmatch(r"kind=leftanti (\w+) on (\w+)", rest)
            assert found
            there = {row[found[2]] for row in known[found[1]]}
            rows = [row for row in rows if row[found[2]] not in there]
        elif word == "union":
            rows = rows + known[rest]
        elif rest == "Value = sum(Failed)":
            rows = [{"Value": sum(row["Failed"] for row in rows)}]
        else:
            assert rest == "Value = sum(Failed) by Arrived = bin(Arrived, 1m)"
            times = sorted({row["Arrived"] for row in rows})
            rows = [
                {"Value": sum(r["Failed"] for r in rows if r["Arrived"] == time)} for time in times
            ]
    return rows


def _holds(test: str, row: dict[str, Any], now: int) -> bool:
    if test.startswith("OperationName in "):
        return f"'{row['OperationName']}'" in re.findall(r"'\w+'", test)
    if test.startswith("Message startswith "):
        return bool(row["Message"].startswith(test.split("'")[1]))
    if test == "Success == false":
        return row["Success"] is False
    if test == "Arrived >= bin(ago(5m), 1m) and Arrived < bin(now(), 1m)":
        return bool(now - 5 <= row["Arrived"] < now)
    found = re.fullmatch(r"Arrived > ago\((\d+)m\)", test)
    assert found, test
    return bool(row["Arrived"] > now - int(found[1]))


def _projected(columns: str, row: dict[str, Any]) -> dict[str, Any]:
    head = "Arrived = ingestion_time(), Invocation = tostring(Properties.InvocationId), Failed = "
    assert columns.startswith(head)
    value = columns.removeprefix(head)
    failed = row["ItemCount"]
    if value != "tolong(ItemCount)":
        part = re.fullmatch(r"tolong\(ItemCount \* toint\(extract\('(.+)', 1, Message\)\)\)", value)
        assert part
        found = re.search(part[1], row["Message"])
        assert found
        failed *= int(found[1])
    return {"Arrived": row["Arrived"], "Invocation": row["Invocation"], "Failed": failed}


class Host:
    """Keeps the rows that a host files under an invocation, as the vendor's does."""

    def __init__(self, plan: BuildPlan) -> None:
        self.plan = plan
        self.tables: dict[str, Rows] = {"AppTraces": [], "AppRequests": []}
        self.time = 100

    def row(self, entry: str, invocation: str) -> dict[str, Any]:
        return {
            "OperationName": entry, "Invocation": invocation, "Arrived": self.time, "ItemCount": 1,
        }  # fmt: skip

    def trace(self, entry: str, invocation: str, message: str) -> None:
        self.tables["AppTraces"].append({**self.row(entry, invocation), "Message": message})

    def request(self, entry: str, invocation: str, success: bool) -> None:
        self.tables["AppRequests"].append({**self.row(entry, invocation), "Success": success})

    def count(self, name: str, window: int = 300) -> int:
        alert = AlertPlan("x", "errors", name, "", 0.0, window, ("c",))
        return max(
            _ask(query(self.plan.function(name), alert), self.tables, self.time + 1), default=0
        )


@pytest.fixture
def host(plan: BuildPlan) -> Host:
    return Host(plan)


@pytest.fixture
def written() -> Iterator[list[str]]:
    """Messages, as the worker's handler formats them (traceback and all)."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    handler, root = Keep(), logging.getLogger("portafaas")
    root.addHandler(handler)
    yield found
    root.removeHandler(handler)


@pytest.fixture
def failing() -> Iterator[str]:
    """The name of a module whose handler raises."""
    module = types.ModuleType("failing_handlers_azure")

    def fail(item: Any, context: Context) -> None:
        raise RuntimeError("boom (pf_failed_attempts=9) ")

    module.fail = fail  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield module.__name__
    del sys.modules[module.__name__]


_ROW = {"order_id": "1", "place": "a"}
_STIMULI: dict[str, Stimulus] = {
    "work": QueueStimulus((MessageStimulus("m-1", b"x"),)),
    "on-news": TopicStimulus(MessageStimulus("m-1", b"x")),
    "on-file": ObjectStimulus("created", "in/a.csv"),
    "on-row": ChangeStimulus("insert", _ROW, _ROW),
    "on-morning": ScheduleStimulus("2026-11-23T05:30:00Z"),
}


@pytest.mark.parametrize("name", _STIMULI)
def test_an_attempt_that_is_logged_and_raised_counts_once(
    bench: Any, host: Host, written: list[str], failing: str, name: str
) -> None:
    """Without dead letters every bridge has the host deliver again, by raising."""
    function = bench.plan.function(name)
    changed = dataclasses.replace(function, module=failing, attribute="fail")
    plan = dataclasses.replace(
        bench.plan,
        functions=tuple(changed if f == function else f for f in bench.plan.functions),
    )
    bench.plan = plan
    requests = ADAPTER.encode(plan, changed, _STIMULI[name])
    results = [asyncio.run(bench.invoke(bench.bound(name), function.kind, r)) for r in requests]
    assert [result["ok"] for result in results] == [False]
    for message in written:
        host.trace(function.entry, "i-1", message)
    host.request(function.entry, "i-1", False)
    assert host.count(name) == host.count(name, 60) == 1


@pytest.mark.parametrize(("said", "counted"), [("done", 0), ("one", 1), ("two", 2), ("raised", 3)])
def test_each_message_of_a_batch_counts(
    bench: Any, host: Host, written: list[str], said: str, counted: int
) -> None:
    class Batches(BatchHandler):
        def handle(self, batch: Any, context: Context) -> Any:
            if said == "raised":
                raise Permanent("no")
            result = BatchResult()
            for message in list(batch)[: {"one": 1, "two": 2}.get(said, 0)]:
                result.dead_letter(message, "no") if said == "one" else result.retry(message)
            return result

    _deliver(bench, Batches, 3)
    for message in written:
        host.trace("work_batch", "i-1", message)
    # Settled: the host has seen nothing.
    host.request("work_batch", "i-1", True)
    assert host.count("work-batch") == counted


def test_a_handler_that_cannot_be_loaded_fails_each_message(
    bench: Any, host: Host, written: list[str]
) -> None:
    class Broken(QueueHandler):
        def init(self) -> None:
            sys.exit(3)

        def handle(self, message: Any, context: Context) -> None: ...

    _deliver(bench, Broken, 2)
    for message in written:
        host.trace("work_batch", "i-1", message)
    assert host.count("work-batch") == 2


def _deliver(bench: Any, handler: type, count: int) -> None:
    """Hand *count* messages to an instance of *handler* at once."""
    module = types.ModuleType("batch_handlers_azure")
    module.Batches = handler  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    spec = function_spec(bench.plan, bench.plan.function("work-batch"))
    function = Function({**spec, "handler": f"{module.__name__}:Batches"})
    messages = [Message(f"m-{number}", b"x", queue="jobs") for number in range(count)]
    context = Context(function, "i-1", target="azure")

    async def run() -> None:
        runner = Runner(function)
        async with runner.slot():
            await runner.run_messages(messages, context)

    try:
        asyncio.run(run())
    finally:
        del sys.modules[module.__name__]


def test_a_crash_counts_beside_what_is_logged(host: Host) -> None:
    host.trace("work", "i-1", "pf_failed_attempts=2 2 of 5 messages failed")
    host.request("work", "i-1", True)
    host.request("work", "i-2", False)
    # Of another function, and of its own without a failure.
    host.trace("work_async", "i-3", "pf_failed_attempts=7 7 of 9 messages failed")
    host.trace("work", "i-4", "the handler failed, pf_failed_attempts=7 ")
    assert host.count("work") == 3


def test_what_arrives_before_its_request_is_not_counted_again(host: Host) -> None:
    host.trace("on_row", "i-1", "pf_failed_attempts=1 handler failed: X()")
    host.time += 6
    host.request("on_row", "i-1", False)
    assert host.count("on-row") == 0 and host.count("on-row", 900) == 1


def test_events_that_come_again_by_a_queue_count(host: Host) -> None:
    """They have an entry function, and so rows, of their own."""
    assert isinstance(host.plan.function("on-morning").trigger, ScheduleTrigger)
    for name, entry in (("on-morning", "on_morning"), ("on-row", "on_row")):
        host.trace(f"{entry}__again", "i-1", "pf_failed_attempts=1 handler failed: X()")
        host.request(f"{entry}__again", "i-2", False)
        assert host.count(name) == 2
    host.trace("work__again", "i-1", "pf_failed_attempts=1 handler failed: X()")
    assert host.count("work") == 0


def test_the_host_weighs_what_it_has_sampled(host: Host) -> None:
    host.trace("work", "i-1", "pf_failed_attempts=2 2 of 5 messages failed")
    host.tables["AppTraces"][0]["ItemCount"] = 3
    assert host.count("work") == 6


def test_a_minute_is_each_of_the_last_five(host: Host) -> None:
    host.request("work", "i-1", False)
    host.request("work", "i-2", False)
    host.time += 2
    host.request("work", "i-3", False)
    assert host.count("work", 60) == 2 and host.count("work") == 3
