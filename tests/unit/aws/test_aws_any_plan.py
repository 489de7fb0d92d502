"""Whatever plan the checks let pass gets a template that keeps to the rules."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portafaas.plan import (
    AlertPlan,
    Auth,
    BucketPlan,
    BuildPlan,
    ChannelPlan,
    Cors,
    FunctionPlan,
    HttpTrigger,
    Logs,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    Retry,
    ScheduleTrigger,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
    Use,
)
from portafaas_aws.adapter import ADAPTER
from portafaas_aws.infrastructure import emit

_NAMES = ("a", "a-1", "a1", "a-b", "ab", "dead", "a-dead", "code", "long-" + "n" * 35)
_QUEUES, _TOPICS, _BUCKETS, _TABLES = _NAMES[:5], _NAMES[:2], _NAMES[2:5], _NAMES[:3]

_METRICS: tuple[Literal["errors", "latency-p95", "dead-letters", "oldest-message"], ...] = (
    "errors", "latency-p95", "dead-letters", "oldest-message",
)  # fmt: skip

names = st.sampled_from(_NAMES)
paths = st.sampled_from(["/", "/a", "/a/{x}", "/a/{y}", "/a/{x}/b", "/a/{rest*}", "/{rest*}", "/b.c"])
methods = st.sampled_from([(), ("GET",), ("POST", "PUT"), ("OPTIONS",)])
auths = st.sampled_from([None, Auth("iam"), Auth("key", keys="PORTAFAAS_HTTP_KEYS"), Auth("key", keys="K")])
cors = st.sampled_from([None, Cors(("*",), ("GET",)), Cors(("*",), ("GET",), answers_preflight=False)])
filters = st.dictionaries(
    st.sampled_from(["type", "subject", "tier", "kind"]),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True).map(tuple),
    max_size=3,
).map(lambda chosen: tuple(sorted(chosen.items())))
changes = st.sampled_from([("upsert",), ("insert",), ("delete",), ("insert", "update", "delete")])
crons = st.sampled_from(["* * * * *", "0 3 * * MON-FRI", "15,45 */6 1 1 *", "30 2 13 * *", "0 0 * * 0"])

triggers = st.one_of(
    st.builds(HttpTrigger, methods, paths, auths, cors),
    st.builds(QueueTrigger, st.sampled_from(_QUEUES), st.sampled_from([1, 10, 11, 100]), st.sampled_from([0, 7])),
    st.builds(TopicTrigger, st.sampled_from(_TOPICS), filters),
    st.builds(
        ObjectTrigger, st.sampled_from(_BUCKETS), st.sampled_from([("created",), ("deleted",)]),
        st.sampled_from(["", "in/", "out/", "ä b/"]), st.sampled_from(["", ".csv"]),
    ),
    st.builds(TableTrigger, st.sampled_from(_TABLES), changes, st.sampled_from([("new",), ("old",), ()])),
    st.builds(ScheduleTrigger, crons, st.sampled_from(["UTC", "Europe/Berlin"])),
)  # fmt: skip
uses = st.one_of(
    st.builds(Use, st.just("send"), st.just("queue"), st.sampled_from(_QUEUES)),
    st.builds(Use, st.just("publish"), st.just("topic"), st.sampled_from(_TOPICS)),
    st.builds(Use, st.sampled_from(["read", "write"]), st.just("bucket"), st.sampled_from(_BUCKETS)),
    st.builds(Use, st.sampled_from(["read", "write"]), st.just("table"), st.sampled_from(_TABLES)),
)
texts = st.sampled_from(["v", "", "ü", "${AWS::Region}", "{{resolve:ssm:x}}", "{{x}}", '{"Ref": "A"}'])
retries = st.builds(
    Retry, attempts=st.integers(1, 20), max_age=st.sampled_from([10.0, 86_400.0, 1e6]), declared=st.booleans()
)


@st.composite
def alerts(
    draw: st.DrawFn, functions: list[FunctionPlan], queues: tuple[QueuePlan, ...]
) -> list[AlertPlan]:
    """Alerts of what is there, as the plan lets them be."""
    found = []
    for name in draw(st.lists(names, unique=True, max_size=4)):
        queue = draw(st.sampled_from(queues)).name
        of = draw(st.sampled_from(functions)) if functions else None
        metric = draw(st.sampled_from(_METRICS))
        if metric == "dead-letters" and of is not None and of.kind not in ("http", "queue"):
            queue = ""
        elif metric == "dead-letters":
            dead = [each.name for each in queues if each.dead_letter]
            queue = draw(st.sampled_from(dead))
        elif metric != "oldest-message":
            if of is None:
                continue
            queue = ""
        found.append(
            AlertPlan(
                name, metric, "" if queue or of is None else of.name, queue,
                draw(st.sampled_from([0.0, 0.25, 3.0])), draw(st.sampled_from([60, 3600])),
                draw(st.sampled_from([("a",), ("b-1", "a")])), draw(texts).replace("{{res", "x"),
            )
        )  # fmt: skip
    return found


@st.composite
def plans(draw: st.DrawFn) -> BuildPlan:
    functions: list[FunctionPlan] = []
    consumed: set[str] = set()
    routes: set[tuple[str, str]] = set()
    preflights: set[tuple[str, str]] = set()
    for name in draw(st.lists(names, unique=True, min_size=1, max_size=6)):
        trigger = draw(triggers)
        options: dict[str, Any] = {}
        if isinstance(trigger, QueueTrigger):
            if trigger.queue in consumed:
                continue
            consumed.add(trigger.queue)
        if isinstance(trigger, HttpTrigger):
            # What the plan refuses: one route of two functions.
            shape = trigger.path.replace("{y}", "{x}")
            wanted = {(shape, method) for method in trigger.methods or ("ANY",)}
            if any(path == shape and "ANY" in (m, *trigger.methods) for path, m in routes) or (
                wanted & routes or (not trigger.methods and any(p == shape for p, _ in routes))
            ):
                continue
            routes |= wanted
            if trigger.cors is not None and trigger.cors.answers_preflight:
                # One function of a path does.
                first = not any(path == shape for path, _ in preflights)
                trigger = replace(trigger, cors=replace(trigger.cors, answers_preflight=first))
                preflights.add((shape, name))
            if draw(st.booleans()):
                options["front"] = "function-url"
        functions.append(
            FunctionPlan(
                name, "m", "a", trigger, options=options, retry=draw(retries),
                timeout=draw(st.integers(1, 30)),
                max_instances=draw(st.sampled_from([0, 0, 2, 7])),
                environment=draw(st.dictionaries(st.sampled_from(["K", "A_B"]), texts)),
                uses=tuple(draw(st.lists(uses, unique=True, max_size=4))),
            )
        )  # fmt: skip
    dead: st.SearchStrategy[bool | str] = st.booleans()
    queues = (
        *(QueuePlan(name, ordered=draw(st.booleans()), dead_letter=draw(dead)) for name in _QUEUES),
        QueuePlan("last", dead_letter="a-of-last"),
        QueuePlan("a-of-last", retention=draw(st.sampled_from([60, 345_600, 1_209_600]))),
    )
    return BuildPlan(
        service="shop", stage=draw(st.sampled_from(["", "dev", "s" * 30])), python="3.13",
        architecture=draw(st.sampled_from(["x86_64", "aarch64"])), functions=tuple(functions),
        queues=queues,
        channels=(ChannelPlan("a", "a@b.example"), ChannelPlan("b-1", "", "https://b.example")),
        alerts=tuple(draw(alerts(functions, queues))),
        logs=Logs(retention=draw(st.sampled_from([30, 90]))),
        options=draw(st.sampled_from([{}, {}, {"stacks": 2}, {"stacks": 7}])),
        topics=tuple(TopicPlan(name, ordered=draw(st.booleans())) for name in _TOPICS),
        buckets=tuple(BucketPlan(name, versioned=draw(st.booleans())) for name in _BUCKETS),
        tables=tuple(
            TablePlan(name, sort=draw(st.sampled_from(["", "s"])), ttl=draw(st.sampled_from(["", "t"])))
            for name in _TABLES
        ),
    )  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans())
def test_what_passes_the_checks_is_emitted(plan: BuildPlan) -> None:
    if any(finding.severity == "error" for finding in ADAPTER.check(plan)):
        return
    emitted = emit(plan)
    functions = [
        each
        for document in emitted.documents.values()
        for each in document["Resources"].values()
        if each["Type"] == "AWS::Lambda::Function"
    ]
    assert len(functions) == len(plan.functions)
    assert json.loads(json.dumps(dict(emitted.documents))) == emitted.documents
    assert {(one.name, one.type) for one in emitted.resources} == {
        (name, body["Type"])
        for document in emitted.documents.values()
        for name, body in document["Resources"].items()
    }
    assert [one.function for one in emitted.redeliveries] == [f.name for f in plan.functions]
    for permission in emitted.permissions:
        trigger = plan.function(permission.function).trigger
        queue = getattr(trigger, "queue", "")
        assert permission.why in ("platform", f"$.queues.{queue}.dead-letter") or (
            permission.why.startswith(f"$.functions.{permission.function}.")
        )
