"""Logs, channels and alerts of the template."""

from __future__ import annotations

import dataclasses
import json
import types
from typing import Any

import pytest

from portafaas.adapter import Capability, Support
from portafaas.plan import BuildPlan, ScheduleTrigger
from portafaas.plan.model import AlertPlan, ChannelPlan, Logs
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.host import host_settings
from portafaas_azure.infrastructure import emit
from portafaas_azure.infrastructure.graph import Node, resolve

NAMESPACE = "Microsoft.ServiceBus/namespaces"


@pytest.fixture(scope="module")
def plan(service: types.ModuleType) -> BuildPlan:
    made: BuildPlan = service.plan()
    return made


@pytest.fixture(scope="module")
def document(plan: BuildPlan) -> dict[str, Any]:
    return dict(emit(plan).documents["shop.arm.json"])


@pytest.fixture(scope="module")
def nodes(document: dict[str, Any]) -> dict[str, Node]:
    return resolve(document)[0]


def find(nodes: dict[str, Node], kind: str, name: str) -> Any:
    """Return the properties of what is called *name*."""
    (found,) = [n for n in nodes.values()
                if n.type == f"Microsoft.Insights/{kind}" and n.name == f"shop-prod-{name}"]  # fmt: skip
    return found.properties


def condition(properties: Any) -> Any:
    (found,) = properties["criteria"]["allOf"]
    return found


def errors_of(plan: BuildPlan) -> list[tuple[str, str | None]]:
    return [(p.code, p.path) for p in ADAPTER.check(plan) if p.severity == "error"]


def with_alert(plan: BuildPlan, **more: Any) -> BuildPlan:
    base = AlertPlan("new", "errors", "web", "", 1.0, 300, ("on-call",))
    return dataclasses.replace(plan, alerts=(*plan.alerts, dataclasses.replace(base, **more)))


def test_channels(nodes: dict[str, Node]) -> None:
    assert find(nodes, "actionGroups", "on-call") == {
        "groupShortName": "on-call",
        "enabled": True,
        "emailReceivers": [
            {
                "name": "email",
                "emailAddress": "on-call@example.com",
                "useCommonAlertSchema": True,
            }
        ],
        "webhookReceivers": [
            {
                "name": "webhook",
                "serviceUri": "https://example.com/hook?key=1",
                "useCommonAlertSchema": True,
            }
        ],
    }
    other = find(nodes, "actionGroups", "a-channel-of-a-long-name")
    assert other["groupShortName"] == "a-channel-of"
    assert "emailReceivers" not in other
    # One that no alert tells is not made.
    assert sum(n.type.endswith("/actionGroups") for n in nodes.values()) == 2


def test_errors_of_a_function(nodes: dict[str, Node]) -> None:
    found = find(nodes, "scheduledQueryRules", "web-errors")
    assert condition(found)["query"] == (
        "AppRequests | where ingestion_time() > ago(5m) | where OperationName == 'web' | "
        "where Success == false or toint(ResultCode) >= 500 | "
        "summarize Value = sum(ItemCount) by OperationName"
    )
    assert (condition(found)["threshold"], found["windowSize"]) == (5, "PT5M")
    workspace = next(n.id for n in nodes.values() if n.name == "shop-prod-logs")
    assert found["scopes"] == [workspace]
    group = next(n.id for n in nodes.values() if n.name == "shop-prod-on-call")
    assert found["actions"] == {"actionGroups": [group]}
    assert found["description"] == (
        "The [shop] is down (service shop, stage prod; portafaas logs web)"
    )


def test_latency_of_a_function(nodes: dict[str, Node]) -> None:
    found = find(nodes, "scheduledQueryRules", "web-slow")
    assert condition(found)["query"].endswith(
        "| summarize Value = percentile(DurationMs, 95) by OperationName"
    )
    assert "ago(15m)" in condition(found)["query"]
    assert (condition(found)["threshold"], found["windowSize"]) == (1500, "PT15M")


