"""Whatever plan the limits let pass has an infrastructure: emit holds it against its own rules."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.plan import (
    AlertPlan,
    Auth,
    BucketPlan,
    BuildPlan,
    ChannelPlan,
    FunctionPlan,
    HttpTrigger,
    Logs,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    Retry,
    ScheduleTrigger,
    SecretPlan,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
    Use,
)
from portafaas.schedule import ScheduleError, parse_cron
from portafaas_gcp.adapter import ADAPTER

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,11}(-[a-z0-9]{1,9}){0,2}", fullmatch=True)
TEXT = st.text(max_size=20)
CRONS = st.tuples(
    st.sampled_from(["*", "0", "*/5", "0-30/10", "1,31,59"]),
    st.sampled_from(["*", "2", "*/6", "8-18", "0,12"]),
    st.sampled_from(["*", "1", "15", "1-7", "*/2"]),
    st.sampled_from(["*", "JAN", "3-5", "1,12", "*/3", "JUN-AUG"]),
    st.sampled_from(["*", "MON-FRI", "SUN", "0", "7", "SAT,SUN", "1-5/2", "FRI-SUN"]),
)


CHANNELS = st.lists(
    st.builds(
        ChannelPlan,
        NAMES,
        st.just("ops@example.com"),
        st.sampled_from(["", "https://example.com/${x}%{y}"]),
    ),
    max_size=3,
    unique_by=lambda channel: channel.name,
).map(tuple)


def _is_schedule(text: str) -> bool:
    try:
        parse_cron(text, "UTC")
    except ScheduleError:
        return False
    return True


USES: tuple[tuple[Any, Any], ...] = (
    ("read", "bucket"),
    ("write", "bucket"),
    ("read", "table"),
    ("write", "table"),
    ("read", "secret"),
    ("send", "queue"),
    ("publish", "topic"),
)


@st.composite
def plans(draw: st.DrawFn) -> BuildPlan:
    some = st.lists(NAMES, max_size=3, unique=True)
    queues = tuple(
        QueuePlan(
            name,
            ordered=draw(st.booleans()),
            dead_letter=draw(st.booleans()),
            retention=draw(st.sampled_from([60, 600, 345_600, 2_678_400, 3_000_000])),
            delay=draw(st.sampled_from([0, 0, 0, 5])),
            max_concurrency=draw(st.sampled_from([0, 1, 5, 5000])),
        )
        for name in draw(some)
    )
    names: dict[str, list[str]] = {
        "queue": [queue.name for queue in queues],
        **{kind: draw(some) for kind in ("topic", "bucket", "table", "secret")},
    }
    free = list(names["queue"])
    functions = []
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        trigger: Any = draw(_triggers(names, free))
        if isinstance(trigger, QueueTrigger):
            free.remove(trigger.queue)
        initial = draw(st.sampled_from([0.001, 0.25, 1, 30, 700]))
        functions.append(
            FunctionPlan(
                name,
                "app",
                "handler",
                trigger,
                memory=draw(st.sampled_from([128, 1000, 32_768, 40_000])),
                timeout=draw(st.sampled_from([1, 30, 540, 600, 1800, 3600])),
                min_instances=draw(st.sampled_from([0, 0, 1, 9])),
                max_instances=draw(st.sampled_from([0, 0, 1, 9, 1000, 1001])),
                concurrency=draw(st.sampled_from([1, 80, 1000])),
                environment=draw(
                    st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), TEXT)
                ),
                retry=Retry(
                    draw(st.sampled_from([1, 5, 100, 101])),
                    initial=initial,
                    maximum=draw(st.sampled_from([initial, 700.5, 31_536_000.0])),
                    declared=draw(st.booleans()),
                ),
                uses=tuple(
                    Use(verb, kind, name)
                    for verb, kind in USES
                    for name in names[kind]
                    if draw(st.booleans())
                ),
                options=draw(
                    st.fixed_dictionaries(
                        {},
                        optional={"cpu": st.sampled_from([1, 8])},
                    )
                ),
            )
        )
    channels = draw(CHANNELS)
    return BuildPlan(
        draw(NAMES),
        draw(st.one_of(st.just(""), NAMES)),
        draw(st.sampled_from(["3.10", "3.13"])),
        "x86_64",
        tuple(functions),
        queues=queues,
        topics=tuple(TopicPlan(name, draw(st.booleans())) for name in names["topic"]),
        buckets=tuple(BucketPlan(name, draw(st.booleans())) for name in names["bucket"]),
        tables=tuple(TablePlan(name, ttl=draw(TEXT)) for name in names["table"]),
        secrets=tuple(map(SecretPlan, names["secret"])),
        options=draw(st.sampled_from([{}, {"region": "europe-west1"}, {"database": "(default)"}])),
        logs=Logs(draw(st.sampled_from([30, 60, 545]))),
        channels=channels,
        alerts=tuple(draw(_alerts(tuple(functions), queues, channels))) if channels else (),
    )


def _alerts(
    functions: tuple[FunctionPlan, ...],
    queues: tuple[QueuePlan, ...],
    channels: tuple[ChannelPlan, ...],
) -> st.SearchStrategy[list[AlertPlan]]:
    watched: list[tuple[Any, str, str]] = [
        (metric, function.name, "")
        for function in functions
        for metric in ("errors", "latency-p95", "dead-letters")
        if metric != "dead-letters" or function.kind not in ("http", "queue")
    ]
    watched += [("oldest-message", "", queue.name) for queue in queues]
    watched += [("dead-letters", "", queue.name) for queue in queues if queue.dead_letter]
    if not watched:
        return st.just([])
    one = st.tuples(
        NAMES,
        st.sampled_from(watched),
        st.sampled_from([0.0, 0.25, 1.0, 3600.5]),
        st.sampled_from([60, 300, 900, 1800, 3600]),
        st.lists(st.sampled_from([channel.name for channel in channels]), min_size=1),
        TEXT,
    ).map(
        lambda v: AlertPlan(v[0], v[1][0], v[1][1], v[1][2], v[2], v[3], tuple(v[4]), v[5])
    )
    return st.lists(one, max_size=4, unique_by=lambda alert: alert.name)


def _triggers(names: dict[str, list[str]], free: list[str]) -> st.SearchStrategy[Any]:
    choices: list[st.SearchStrategy[Any]] = [
        st.builds(
            HttpTrigger,
            st.just(("GET",)),
            st.just("/"),
            st.sampled_from([None, Auth("iam"), Auth("key", "MY_KEYS"), Auth("jwt")]),
        ),
        st.builds(ScheduleTrigger, CRONS.map(" ".join).filter(_is_schedule), st.sampled_from(["UTC", "Asia/Kolkata"])),
    ]
    if free:
        choices.append(st.builds(QueueTrigger, st.sampled_from(free)))
    if names["topic"]:
        wanted = st.tuples(st.tuples(st.from_regex("[a-z]{1,9}", fullmatch=True), st.tuples(TEXT)))
        choices.append(
            st.builds(
                TopicTrigger, st.sampled_from(names["topic"]), st.one_of(st.just(()), wanted)
            )
        )
    if names["bucket"]:
        on = st.sampled_from([("created",), ("deleted",), ("created", "deleted")])
        choices.append(st.builds(ObjectTrigger, st.sampled_from(names["bucket"]), on, TEXT, TEXT))
    if names["table"]:
        on = st.sampled_from([("upsert",), ("insert", "delete"), ("upsert", "delete")])
        choices.append(st.builds(TableTrigger, st.sampled_from(names["table"]), on))
    return st.one_of(choices)


@settings(deadline=None, max_examples=60)
@given(plans())
def test_what_passes_has_an_infrastructure(plan: BuildPlan) -> None:
    wrong = {item.path for item in ADAPTER.check(plan) if item.severity == "error"}
    # What is refused is left out, so that the rest is looked at all the same.
    kept = tuple(f for f in plan.functions if not any(f".{f.name}" in str(p) for p in wrong))
    names = {"", *(function.name for function in kept)}
    plan = dataclasses.replace(
        plan,
        functions=kept,
        alerts=tuple(
            a for a in plan.alerts if a.function in names and f"$.alerts.{a.name}" not in wrong
        ),
    )
    if all(item.severity != "error" for item in ADAPTER.check(plan)):
        made = ADAPTER.infrastructure(plan)
        assert made == ADAPTER.infrastructure(plan)
        (document,) = made.documents.values()
        assert {(one.name, one.type) for one in made.resources} == {
            (f"{kind}.{name}", kind)
            for kind, bodies in document["resource"].items()
            for name in bodies
        }
        assert [one.function for one in made.redeliveries] == [f.name for f in plan.functions]
