"""What is kept ready: by group or function, alone and with others in an app."""

from __future__ import annotations

import types
from typing import Any

import pytest

from portafaas.plan import FunctionPlan, HttpTrigger, QueuePlan, QueueTrigger, ScheduleTrigger
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.grouping import apps_of
from portafaas_azure.infrastructure import emit


def _function(name: str, trigger: Any, **more: Any) -> FunctionPlan:
    return FunctionPlan(name, "m", "f", trigger, **more)


def _scales(service: types.ModuleType, *functions: FunctionPlan, **more: Any) -> list[Any]:
    made = emit(service.plan(functions=functions, alerts=(), **more))
    (document,) = made.documents.values()
    return [
        body["properties"]["functionAppConfig"]["scaleAndConcurrency"].get("alwaysReady")
        for body in document["resources"]
        if body["type"] == "Microsoft.Web/sites"
    ]


def _tick(name: str, **more: Any) -> FunctionPlan:
    return _function(name, ScheduleTrigger("0 5 * * *"), **more)


def test_http_is_a_group_and_others_go_by_name(service: types.ModuleType) -> None:
    web = _function("web", HttpTrigger(("GET",), "/"), min_instances=3)
    found = _scales(service, web, _tick("each-day", min_instances=1), _tick("idle"))
    assert found == [
        [{"name": "http", "instanceCount": 3}],
        # As the host calls it.
        [{"name": "function:each_day", "instanceCount": 1}],
        None,
    ]


def test_in_a_group_http_functions_share_what_is_ready(service: types.ModuleType) -> None:
    grouped = {"options": {"apps": "grouped"}}
    webs = [_function(f"w{n}", HttpTrigger((), f"/{n}"), min_instances=2) for n in range(3)]
    cold = _function("cold", HttpTrigger((), "/cold"))
    ticks = [_tick(f"t{n}", min_instances=2) for n in range(2)]
    assert _scales(service, *webs, cold, *ticks, **grouped) == [
        [{"name": "http", "instanceCount": 2}],
        None,
        [{"name": f"function:t{n}", "instanceCount": 2} for n in range(2)],
    ]


def test_without_it_groups_keep_their_names(service: types.ModuleType) -> None:
    """Another name would be another app, and another address."""
    plan = service.plan(functions=(_tick("one"),), options={"apps": "grouped"}, alerts=())
    assert [app.name for app in apps_of(plan)] == ["schedule-44d65a063a"]


@pytest.mark.parametrize(
    ("functions", "options", "refused"),
    [
        ([_tick("a", min_instances=100)], {}, False),
        ([_tick("a", min_instances=101)], {}, True),
        ([_tick("a", min_instances=101, max_instances=101)], {}, False),
        ([_tick(n, min_instances=2, max_instances=3) for n in "ab"], {}, False),
        ([_tick(n, min_instances=2, max_instances=3) for n in "ab"], {"apps": "grouped"}, True),
        ([_function("q", QueueTrigger("few"), min_instances=3)], {}, True),
        ([_function("q", QueueTrigger("few"), min_instances=2)], {}, False),
    ],
)
def test_no_more_is_kept_ready_than_there_may_be(
    service: types.ModuleType, functions: list[Any], options: dict[str, str], refused: bool
) -> None:
    queues = (QueuePlan("few", max_concurrency=2),)
    plan = service.plan(functions=tuple(functions), queues=queues, options=options, alerts=())
    found = [(one.code, one.path) for one in ADAPTER.check(plan) if one.severity == "error"]
    name = functions[0].name
    assert found == ([("PF3002", f"$.functions.{name}.min-instances")] if refused else [])
