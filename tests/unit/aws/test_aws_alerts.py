"""Alerts: what an alarm looks at, whom it tells, and that what it counts is what happens."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from portafaas.adapter.stimulus import (
    ChangeStimulus,
    HttpStimulus,
    MessageStimulus,
    ObjectStimulus,
    QueueStimulus,
    ScheduleStimulus,
    Stimulus,
    TopicStimulus,
)
from portafaas.plan import (
    AlertPlan,
    Auth,
    BuildPlan,
    ChannelPlan,
    Cors,
    FunctionPlan,
    HttpTrigger,
)
from portafaas.runtime import (
    BatchHandler,
    BatchResult,
    ChangeHandler,
    EventHandler,
    HttpHandler,
    ObjectHandler,
    QueueHandler,
    ScheduleHandler,
)
from portafaas_aws.adapter import ADAPTER
from portafaas_aws.infrastructure import emit
from portafaas_aws.infrastructure.document import logical_id


def _resources(plan: BuildPlan) -> dict[str, Any]:
    (document,) = emit(plan).documents.values()
    resources: dict[str, Any] = document["Resources"]
    return resources


def _facts(plan: BuildPlan, logical: str) -> dict[str, Any]:
    facts: dict[str, Any] = _resources(plan)[logical]["Properties"]
    return facts


def test_only_channels_that_an_alert_notifies_are_made(watched: BuildPlan) -> None:
    resources = _resources(watched)
    channels = {name for name in resources if "Channel" in name}
    assert channels == {
        "OpsChannel", "OpsChannelEmail", "OpsChannelWebhook", "MailChannel", "MailChannelEmail",
    }  # fmt: skip


@pytest.mark.parametrize("place", [0, 4, 9])
def test_a_new_alert_changes_its_own_blocks(watched: BuildPlan, place: int) -> None:
    for alert, own in (
        (AlertPlan("more", "latency-p95", "work", "", 2.0, 60, ("ops",)), {"MoreAlert"}),
        (AlertPlan("more", "errors", "root", "", 2.0, 60, ("ops",)), {"MoreAlert", "RootFailures"}),
        (
            AlertPlan("more", "errors", "create", "", 2.0, 60, ("nobody",)),
            {"MoreAlert", "NobodyChannel", "NobodyChannelEmail"},
        ),
    ):
        alerts = [*watched.alerts]
        alerts.insert(place, alert)
        before, after = _resources(watched), _resources(replace(watched, alerts=tuple(alerts)))
        assert set(after) - set(before) == own
        assert [name for name in after if name in before] == list(before)
        assert all(after[name] == before[name] for name in before)


def test_what_whoever_is_told_reads(watched: BuildPlan) -> None:
    text = _facts(watched, "OrdersFailAlert")["AlarmDescription"]
    assert text == (
        "Call Ada. errors of function create, service shop, stage dev. "
        "Look at: portafaas logs create"
    )
    assert "portafaas logs work" in _facts(watched, "JobsLostAlert")["AlarmDescription"]
    long = replace(watched, alerts=(replace(watched.alerts[0], description="x" * 2000),))
    text = _facts(long, "OrdersFailAlert")["AlarmDescription"]
    assert len(text) == 1024 and text.endswith(" Look at: portafaas logs create")


def test_thresholds(watched: BuildPlan) -> None:
    assert _facts(watched, "SlowAlert")["Threshold"] == 1250
    odd = replace(watched, alerts=(replace(watched.alerts[3], threshold=0.0033),))
    assert _facts(odd, "SlowAlert")["Threshold"] == 3.3


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("echo", "http"),
        ("work", "queue"),
        ("listen", "topic"),
        ("rows", "table"),
        ("store", "object"),
        ("tick", "schedule"),
    ],
)
def test_failures_that_are_answered_are_counted_by_their_records(
    plan: BuildPlan, name: str, counted: str
) -> None:
    """For these Lambda counts no error: see ``test_what_bridges_make_of_a_failure``."""
    assert plan.function(name).kind == counted
    alert = AlertPlan("x", "errors", name, "", 0.0, 60, ("c",))
    plan = replace(plan, alerts=(alert,), channels=(ChannelPlan("c", "a@b.example"),))
    metrics = _facts(plan, "XAlert")["Metrics"]
    assert metrics[-1]["Expression"] == "SUM([raised, answered])"


def _matches(pattern: str, record: dict[str, Any]) -> bool:
    """Evaluate a JSON pattern as CloudWatch does, as far as ours go.

    A field that is not there fits no comparison; ``*`` ends a text; && binds as brackets say.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
    """

    def one(found: re.Match[str]) -> str:
        value = record.get(found[1])
        if found[2] == ">":
            return str(isinstance(value, int) and value > int(found[3]))
        text = found[3][1:-1]
        return str(str(value).startswith(text[:-1]) if text[-1:] == "*" else value == text)

    assert pattern.startswith("{ ") and pattern.endswith(" }")
    terms = re.sub(r'\$\.(\w+) ([=>]) ("[^"]*"|\d+)', one, pattern[2:-2])
    terms = terms.replace("&&", "and").replace("||", "or")
    assert re.fullmatch(r"(?:True|False|and|or|[ ()])+", terms)
    return bool(eval(terms))


def _counted(plan: BuildPlan, name: str, text: str) -> int:
    """Return what the filter of function *name* adds up over the log *text*."""
    alert = AlertPlan("x", "errors", name, "", 0.0, 60, ("c",))
    plan = replace(plan, alerts=(alert,), channels=(ChannelPlan("c", "a@b.example"),))
    facts = _facts(plan, logical_id(name, "Failures"))
    (change,) = facts["MetricTransformations"]
    total = 0
    for record in map(json.loads, text.splitlines()):
        if _matches(facts["FilterPattern"], record):
            value = change["MetricValue"]
            total += record[value[2:]] if value.startswith("$.") else int(value)
    return total


_STIMULI: dict[str, Stimulus] = {
    "create-order": HttpStimulus("POST", "/orders", body=b"{}"),
    "work": QueueStimulus((MessageStimulus("m-1", b"x"),)),
    "listen": TopicStimulus(MessageStimulus("m-1", b"x")),
    "store": ObjectStimulus("created", "in/a.csv"),
    "rows": ChangeStimulus("insert", {"id": "1"}, {"id": "1"}),
    "tick": ScheduleStimulus("2026-11-23T01:30:00Z"),
}


@pytest.fixture
def failing() -> Iterator[str]:
    """A module in which every handler of the plan raises."""

    def handle(self: Any, item: Any, context: Any) -> Any:
        raise RuntimeError("boom")

    module = ModuleType("failing_handlers_aws")
    for name, base in (
        ("Echo", HttpHandler), ("Messages", QueueHandler), ("Events", EventHandler),
        ("Objects", ObjectHandler), ("Changes", ChangeHandler), ("Ticks", ScheduleHandler),
    ):  # fmt: skip
        setattr(module, name, type(name, (base,), {"handle": handle}))
    sys.modules[module.__name__] = module
    yield module.__name__
    del sys.modules[module.__name__]


def test_what_bridges_make_of_a_failure(
    bound: Callable[..., Callable[[Any, Any], Any]],
    failing: str,
    context: Any,
    plan: BuildPlan,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A failure of each kind is answered, with a record that the pattern finds."""
    seen: dict[str, int] = {}
    for name, stimulus in _STIMULI.items():
        handle, function = bound(name, module=failing), plan.function(name)
        (request,) = ADAPTER.encode(plan, function, stimulus)
        capsys.readouterr()
        # Nothing is raised, so that Lambda counts nothing beside it.
        handle(json.loads(json.dumps(request.payload)), context)
        seen[function.kind] = _counted(plan, name, capsys.readouterr().err)
    assert seen == dict.fromkeys(("http", "queue", "topic", "table", "object", "schedule"), 1)