def test_a_window_of_a_minute_is_every_minute(nodes: dict[str, Node]) -> None:
    for name, threshold, column in (
        ("work-errors", 0, "Arrived = bin(Arrived, 1m)"),
        ("orders-slow", 250, "Minute = bin(ingestion_time(), 1m)"),
    ):
        found = find(nodes, "scheduledQueryRules", name)
        assert condition(found)["query"].endswith(column)
        assert condition(found)["threshold"] == threshold
        assert (found["windowSize"], found["evaluationFrequency"]) == ("PT5M", "PT5M")


@pytest.mark.parametrize(
    ("name", "metric", "entity", "window", "often", "threshold"),
    [
        ("failed-jobs", "ActiveMessages", "failed", "PT1H", "PT5M", 0),
        ("out-of-order", "ActiveMessages", "in-order-dead", "PT30M", "PT5M", 10),
        ("lost-files", "ActiveMessages", "on-file-dead", "PT1M", "PT1M", 0),
        ("lost-news", "ActiveMessages", "on-gold-dead", "PT5M", "PT5M", 2),
    ],
)
def test_dead_letters(
    nodes: dict[str, Node],
    name: str,
    metric: str,
    entity: str,
    window: str,
    often: str,
    threshold: int,
) -> None:
    found = find(nodes, "metricAlerts", name)
    assert (found["windowSize"], found["evaluationFrequency"]) == (window, often)
    assert condition(found) == {
        "criterionType": "StaticThresholdCriterion",
        "name": "value",
        "metricNamespace": NAMESPACE,
        "metricName": metric,
        "dimensions": [{"name": "EntityName", "operator": "Include", "values": [entity]}],
        "timeAggregation": "Maximum",
        "operator": "GreaterThan",
        "threshold": threshold,
    }


def test_who_to_ask_about_a_queue(nodes: dict[str, Node]) -> None:
    told = find(nodes, "metricAlerts", "failed-jobs")["description"]
    assert told == "dead-letters of jobs (service shop, stage prod; portafaas logs work)"


def test_one_alert_more_changes_only_its_own_block(
    plan: BuildPlan, document: dict[str, Any]
) -> None:
    one = plan.alerts[2]
    rest = dataclasses.replace(plan, alerts=tuple(a for a in plan.alerts if a != one))
    before = dict(emit(rest).documents["shop.arm.json"])
    added = [r for r in document["resources"] if r not in before["resources"]]
    assert [r["name"] for r in added] == ["shop-prod-work-errors"]
    start = document["resources"].index(added[0])
    without = document["resources"][:start] + document["resources"][start + 1 :]
    assert without == before["resources"]
    assert {k: v for k, v in document.items() if k != "resources"} == {
        k: v for k, v in before.items() if k != "resources"
    }


def test_retention(plan: BuildPlan, document: dict[str, Any], nodes: dict[str, Node]) -> None:
    assert document["parameters"]["logRetentionDays"]["defaultValue"] == 60
    tables = [n for n in nodes.values() if n.type.endswith("/workspaces/tables")]
    assert {n.name for n in tables} >= {"AppTraces", "AppExceptions", "AppRequests"}
    for days in (30, 90, 545):
        made = emit(dataclasses.replace(plan, logs=Logs(days))).documents["shop.arm.json"]
        assert made["parameters"]["logRetentionDays"]["defaultValue"] == days


def test_a_service_of_one_stage_says_no_stage(service: types.ModuleType) -> None:
    made = emit(service.plan(stage="")).documents["shop.arm.json"]
    (found,) = [r for r in made["resources"] if r["name"] == "shop-web-errors"]
    assert "(service shop; portafaas logs web)" in found["properties"]["description"]


def test_long_words_are_cut(plan: BuildPlan) -> None:
    """A template with longer ones would not be deployed: the check of the build agrees."""
    made = emit(with_alert(plan, description="[" + "word " * 1000 + "]"))
    (found,) = [r for r in made.documents["shop.arm.json"]["resources"]
                if r["name"] == "shop-prod-new"]  # fmt: skip
    assert len(found["properties"]["description"]) <= 1500
    assert found["properties"]["description"].endswith("portafaas logs web)")


