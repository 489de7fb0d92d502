"""Making and checking the template of a service takes work that grows with the functions, and no faster."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest

from portafaas.plan import (
    AlertPlan,
    BucketPlan,
    BuildPlan,
    ChannelPlan,
    FunctionPlan,
    HttpTrigger,
    Logs,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    ScheduleTrigger,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
    Use,
)
from portafaas_azure.infrastructure import emit

_TRIGGERS: tuple[Any, ...] = (
    lambda n: HttpTrigger(("GET",), f"/{n}"),
    lambda n: QueueTrigger(f"queue-{n}"),
    lambda n: TopicTrigger("news"),
    lambda n: ScheduleTrigger("0 * * * *"),
    lambda n: TableTrigger("rows"),
    lambda n: ObjectTrigger(f"files-{n}", ("created",)),
)


def _http(count: int, options: dict[str, Any]) -> BuildPlan:
    functions = tuple(
        FunctionPlan(f"function-{n:03}", "m", "a", HttpTrigger(("POST",), f"/{n}/{{id}}"))
        for n in range(count)
    )
    return BuildPlan("many", "", "3.12", "x86_64", functions, options=options, logs=Logs(60))


def _mixed(count: int, options: dict[str, Any]) -> BuildPlan:
    functions = tuple(
        FunctionPlan(
            f"function-{n:03}", "m", "a", _TRIGGERS[n % 6](n),
            uses=(Use("publish", "topic", "news"), Use("read", "table", "rows")),
        )
        for n in range(count)
    )  # fmt: skip
    return BuildPlan(
        "warehouse", "staging", "3.12", "x86_64", functions, options=options, logs=Logs(60),
        queues=tuple(QueuePlan(f"queue-{n}", dead_letter=True) for n in range(1, count, 6)),
        buckets=tuple(BucketPlan(f"files-{n}") for n in range(5, count, 6)),
        topics=(TopicPlan("news"),), tables=(TablePlan("rows"),),
        channels=(ChannelPlan("ops", "ops@example.com"),),
        alerts=tuple(
            AlertPlan(f"a-{f.name}", "errors", f.name, "", 0, 300, ("ops",)) for f in functions
        ),
    )  # fmt: skip


def _calls(plan: BuildPlan) -> Counter[str]:
    found: Counter[str] = Counter()

    def note(frame: Any, event: str, argument: Any) -> None:
        # Of what is written in C, too: a loop that only compares calls nothing else.
        found["all"] += 1
        if event == "call":
            found[frame.f_code.co_name] += 1

    sys.setprofile(note)
    try:
        emitted = emit(plan)
    finally:
        sys.setprofile(None)
    assert emitted.documents
    return found


@pytest.mark.parametrize(
    ("made", "few", "options"),
    [(_http, 25, {"apps": "grouped"}), (_http, 18, {}), (_mixed, 12, {})],
)
def test_work_grows_with_the_functions_only(
    made: Any, few: int, options: dict[str, Any]
) -> None:
    emit(made(6, options))
    less, more = _calls(made(few, options)), _calls(made(4 * few, options))
    assert more["all"] < 4.2 * less["all"]


def test_the_template_is_made_once() -> None:
    found = _calls(_mixed(12, {}))
    assert found["_made"] == 1
    # Of the files of the package nothing is needed here.
    assert found["lower"] == 0
