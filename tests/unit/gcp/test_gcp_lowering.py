"""What a plan is lowered to, and what is refused."""

from __future__ import annotations

import ast
import dataclasses
import json
from typing import Any

import pytest

from portafaas.adapter import Capability, Support
from portafaas.errors import Diagnostic
from portafaas.plan import (
    Auth,
    BuildPlan,
    Cors,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    Retry,
    ScheduleTrigger,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
)
from portafaas_gcp.adapter import ADAPTER
from portafaas_gcp.lowering import broker_filter

GET = HttpTrigger(("GET",), "/")


def _plan(trigger: Any = GET, *, plan: dict[str, Any] | None = None, **more: Any) -> BuildPlan:
    function = FunctionPlan("do-it", "app.api", "handle", trigger, **more)
    return BuildPlan(
        **{
            "service": "shop",
            "stage": "dev",
            "python": "3.12",
            "architecture": "x86_64",
            "functions": (function,),
            "queues": (QueuePlan("jobs"),),
            "topics": (TopicPlan("t"),),
            "tables": (TablePlan("t"),),
            **(plan or {}),
        }
    )


def _binding(*args: Any, **more: Any) -> dict[str, Any]:
    return dict(ADAPTER.lower(_plan(*args, **more)).deployments[0].binding)


def test_files(plan: BuildPlan) -> None:
    files = ADAPTER.lower(plan).files
    assert sorted(files) == ["main.py", "requirements.txt"]
    assert files["requirements.txt"] == b"functions-framework==3.10.2\n"
    tree = ast.parse(files["main.py"], feature_version=(3, 10))
    specs = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_SPECS"
    )
    assert list(specs) == [function.entry for function in plan.functions]
    assert specs["take_orders"]["trigger"] == {"queue": "orders", "batch": 2, "ordered": False}
    assert ADAPTER.lower(plan) == ADAPTER.lower(plan)


def test_framework_pin_is_the_vendor_runtime_s() -> None:
    pinned = ADAPTER.vendor_runtime().requirements("3.12").pinned
    line = ADAPTER.lower(_plan()).files["requirements.txt"].decode().strip()
    assert line in pinned


def test_deployment_of_an_http_function() -> None:
    deployment = ADAPTER.lower(_plan(environment={"A": "b"})).deployments[0]
    assert deployment == dataclasses.replace(
        deployment,
        function="do-it",
        entry="do_it",
        memory=256,
        timeout=35,
        environment={"A": "b", "THREADS": "1", "WORKERS": "1"},
        binding={
            "name": "shop-dev-do-it",
            "build": {
                "runtime": "python312",
                "entryPoint": "do_it",
                "environmentVariables": {
                    "GOOGLE_FUNCTION_SIGNATURE_TYPE": "http",
                    "SOURCE_DATE_EPOCH": "315532800",
                },
            },
            "service": {
                "availableMemory": "256Mi",
                "timeoutSeconds": 35,
                "maxInstanceRequestConcurrency": 1,
            },
            "invoker": "allUsers",
            "trigger": {"type": "http", "path": "/", "methods": ["GET"]},
        },
    )


def test_bindings_are_json_and_only_open_routes_are_public(plan: BuildPlan) -> None:
    for deployment in ADAPTER.lower(plan).deployments:
        assert json.loads(json.dumps(deployment.binding)) == deployment.binding
        function = plan.function(deployment.function)
        is_open = function.kind == "http" and function.name != "who-calls"
        assert deployment.binding["invoker"] == ("allUsers" if is_open else "iam")


def test_options_and_concurrency() -> None:
    options = {"cpu": 2}
    more: dict[str, Any] = {"options": options, "min_instances": 1, "max_instances": 4}
    binding = _binding(**more, concurrency=20, plan={"options": {"region": "eu-west1"}})
    assert binding["region"] == "eu-west1"
    assert binding["service"] == {
        "availableMemory": "256Mi",
        "timeoutSeconds": 35,
        "maxInstanceRequestConcurrency": 20,
        "availableCpu": "2",
        "minInstanceCount": 1,
        "maxInstanceCount": 4,
    }
    assert _binding(concurrency=2)["service"]["availableCpu"] == "1"
    assert _binding(concurrency=2, memory=8193)["service"]["availableCpu"] == "4"
    deployment = ADAPTER.lower(_plan(concurrency=20)).deployments[0]
    assert deployment.environment["THREADS"] == "20"


def test_queue_binding() -> None:
    queue = QueuePlan("jobs", True, "lost", 1200, max_concurrency=5)
    retry = Retry(7, initial=2, maximum=900, declared=True)
    binding = _binding(QueueTrigger("jobs"), plan={"queues": (queue,)}, retry=retry, timeout=60)
    assert binding["trigger"] == {
        "type": "pubsub",
        "topic": "jobs",
        "subscription": {
            "ackDeadlineSeconds": 65,
            "expirationPolicy": {},
            "pushConfig": {"oidcToken": {}, "pubsubWrapper": {}},
            "retryPolicy": {"minimumBackoff": "2s", "maximumBackoff": "600s"},
            "messageRetentionDuration": "1200s",
            "enableMessageOrdering": True,
            "deadLetterPolicy": {"deadLetterTopic": "lost", "maxDeliveryAttempts": 7},
        },
    }
    assert binding["service"]["maxInstanceCount"] == 5


