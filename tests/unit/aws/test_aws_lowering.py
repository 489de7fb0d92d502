"""What a plan becomes: files, deployments, bindings, limits; and what the adapter declares."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from typing import Any

import pytest

from portafaas.adapter import Capability, Support
from portafaas.manifest.validate import Validator
from portafaas.plan import (
    BuildPlan,
    Cors,
    FunctionPlan,
    HttpTrigger,
    QueuePlan,
    QueueTrigger,
    Retry,
    TableTrigger,
)
from portafaas_aws.adapter import ADAPTER
from portafaas_aws.bindings import binding


def _bindings(plan: BuildPlan) -> dict[str, Any]:
    return {d.function: dict(d.binding) for d in ADAPTER.lower(plan).deployments}


def test_entry_module_is_literal_and_stable(plan: BuildPlan) -> None:
    lowered = ADAPTER.lower(plan)
    assert list(lowered.files) == ["_portafaas.py"]
    assert lowered == ADAPTER.lower(plan)
    tree = ast.parse(lowered.files["_portafaas.py"])
    assigned = next(node for node in tree.body if isinstance(node, ast.Assign))
    specs = ast.literal_eval(assigned.value)
    assert list(specs) == [function.entry for function in plan.functions]
    assert specs["create_order"] == {
        "name": "create-order",
        "service": "shop",
        "stage": "dev",
        "kind": "http",
        "handler": "handlers_aws_under_test:Echo",
        "interface": "handler",
        "timeout": 29,
        "memory": 256,
        "concurrency": 1,
        "source": "/shop/functions/create-order",
        "trigger": {"methods": ["POST", "PUT"], "path": "/orders"},
    }
    # The package runs on every Python of the layout.
    compile(tree, "_portafaas.py", "exec", dont_inherit=True)


def test_entry_has_no_other_names(entry: Any) -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = entry.nothing
    assert entry.tick is entry.tick


def test_deployments(plan: BuildPlan) -> None:
    given = replace(plan.function("work"), environment={"A": "1"}, memory=512, timeout=60)
    (deployment,) = ADAPTER.lower(replace(plan, functions=(given,))).deployments
    assert deployment.entry == "_portafaas.work"
    assert (deployment.memory, deployment.timeout) == (512, 65)
    assert deployment.environment == {"A": "1"}
    for deployment in ADAPTER.lower(plan).deployments:
        assert json.loads(json.dumps(deployment.binding)) == deployment.binding
        assert deployment.binding["functionName"] == f"shop-dev-{deployment.function}"


@pytest.mark.parametrize(
    ("name", "timeout", "handler", "platform"),
    [("echo", 30, 29, 30), ("echo", 10, 10, 11), ("url", 300, 300, 301), ("work", 900, 895, 900), ("work", 20, 20, 25)],
)
def test_handler_ends_before_the_platform(
    plan: BuildPlan, name: str, timeout: int, handler: int, platform: int
) -> None:
    function = replace(plan.function(name), timeout=timeout)
    lowered = ADAPTER.lower(replace(plan, functions=(function,)))
    assert lowered.deployments[0].timeout == platform
    assert f"'timeout': {handler}," in lowered.files["_portafaas.py"].decode()


def _keys(plan: BuildPlan, name: str) -> list[tuple[str, str]]:
    return [(r["routeKey"], r["authorizationType"]) for r in _bindings(plan)[name]["routes"]]


def test_http_routes(plan: BuildPlan) -> None:
    assert _keys(plan, "echo") == [
        ("ANY /echo/{name}/{rest+}", "NONE"),
        ("ANY /echo/{name}", "NONE"),
    ]
    assert _keys(plan, "create-order") == [
        ("POST /orders", "NONE"),
        ("PUT /orders", "NONE"),
        ("ANY /orders", "NONE"),
    ]
    assert _keys(plan, "signed")[0] == ("GET /signed", "AWS_IAM")
    assert _bindings(plan)["url"]["type"] == "function-url"


def test_http_routes_of_one_path(plan: BuildPlan) -> None:
    get = HttpTrigger(("GET",), "/o", None, Cors(("*",), ("GET", "POST")))
    post = HttpTrigger(
        ("POST",), "/o", None, Cors(("*",), ("GET", "POST"), answers_preflight=False)
    )
    base = plan.function("echo")
    both = tuple(replace(base, name=n, trigger=t) for n, t in (("get", get), ("post", post)))
    some = replace(plan, functions=both)
    assert [key for key, _ in _keys(some, "get")] == ["GET /o", "ANY /o", "OPTIONS /o"]
    assert [key for key, _ in _keys(some, "post")] == ["POST /o"]
    rest = replace(base, name="rest", trigger=HttpTrigger((), "/o"))
    assert [key for key, _ in _keys(replace(some, functions=(*both, rest)), "get")] == [
        "GET /o",
        "OPTIONS /o",
    ]


def test_queues(plan: BuildPlan) -> None:
    bindings = _bindings(plan)
    assert bindings["work-batch"] == {
        "functionName": "shop-dev-work-batch",
        "type": "sqs",
        "queue": {
            "QueueName": "shop-dev-jobs",
            "VisibilityTimeout": 6 * 35 + 5,
            "MessageRetentionPeriod": 345_600,
            "DelaySeconds": 0,
            "RedrivePolicy": {"maxReceiveCount": 5, "deadLetterQueueName": "shop-dev-jobs-dead"},
        },
        "eventSourceMapping": {
            "BatchSize": 3,
            "MaximumBatchingWindowInSeconds": 5,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    }
    assert bindings["work-ordered"]["eventSourceMapping"]["BatchSize"] == 1
    ordered = bindings["work-ordered"]["queue"]
    assert ordered["QueueName"] == "shop-dev-steps.fifo" and ordered["FifoQueue"] is True
    big = replace(plan.function("work"), trigger=QueueTrigger("jobs", 11))
    assert binding(plan, big)["eventSourceMapping"]["MaximumBatchingWindowInSeconds"] == 1


def test_topic_is_queued_without_raw_delivery(plan: BuildPlan) -> None:
    found = _bindings(plan)["pick"]
    assert found["subscription"] == {
        "TopicName": "shop-dev-news",
        "Protocol": "sqs",
        "RawMessageDelivery": False,
        "FilterPolicyScope": "MessageAttributes",
        "FilterPolicy": {
            "$or": [
                {"kind": ["a", "b"]},
                {"ce-kind": ["a", "b"]},
                {"content-type": [{"prefix": "application/cloudevents+json"}]},
                {"Content-Type": [{"prefix": "application/cloudevents+json"}]},
            ],
            "ce-type": ["made", {"exists": False}],
        },
    }
    assert found["eventSourceMapping"]["BatchSize"] == 1
    assert found["queue"]["RedrivePolicy"]["maxReceiveCount"] == 5


def test_objects_tables_schedules(plan: BuildPlan) -> None:
    bindings = _bindings(plan)
    assert bindings["store"]["events"] == [
        "s3:ObjectCreated:*",
        "s3:ObjectRemoved:*",
        "s3:LifecycleExpiration:*",
    ]
    assert bindings["store"]["filter"]["Key"]["FilterRules"] == [{"Name": "prefix", "Value": "in/"}]
    dead = {"maxReceiveCount": 5, "deadLetterQueueName": "shop-dev-store-failed"}
    assert bindings["store"]["queue"]["QueueName"] == "shop-dev-store-objects"
    assert bindings["store"]["queue"]["RedrivePolicy"] == dead
    assert bindings["store"]["eventSourceMapping"]["BatchSize"] == 1
    upserts = bindings["upserts"]
    # Its own images are the new ones; the table's other function wants both.
    assert upserts["streamViewType"] == "NEW_AND_OLD_IMAGES"
    assert upserts["eventSourceMapping"]["FilterCriteria"] == {"eventName": ["INSERT", "MODIFY"]}
    assert upserts["eventSourceMapping"]["MaximumRetryAttempts"] == 4
    alone = replace(plan, functions=(plan.function("upserts"),))
    assert _bindings(alone)["upserts"]["streamViewType"] == "NEW_IMAGE"
    declared = replace(plan.function("rows"), retry=Retry(3, declared=True))
    assert binding(plan, declared)["eventSourceMapping"]["MaximumRetryAttempts"] == 2
    tick = bindings["tick"]
    assert tick["queue"]["QueueName"] == "shop-dev-tick-schedule"
    assert tick["queue"]["RedrivePolicy"]["deadLetterQueueName"] == "shop-dev-tick-failed"
    assert tick["ScheduleExpression"].startswith("cron(")
    assert tick["Input"]["time"] == "<aws.scheduler.scheduled-time>"


def test_old_images_only(plan: BuildPlan) -> None:
    trigger = TableTrigger("people", ("delete",), ("old",))
    function = replace(plan.function("rows"), trigger=trigger)
    found = binding(replace(plan, functions=(function,)), function)
    assert found["streamViewType"] == "OLD_IMAGE"
    assert found["eventSourceMapping"]["FilterCriteria"] == {"eventName": ["REMOVE"]}


def test_plan_within_limits(plan: BuildPlan) -> None:
    assert list(ADAPTER.check(plan)) == []


_QUEUE = "$.functions.work.trigger.queue"


@pytest.mark.parametrize(
    ("name", "changes", "path"),
    [
        ("echo", {"memory": 127}, "$.functions.echo.memory"),
        ("echo", {"memory": 10_241}, "$.functions.echo.memory"),
        ("echo", {"timeout": 31}, "$.functions.echo.timeout"),
        ("url", {"timeout": 901}, "$.functions.url.timeout"),
        ("work", {"timeout": 901}, "$.functions.work.timeout"),
        ("work", {"options": {"front": "http-api"}}, "$.functions.work.targets.aws.front"),
        ("work", {"trigger": QueueTrigger("jobs", 10_001)}, f"{_QUEUE}.batch"),
        ("work", {"trigger": QueueTrigger("jobs", 1, 301)}, f"{_QUEUE}.window"),
        ("work", {"trigger": QueueTrigger("steps", 11)}, f"{_QUEUE}.batch"),
        ("work", {"trigger": QueueTrigger("steps", 1, 1)}, f"{_QUEUE}.window"),
        ("work", {"environment": {"AWS_REGION": "x"}}, "$.functions.work.environment.AWS_REGION"),
        ("work", {"environment": {"A": "x" * 4096}}, "$.functions.work.environment"),
        ("work", {"environment": {"A": "x" * 4000}}, "$.functions.work.environment"),
        ("work", {"retry": Retry(maximum=42_001.0)}, "$.functions.work.retry.max"),
        ("tick", {"retry": Retry(maximum=43_200.0)}, "$.functions.tick.retry.max"),
        ("tick", {"max_instances": 1}, "$.functions.tick.max-instances"),
        ("store", {"max_instances": 1}, "$.functions.store.max-instances"),
    ],
)
def test_beyond_a_limit(
    plan: BuildPlan, name: str, changes: dict[str, Any], path: str
) -> None:
    function: FunctionPlan = replace(plan.function(name), **changes)
    (found,) = ADAPTER.check(replace(plan, functions=(function,)))
    assert found.code == "PF3002" and "https://docs.aws.amazon.com/" in found.message
    assert found.path == path


@pytest.mark.parametrize(
    ("queue", "path"),
    [
        (QueuePlan("q", retention=59), "$.queues.q.retention"),
        (QueuePlan("q", retention=1_209_601), "$.queues.q.retention"),
        (QueuePlan("q", delay=901), "$.queues.q.delay"),
        (QueuePlan("q", max_concurrency=1), "$.queues.q.max-concurrency"),
        (QueuePlan("q", max_concurrency=1001), "$.queues.q.max-concurrency"),
    ],
)
def test_queue_beyond_a_limit(plan: BuildPlan, queue: QueuePlan, path: str) -> None:
    (found,) = ADAPTER.check(replace(plan, functions=(), queues=(queue,)))
    assert found.code == "PF3002" and found.path == path


def test_capabilities_and_options() -> None:
    assert set(ADAPTER.capabilities) == set(Capability)
    gaps = {c for c, support in ADAPTER.capabilities.items() if support is not Support.FULL}
    assert gaps == {Capability.MIN_INSTANCES}
    schemas = ADAPTER.options_schema()
    function, service = (Validator(schemas[level]) for level in ("function", "service"))
    assert list(function.problems({"front": "function-url"})) == []
    assert list(function.problems({"front": "nginx"})) and list(function.problems({"x": 1}))
    assert list(service.problems({"x": 1}))
    assert set(ADAPTER.layout.glibc) == set(ADAPTER.layout.pythons)


def test_attempts_at_a_change_have_to_fit_into_an_invocation(plan: BuildPlan) -> None:
    def found(retry: Retry, timeout: int) -> list[str]:
        function = replace(plan.function("rows"), retry=retry, timeout=timeout)
        return [d.severity for d in ADAPTER.check(replace(plan, functions=(function,)))]

    # 1, 2, 4 and 8 s.
    assert found(Retry(declared=True), 15) == ["warning"]
    assert found(Retry(declared=True), 16) == []
    assert found(Retry(attempts=4, backoff="fixed", initial=4.0, declared=True), 13) == []
    assert found(Retry(), 3) == [], "nobody asked for it"
