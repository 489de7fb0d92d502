"""Proof that the three platforms, gated, fire at the instants of a schedule and at no others."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from portafaas.schedule.parse import Schedule


class Proof(TypedDict):
    """What one platform does with a schedule, over the compared instants.

    ``expression`` and ``timezone`` are what it is programmed with, ``deliveries`` how often that
    fires, ``wanted`` how often it should, ``missing`` the wanted instants that do not reach the
    handler and ``extra`` those that reach it and should not (or more than once). A proof holds
    when both lists are empty.
    """

    expression: str
    timezone: str
    deliveries: int
    wanted: int
    missing: list[datetime]
    extra: list[datetime]


def prove(schedule: Schedule, start: datetime, count: int = 400) -> dict[str, Proof]:
    """Compare the first *count* instants from *start* (aware, 2024 or later) on every platform.

    Instants after 2063 are not compared: the lowering ends there. Where a document leaves open
    what happens when clocks change, every reading is tried and the worst reported.

    Returns:
        ``{"aws": Proof, "azure": Proof, "gcp": Proof}``.

    Raises:
        ValueError: *start* is naive or outside 2024-2063.
    """
    from portafaas.schedule.dialects import cloud_scheduler, eventbridge, ncrontab
    from portafaas.schedule.lowering import (
        SPAN,
        to_cloud_scheduler,
        to_eventbridge,
        to_ncrontab,
    )
    from portafaas.schedule.times import instants

    horizon = datetime(SPAN[1], 1, 1, tzinfo=UTC)
    if start.utcoffset() is None or not SPAN[0] <= start.astimezone(UTC).year < SPAN[1]:
        raise ValueError(f"{start} is not an aware time from {SPAN[0]} to {SPAN[1] - 1}")
    wanted = list(
        islice(takewhile(lambda moment: moment < horizon, instants(schedule, start)), count)
    )
    until = wanted[-1] if len(wanted) == count and wanted else horizon - timedelta(minutes=1)
    expression, zone = to_eventbridge(schedule)
    cron, cron_zone = to_cloud_scheduler(schedule)
    timer = to_ncrontab(schedule)
    aws_readings = ("first", "second") if zone != "UTC" else ("first",)
    gcp_readings = (
        (("first", "never"), ("second", "never"), ("both", "later"))
        if cron_zone not in ("UTC", "Etc/UTC")
        else (("both", "later"),)
    )

    def judge(text: str, timezone: str, readings: Iterable[Iterable[datetime]]) -> Proof:
        proofs = [_compare(schedule, wanted, until, text, timezone, fires) for fires in readings]
        return max(proofs, key=lambda proof: len(proof["missing"]) + len(proof["extra"]))

    return {
        "aws": judge(
            expression, zone, (eventbridge(expression, zone, start, way) for way in aws_readings)
        ),
        "azure": judge(timer, "UTC", [ncrontab(timer, start)]),
        "gcp": judge(
            cron, cron_zone, (cloud_scheduler(cron, cron_zone, start, *way) for way in gcp_readings)
        ),
    }


def _compare(
    schedule: Schedule,
    wanted: list[datetime],
    until: datetime,
    expression: str,
    timezone: str,
    fires: Iterable[datetime],
) -> Proof:
    from portafaas.runtime.cron import should_fire

    deliveries = list(takewhile(lambda moment: moment <= until, fires))
    passed = [
        moment
        for moment in deliveries
        if should_fire(schedule.cron, schedule.timezone, moment.timestamp())
    ]
    reached, due = set(passed), set(wanted)
    seen: set[datetime] = set()
    extra = []
    for moment in passed:
        if moment not in due or moment in seen:
            extra.append(moment)
        seen.add(moment)
    return Proof(
        expression=expression,
        timezone=timezone,
        deliveries=len(deliveries),
        wanted=len(wanted),
        missing=[moment for moment in wanted if moment not in reached],
        extra=extra,
    )