def test_a_fixed_delay_does_not_grow() -> None:
    retry = Retry(backoff="fixed", initial=0.25, declared=True)
    binding = _binding(QueueTrigger("jobs"), retry=retry)
    assert binding["trigger"]["subscription"]["retryPolicy"] == {
        "minimumBackoff": "0.25s",
        "maximumBackoff": "0.25s",
    }
    retry = Retry(initial=1, maximum=31_536_000, declared=True)
    binding = _binding(ScheduleTrigger("* * * * *"), retry=retry)
    assert binding["trigger"]["retryConfig"]["maxBackoffDuration"] == "31536000s"


def test_event_bindings(plan: BuildPlan) -> None:
    found = {d.function: d.binding["trigger"] for d in ADAPTER.lower(plan).deployments}
    assert found["nightly"]["schedule"] == "30 2 * * 1-5"
    assert found["nightly"]["timeZone"] == "Europe/Berlin"
    assert found["nightly"]["attemptDeadline"] == "15s"
    types = [group[0]["value"].rpartition(".")[2] for group in found["audit"]["eventFilters"]]
    assert types == ["created", "updated", "deleted"]
    assert found["rows"]["eventFilters"] == [
        [
            {"attribute": "type", "value": f"google.cloud.firestore.document.v1.{word}"},
            {"attribute": "database", "value": "shop-test-tables"},
            {
                "attribute": "document",
                "value": "items/{id}",
                "operator": "match-path-pattern",
            },
        ]
        for word in ("created", "updated")
    ]
    assert found["files"] == {
        "type": "storage",
        "bucket": "uploads",
        "eventTypes": ["OBJECT_FINALIZE", "OBJECT_DELETE"],
        "objectNamePrefix": "in/",
        "payloadFormat": "JSON_API_V1",
        "subscription": {
            "ackDeadlineSeconds": 12,
            "expirationPolicy": {},
            "pushConfig": {"oidcToken": {}, "pubsubWrapper": {}},
            "retryPolicy": {"minimumBackoff": "1s", "maximumBackoff": "60s"},
            "deadLetterPolicy": {"deadLetterTopic": "files-dead", "maxDeliveryAttempts": 5},
        },
    }
    from portafaas.plan import BucketPlan

    versioned = dataclasses.replace(plan, buckets=(BucketPlan("uploads", versioned=True),))
    again = next(d for d in ADAPTER.lower(versioned).deployments if d.function == "files")
    assert again.binding["trigger"]["eventTypes"][1] == "OBJECT_ARCHIVE"


def test_broker_filter_is_a_superset_or_nothing() -> None:
    # https://cloud.google.com/pubsub/docs/subscription-message-filter
    own = '(NOT attributes:"pf-to" OR attributes."pf-to" = "do-it")'
    assert broker_filter(TopicTrigger("t"), "do-it") == own
    assert broker_filter(TopicTrigger("t", (("type", ("a", 'b"\\')),)), "do-it") == (
        '(attributes."ce-type" = "a" OR attributes."ce-type" = "b\\"\\\\" '
        f'OR NOT attributes:"ce-type") AND {own}'
    )
    assert broker_filter(TopicTrigger("t", (("tenant", ("x",)),)), "do-it") == (
        '(attributes."ce-tenant" = "x" OR attributes."tenant" = "x" '
        f'OR hasPrefix(attributes."content-type", "application/cloudevents")) AND {own}'
    )
    # What does not fit is left to the bridge: of two the copies, which are few.
    assert broker_filter(TopicTrigger("t", (("tenant", ("x" * 200,)),)), "do-it") == own
    long = broker_filter(TopicTrigger("t", (("type", ("x" * 170,)),)), "do-it")
    assert "pf-to" not in long and long.startswith("(attributes")
    assert broker_filter(TopicTrigger("t"), "f" * 250) == ""
    binding = _binding(TopicTrigger("t", (("type", ("a",)),)))
    assert binding["trigger"]["subscription"]["filter"].startswith("(attributes")


def test_a_position_on_every_capability() -> None:
    missing = {c for c in Capability if ADAPTER.capabilities[c] is not Support.FULL}
    assert missing == {Capability.ARCHITECTURE_ARM}


def test_options_schema_takes_only_what_is_honoured() -> None:
    from jsonschema import Draft202012Validator, ValidationError

    for level, good, bad in (
        ("service", {"region": "europe-west1", "database": "(default)"}, {"project": "x"}),
        ("function", {"cpu": 1}, {"minInstances": 3}),
    ):
        schema = dict(ADAPTER.options_schema()[level])
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(good)
        with pytest.raises(ValidationError):
            Draft202012Validator(schema).validate(bad)