def test_text_is_never_an_expression(plan: BuildPlan) -> None:
    hook = ChannelPlan("hook", webhook="https://example.com/[a]")
    made = dataclasses.replace(plan, channels=(*plan.channels, hook))
    text = json.dumps(dict(emit(with_alert(made, notify=("hook",))).documents))
    assert "https://example.com/[a]" in text


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"metric": "latency-p95", "threshold": 0.0005}, "PF3002", "threshold"),
        ({"notify": tuple(f"c{n}" for n in range(6))}, "PF3002", "notify"),
    ],
)
def test_what_azure_cannot_tell_is_refused(
    plan: BuildPlan, change: dict[str, Any], code: str, where: str
) -> None:
    assert errors_of(plan) == []
    assert errors_of(with_alert(plan, **change)) == [(code, f"$.alerts.new.{where}")]


@pytest.mark.parametrize("name", ["on-morning", "on-row", "on-more"])
def test_dead_letters_of_any_function(
    plan: BuildPlan, service: types.ModuleType, name: str
) -> None:
    more = (*plan.functions, service.function("on-more", plan.function("on-gold").trigger))
    wide = with_alert(
        dataclasses.replace(plan, functions=more), metric="dead-letters", function=name
    )
    assert errors_of(wide) == []
    document = ADAPTER.infrastructure(wide).documents["shop.arm.json"]
    (alert,) = [r for r in document["resources"] if r["name"].endswith("-prod-new")]
    (criterion,) = alert["properties"]["criteria"]["allOf"]
    assert criterion["metricName"] == "ActiveMessages"
    assert criterion["dimensions"][0]["values"] == [f"{name}-dead"]


def test_how_long_messages_wait_is_no_metric() -> None:
    assert ADAPTER.capabilities[Capability.ALERT_OLDEST_MESSAGE] is Support.UNSUPPORTED
    for done in ("ALERT_ERRORS", "ALERT_LATENCY", "ALERT_DEAD_LETTERS", "MAX_INSTANCES"):
        assert ADAPTER.capabilities[Capability[done]] is Support.FULL


@pytest.mark.parametrize("count", [1000, 1001])
def test_most_instances(plan: BuildPlan, service: types.ModuleType, count: int) -> None:
    wide = service.function("wide", ScheduleTrigger("0 0 * * *"), max_instances=count)
    found = errors_of(dataclasses.replace(plan, functions=(*plan.functions, wide)))
    assert found == ([] if count == 1000 else [("PF3002", "$.functions.wide.max-instances")])


def test_a_variable_that_no_process_starts_with(
    plan: BuildPlan, service: types.ModuleType
) -> None:
    def of(size: int) -> BuildPlan:
        value = {"PORTAFAAS_CONFIG": "ä" * size}
        wide = service.function("wide", ScheduleTrigger("0 0 * * *"), environment=value)
        return dataclasses.replace(plan, functions=(*plan.functions, wide))

    assert errors_of(of(60_000)) == []
    assert errors_of(of(66_000)) == [("PF3002", "$.functions.wide.environment")]


def test_settings_and_level_reach_the_function(service: types.ModuleType) -> None:
    values = {"PORTAFAAS_CONFIG": '{"size":1}', "PORTAFAAS_LOG_LEVEL": "debug"}
    wide = service.function("wide", ScheduleTrigger("0 0 * * *"), environment=values)
    found, _ = resolve(emit(service.plan(functions=(wide,))).documents["shop.arm.json"])
    (site,) = [n for n in found.values() if n.type == "Microsoft.Web/sites"]
    settings = {s["name"]: s["value"] for s in site.properties["siteConfig"]["appSettings"]}
    assert values.items() <= settings.items()
    # Else the host would drop what is logged below "information".
    assert settings["AzureFunctionsJobHost__logging__logLevel__Function"] == "Debug"
    info = dataclasses.replace(wide, environment={"PORTAFAAS_LOG_LEVEL": "info"})
    assert not [name for name in host_settings(info) if "logLevel" in name]
