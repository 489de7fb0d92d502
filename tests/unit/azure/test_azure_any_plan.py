"""Whatever a manifest combines, the template passes the checks that every build runs."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portafaas.plan import (
    Auth,
    BucketPlan,
    BuildPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    Retry,
    ScheduleTrigger,
    TablePlan,
    TableTrigger,
    TaskTrigger,
    TopicPlan,
    TopicTrigger,
)
from portafaas.plan.model import AlertPlan, ChannelPlan, Logs, SecretPlan, Use, WorkflowPlan
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.infrastructure import emit
from portafaas_azure.infrastructure.graph import resolve

NAMES = st.from_regex(r"[a-z][a-z0-9]{1,11}(-[a-z0-9]{1,12}){0,3}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["C"]), max_size=12)
USES = [
    *(Use("send", "queue", name) for name in ("q-one", "q-two", "q-three")),
    *(Use("publish", "topic", name) for name in ("t-one", "t-two")),
    *(Use(verb, "bucket", name) for verb in ("read", "write") for name in ("b-one", "b-two")),
    *(Use(verb, "table", name) for verb in ("read", "write") for name in ("r-one", "r-two")),
    *(Use("read", "secret", name) for name in ("s-one", "s-two")),
    *(Use("start", "workflow", name) for name in ("w-one", "w-two")),
]
FLOW = {"start": "w", "steps": {"w": {"kind": "wait", "signal": "go", "next": None}}}
AUTHS = (
    None, Auth("iam"), Auth("key", "PORTAFAAS_HTTP_KEYS"), Auth("key", "MY_KEYS"),
    Auth("jwt", issuer="https://issuer.example", audience=("a",)),
)  # fmt: skip
TRIGGERS: st.SearchStrategy[Any] = st.one_of(
    st.builds(HttpTrigger, st.just(("GET",)), st.just("/a/{id}"), st.sampled_from(AUTHS)),
    st.just(ScheduleTrigger("*/5 * * * *")),
    st.builds(QueueTrigger, st.sampled_from(("q-one", "q-two"))),
    st.builds(
        TopicTrigger,
        st.sampled_from(("t-one", "t-two")),
        st.lists(st.tuples(NAMES, st.lists(TEXT, min_size=1, max_size=2).map(tuple)), max_size=2)
        .map(tuple),
    ),
    st.builds(
        ObjectTrigger,
        st.sampled_from(("b-one", "b-two")),
        st.sampled_from((("created",), ("deleted",), ("created", "deleted"))),
        TEXT,
        TEXT,
    ),
    st.builds(TableTrigger, st.sampled_from(("r-one", "r-two"))),
    st.just(TaskTrigger()),
)  # fmt: skip


@st.composite
def plans(draw: Any, service: types.ModuleType) -> BuildPlan:
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    functions, consumed = [], set()
    for name in names:
        trigger = draw(TRIGGERS)
        if isinstance(trigger, QueueTrigger):
            if trigger.queue in consumed:
                continue
            consumed.add(trigger.queue)
        # Few enough of a group to be kept ready all at once.
        instances = draw(st.sampled_from(((0, 0), (0, 0), (0, 1), (0, 7), (1, 0), (1, 1000))))
        uses = draw(st.lists(st.sampled_from(USES), max_size=4, unique=True))
        functions.append(
            service.function(
                name,
                trigger,
                *uses,
                memory=draw(st.integers(128, 4096)),
                timeout=draw(st.integers(1, 230)),
                concurrency=draw(st.integers(1, 4)),
                environment=draw(st.dictionaries(st.sampled_from(("ONE", "TWO")), TEXT)),
                retry=Retry(attempts=draw(st.integers(1, 100)), declared=True),
                min_instances=instances[0],
                max_instances=instances[1],
            )
        )
    options = {"apps": "grouped"} if draw(st.booleans()) else {}
    if options:
        # Else hardly any two would be equal.
        functions += [
            dataclasses.replace(one, name=f"{one.name}-too")
            for one in functions if not isinstance(one.trigger, QueueTrigger)
        ]  # fmt: skip
    flows: tuple[WorkflowPlan, ...] = ()
    if any(function.kind == "task" for function in functions):
        # They share variables, and the bound of their instances.
        flows = (WorkflowPlan("w-one", FLOW), WorkflowPlan("w-two", FLOW))
        functions = [
            dataclasses.replace(one, environment={"ONE": "[1"}, min_instances=min(
                one.min_instances, 1)) if one.kind == "task" else one for one in functions
        ]  # fmt: skip
    else:
        functions = [
            dataclasses.replace(one, uses=tuple(u for u in one.uses if u.kind != "workflow"))
            for one in functions
        ]
    dead = st.sampled_from((False, True, "q-three"))
    keys = st.sampled_from(("id", "order_id", "order-id", "Größe"))
    made: BuildPlan = service.plan(
        service=draw(NAMES),
        stage=draw(st.one_of(st.just(""), NAMES)),
        python=draw(st.sampled_from(("3.10", "3.11", "3.12", "3.13"))),
        functions=tuple(functions),
        queues=(
            QueuePlan("q-one", draw(st.booleans()), draw(dead), draw(st.integers(1, 10**7))),
            QueuePlan("q-two", dead_letter=draw(dead), max_concurrency=draw(st.integers(4, 99))),
            QueuePlan("q-three"),
        ),
        topics=(TopicPlan("t-one"), TopicPlan("t-two", ordered=True)),
        buckets=(BucketPlan("b-one"), BucketPlan("b-two", versioned=draw(st.booleans()))),
        tables=(
            TablePlan("r-one", draw(keys)),
            TablePlan("r-two", "order-id", draw(st.sampled_from(("", "created", "created-at")))),
        ),
        secrets=(SecretPlan("s-one"), SecretPlan("s-two")),
        options=options,
        workflows=flows,
        logs=Logs(draw(st.sampled_from((30, 60, 90, 120, 150, 180, 365, 400, 545)))),
        channels=(ChannelPlan("mail", "a@example.com"), ChannelPlan("hook", "", "https://b.c")),
        alerts=(),
    )
    watched = []
    for number, name in enumerate(draw(st.lists(NAMES, max_size=4, unique=True))):
        function = functions[number % len(functions)] if functions else None
        queue = next((q.name for q in made.queues if q.dead_letter), "")
        kinds = ["errors", "latency-p95"] if function else []
        if queue:
            kinds.append("dead-letters")
        if not kinds:
            continue
        metric = draw(st.sampled_from(kinds))
        of_queue = metric == "dead-letters"
        watched.append(
            AlertPlan(
                name,
                metric,
                "" if of_queue or function is None else function.name,
                queue if of_queue else "",
                draw(st.integers(0, 9999)) / (1 if of_queue else 1000),
                draw(st.sampled_from((60, 300, 900, 1800, 3600))),
                draw(st.sampled_from((("mail",), ("hook",), ("hook", "mail")))),
                draw(TEXT),
            )
        )
    made = dataclasses.replace(made, alerts=tuple(watched))
    return made


@settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.data())
def test_any_plan(service: types.ModuleType, arm_models: types.ModuleType, data: Any) -> None:
    plan = data.draw(plans(service))
    assert [p for p in ADAPTER.check(plan) if p.severity == "error"] == []
    # Raises when the template breaks a rule.
    made = emit(plan)
    (document,) = made.documents.values()
    told = dict.fromkeys((one.type, one.name) for one in made.resources)
    assert [kind for kind, _ in told] == [body["type"] for body in document["resources"]]
    assert [one.function for one in made.redeliveries] == [one.name for one in plan.functions]
    nodes, _ = resolve(document)
    assert [m for node in nodes.values() for m in arm_models.check(node.type, node.body)] == []