def _errors(*args: Any, **more: Any) -> list[Diagnostic]:
    found = ADAPTER.check(_plan(*args, **more))
    assert all(item.code == "PF3002" for item in found)
    return list(found)


def test_nothing_to_say(plan: BuildPlan) -> None:
    assert _errors() == []
    assert ADAPTER.check(plan) == []


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"memory": 127}, "$.functions.do-it.memory", "128"),
        ({"memory": 32_769}, "$.functions.do-it.memory", "32768"),
        ({"timeout": 3601}, "$.functions.do-it.timeout", "3600"),
        ({"concurrency": 1001}, "$.functions.do-it.concurrency", "1000"),
        ({"environment": {"PORT": "1"}}, "$.functions.do-it.environment.PORT", "reserved"),
        ({"environment": {"X_GOOGLE_A": "1"}}, "$.functions.do-it.environment.X_GOOGLE_A", ""),
        ({"environment": {"A": "x" * 32_768}}, "$.functions.do-it.environment", "32835"),
        ({"max_instances": 1001}, "$.functions.do-it.max-instances", "1000"),
        ({"min_instances": 3, "max_instances": 2}, "$.functions.do-it.min-instances", "most"),
        ({"min_instances": 101}, "$.functions.do-it.min-instances", "100"),
        ({"plan": {"service": "s" * 40}}, "$.functions.do-it", "49"),
        ({"plan": {"queues": (QueuePlan("lost", retention=599),)}}, "$.queues.lost.retention",
         "10 minutes"),
    ],
)  # fmt: skip
def test_limits(change: dict[str, Any], path: str, text: str) -> None:
    found = _errors(**change)
    assert [item.path for item in found] == [path]
    assert text in found[0].message and found[0].severity == "error"


@pytest.mark.parametrize(
    ("trigger", "most"),
    [
        (QueueTrigger("jobs"), 600),
        (TopicTrigger("t"), 600),
        (ObjectTrigger("b"), 600),
        (TableTrigger("t"), 540),
        (ScheduleTrigger("* * * * *"), 1800),
    ],
)
def test_timeouts_by_kind(trigger: Any, most: int) -> None:
    assert _errors(trigger, timeout=most) == []
    assert str(most) in _errors(trigger, timeout=most + 1)[0].message
    assert ADAPTER.lower(_plan(trigger, timeout=most)).deployments[0].timeout >= most


@pytest.mark.parametrize(
    ("queue", "retry", "path"),
    [
        (QueuePlan("jobs", delay=1), Retry(), "$.queues.jobs.delay"),
        (QueuePlan("jobs", retention=599), Retry(), "$.queues.jobs.retention"),
        (QueuePlan("jobs", retention=2_678_401), Retry(), "$.queues.jobs.retention"),
        (QueuePlan("jobs", True), Retry(maximum=601), "$.functions.do-it.retry.max"),
        (
            QueuePlan("jobs", True),
            Retry(backoff="fixed", initial=601),
            "$.functions.do-it.retry.initial",
        ),
        (QueuePlan("jobs", dead_letter=True), Retry(101), "$.functions.do-it.retry.attempts"),
    ],
)
def test_queue_limits(queue: QueuePlan, retry: Retry, path: str) -> None:
    found = _errors(QueueTrigger("jobs"), plan={"queues": (queue,)}, retry=retry)
    assert [item.path for item in found] == [path]


def test_retries_that_are_kept() -> None:
    """Fewer attempts than Pub/Sub's five, by the bridge; longer delays than its own, by copies."""
    for queue, retry in (
        (QueuePlan("jobs", dead_letter=True), Retry(3)),
        (QueuePlan("jobs", dead_letter=True), Retry(100)),
        (QueuePlan("jobs"), Retry(initial=700, maximum=3600)),
        (QueuePlan("jobs", True), Retry(backoff="fixed", maximum=3600)),
    ):
        assert _errors(QueueTrigger("jobs"), plan={"queues": (queue,)}, retry=retry) == []


def test_concurrency_that_is_not_kept() -> None:
    queue = QueuePlan("jobs", max_concurrency=4)
    trigger = QueueTrigger("jobs")
    [found] = _errors(trigger, plan={"queues": (queue,)}, concurrency=5)
    assert (found.code, found.path) == ("PF3002", "$.queues.jobs.max-concurrency")
    assert _errors(trigger, plan={"queues": (queue,)}, concurrency=4) == []



def test_module_main_is_taken() -> None:
    plan = _plan()
    function = dataclasses.replace(plan.functions[0], module="main")
    found = ADAPTER.check(dataclasses.replace(plan, functions=(function,)))
    assert [item.path for item in found] == ["$.functions.do-it.handler"]


def test_browsers_cannot_pass_iam() -> None:
    trigger = HttpTrigger(("GET",), "/", Auth("iam"), Cors(("*",), ("GET",)))
    found = _errors(trigger)
    assert [item.severity for item in found] == ["warning"]
