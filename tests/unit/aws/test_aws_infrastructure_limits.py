"""What is refused because of how the parts of a service would meet on AWS."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from portafaas.plan import (
    AlertPlan,
    Auth,
    BucketPlan,
    BuildPlan,
    ChannelPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    ScheduleTrigger,
    TablePlan,
    TopicPlan,
    TopicTrigger,
    Use,
)
from portafaas_aws.adapter import ADAPTER
from portafaas_aws.infrastructure import emit


def test_within_limits(stack: BuildPlan) -> None:
    assert list(ADAPTER.check(stack)) == []


def _many(count: int) -> tuple[FunctionPlan, ...]:
    return tuple(
        FunctionPlan(f"f{n}", "m", "a", HttpTrigger(("GET", "POST"), f"/f/{n}"))
        for n in range(count)
    )


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        (
            {"queues": (QueuePlan("a", dead_letter=True), QueuePlan("a-dead")), "functions": ()},
            "$.queues.a-dead",
        ),
        (
            {
                "queues": (QueuePlan("b-failed"),),
                "functions": (FunctionPlan("b", "m", "a", ScheduleTrigger("0 3 * * *")),),
            },
            "$.functions.b",
        ),
        (
            {
                "queues": (QueuePlan("a", ordered=True, dead_letter="b"), QueuePlan("b")),
                "functions": (),
            },
            "$.queues.a.dead-letter",
        ),
        (
            {
                "functions": (
                    FunctionPlan("one", "m", "a", ObjectTrigger("uploads", prefix="a/")),
                    FunctionPlan("two", "m", "a", ObjectTrigger("uploads", prefix="a/b/")),
                )
            },
            "$.functions.two.trigger.object",
        ),
        (
            {
                "functions": (
                    FunctionPlan(
                        "one", "m", "a",
                        TopicTrigger("news", (("type", tuple(map(str, range(20)))), ("x", ("1",) * 4))),
                    ),
                )
            },
            "$.functions.one.trigger.topic.filter",
        ),
        (
            {
                "functions": (
                    FunctionPlan(
                        "one", "m", "a", HttpTrigger((), "/"),
                        environment={"A": "x" * 4000}, uses=(Use("read", "table", "orders"),),
                    ),
                )
            },
            "$.functions.one.uses",
        ),
        ({"functions": _many(90)}, "$.functions"),
        ({"tables": (TablePlan("t", key="a", sort="a"),), "functions": ()}, "$.tables.t.sort"),
        (
            {
                "functions": (
                    FunctionPlan(
                        "one", "m", "a", HttpTrigger((), "/"),
                        environment={"KEY": "{{resolve:ssm-secure:key}}"},
                    ),
                )
            },
            "$.functions.one.environment.KEY",
        ),
        (
            {
                "functions": (
                    FunctionPlan(
                        "one", "m", "a", HttpTrigger((), "/", Auth("key", keys="KEYS")),
                        environment={"A": "x" * 4030},
                    ),
                )
            },
            "$.functions.one.trigger.http.auth.keys",
        ),
        (
            {
                "functions": (FunctionPlan("one", "m", "a", HttpTrigger((), "/")),),
                "topics": (TopicPlan("alerts-ops"),),
                "channels": (ChannelPlan("ops", "a@b.example"),),
                "alerts": (AlertPlan("x", "errors", "one", "", 0.0, 60, ("ops",)),),
            },
            "$.channels.ops",
        ),
        (
            {
                "functions": (FunctionPlan("one", "m", "a", HttpTrigger((), "/")),),
                "channels": tuple(ChannelPlan(f"c{n}", "a@b.example") for n in range(6)),
                "alerts": (
                    AlertPlan("x", "errors", "one", "", 0.0, 60, tuple(f"c{n}" for n in range(6))),
                ),
            },
            "$.alerts.x.notify",
        ),
        (
            {
                "functions": (FunctionPlan("one", "m", "a", HttpTrigger((), "/")),),
                "channels": (ChannelPlan("ops", "", "https://h.example/{{resolve:ssm:x}}"),),
                "alerts": (AlertPlan("x", "errors", "one", "", 0.0, 60, ("ops",)),),
            },
            "$.channels.ops.webhook",
        ),
        (
            {
                "functions": (FunctionPlan("one", "m", "a", HttpTrigger((), "/")),),
                "channels": (ChannelPlan("ops", "a@b.example"),),
                "alerts": (
                    AlertPlan("x", "errors", "one", "", 0.0, 60, ("ops",), "{{resolve:ssm:x}}"),
                ),
            },
            "$.alerts.x.description",
        ),
    ],
    ids=["two queues of a name", "failed events", "dead letters", "objects", "filter", "environment", "resources",
         "table", "secret", "keys", "two topics", "many channels", "secret address",
         "secret description"],
)  # fmt: skip
def test_refused(stack: BuildPlan, changes: dict[str, Any], path: str) -> None:
    plan = replace(stack, **changes)
    emitted = ADAPTER.infrastructure(plan)
    assert emitted.documents == {}
    (found,) = (note for note in emitted.notes if note.severity == "error")
    assert found.code == "PF3002" and found.path == path and found.hint
    if "template of the service" not in found.message and plan.queues:
        # Known without the template: a check tells it.
        assert ADAPTER.check(plan) == [found]
    assert "https://docs.aws.amazon.com/" in found.message


def test_dead_letters_that_are_gone_too_soon_are_warned_of(stack: BuildPlan) -> None:
    queues = (QueuePlan("a", dead_letter="b", retention=3600), QueuePlan("b", retention=60))
    plan = replace(stack, functions=(), queues=queues)
    (found,) = ADAPTER.check(plan)
    assert (found.severity, found.path) == ("warning", "$.queues.b.retention")
    emit(plan)


@pytest.mark.parametrize("trigger", [QueueTrigger("jobs"), TopicTrigger("news")])
def test_one_instance_for_a_queue_is_refused(stack: BuildPlan, trigger: Any) -> None:
    function = FunctionPlan("one", "m", "a", trigger, max_instances=1)
    (found,) = ADAPTER.check(replace(stack, functions=(function,)))
    assert (found.code, found.severity) == ("PF3002", "error")
    assert found.path == "$.functions.one.max-instances" and found.hint
    plan = replace(stack, functions=(replace(function, max_instances=2),))
    assert list(ADAPTER.check(plan)) == []
    emit(plan)


def test_more_instances_than_an_account_has_are_warned_of(stack: BuildPlan) -> None:
    functions = tuple(
        FunctionPlan(f"f{n}", "m", "a", HttpTrigger((), f"/{n}"), max_instances=300)
        for n in range(4)
    )
    assert list(ADAPTER.check(replace(stack, functions=functions[:3]))) == []
    (found,) = ADAPTER.check(replace(stack, functions=functions))
    assert (found.code, found.severity) == ("PF3002", "warning") and "1200" in found.message
    emit(replace(stack, functions=functions))


def test_what_the_capabilities_refuse_does_not_stop_the_check(stack: BuildPlan) -> None:
    starter = replace(stack.function("work"), uses=(Use("start", "workflow", "flow"),))
    assert list(ADAPTER.check(replace(stack, functions=(starter,)))) == []


def test_objects_that_two_functions_may_share(stack: BuildPlan) -> None:
    functions = (
        FunctionPlan("one", "m", "a", ObjectTrigger("uploads", prefix="a/")),
        FunctionPlan("two", "m", "a", ObjectTrigger("uploads", prefix="b/")),
        FunctionPlan("three", "m", "a", ObjectTrigger("uploads", ("deleted",), "a/")),
        FunctionPlan("four", "m", "a", ObjectTrigger("other", prefix="a/")),
    )
    buckets = (*stack.buckets, BucketPlan("other"))
    plan = replace(stack, functions=functions, buckets=buckets)
    assert list(ADAPTER.check(plan)) == []
    emit(plan)