@pytest.mark.parametrize(("said", "counted"), [(None, 0), ("one", 1), ("two", 2), ("raised", 3)])
def test_each_message_of_a_batch_counts(
    bound: Callable[..., Callable[[Any, Any], Any]],
    context: Any,
    plan: BuildPlan,
    capsys: pytest.CaptureFixture[str],
    said: str | None,
    counted: int,
) -> None:
    def handle(self: Any, batch: Any, context: Any) -> Any:
        context.logger.error("handler failed?", extra={"failed_attempts": 7})
        if said == "raised":
            raise RuntimeError("boom")
        result = BatchResult()
        for message in list(batch)[: {"one": 1, "two": 2}.get(said or "", 0)]:
            result.dead_letter(message, "no") if said == "one" else result.retry(message)
        return result

    module = ModuleType("batching_handlers_aws")
    module.Messages = type("Messages", (BatchHandler,), {"handle": handle})  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    try:
        function = plan.function("work")
        stimulus = QueueStimulus(tuple(MessageStimulus(f"m-{n}", b"x") for n in range(3)))
        trigger = replace(function.trigger, batch=3)  # type: ignore[arg-type, type-var]
        handle_ = bound("work", module=module.__name__, trigger=trigger)
        changed = replace(function, trigger=trigger)
        (request,) = ADAPTER.encode(plan, changed, stimulus)
        capsys.readouterr()
        handle_(json.loads(json.dumps(request.payload)), context)
    finally:
        del sys.modules[module.__name__]
    assert _counted(plan, "work", capsys.readouterr().err) == counted


def test_a_request_is_counted_once(plan: BuildPlan) -> None:
    """What counts for requests is as it was: their handlers' records, not a field."""
    line = {"severity": "ERROR", "message": "handler failed: X()"}
    assert _counted(plan, "echo", json.dumps(line)) == 1
    assert _counted(plan, "echo", json.dumps({**line, "severity": "INFO"})) == 0
    assert _counted(plan, "work", json.dumps(line)) == 0


def test_resources_of_an_http_function(stack: BuildPlan) -> None:
    """Function, role, log, integration, route, permission: what a service of many is made of."""
    one = replace(stack, functions=(FunctionPlan("one", "m", "a", HttpTrigger(("GET",), "/one")),))
    own = {name for name in _resources(one) if name.startswith("One")}
    assert own == {
        "OneFunction", "OneRole", "OneLogs", "OneIntegration", "OneAnyRoute", "OneAnyPermission",
    }  # fmt: skip


def test_a_preflight_request_to_a_signed_route_passes(stack: BuildPlan) -> None:
    trigger = HttpTrigger(("GET",), "/one", Auth("iam"), Cors(("*",), ("GET",)))
    resources = _resources(replace(stack, functions=(FunctionPlan("one", "m", "a", trigger),)))
    routes = {
        r["Properties"]["RouteKey"]: r["Properties"]["AuthorizationType"]
        for r in resources.values()
        if r["Type"] == "AWS::ApiGatewayV2::Route"
    }
    assert routes == {"ANY /one": "AWS_IAM", "OPTIONS /one": "NONE"}
    # The permission for all methods is for this one too.
    assert [n for n in resources if n.endswith("Permission")] == ["OneAnyPermission"]
