"""Instants of schedules that fell while ``dev`` did not run.

They are told, and made up for when that is asked for: one call for the last of them, as anacron
and systemd's ``Persistent=`` have it. ``watched/<function>/<cron> <zone>`` in the store says since
when a schedule is known here, or made up for; ``fired/<function>`` for which instant it fired last.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from portafaas.local.broker import Broker
from portafaas.local.driver.portafaas_local_resources import database
from portafaas.local.store import explained
from portafaas.plan import BuildPlan, ScheduleTrigger

#: Instants beyond which they are not counted.
MOST = 10


@dataclass(frozen=True, slots=True)
class Missed:
    """What a schedule has missed: ``count`` instants, :data:`MOST` or more; when the last was.

    Times are seconds since 1970.
    """

    function: str
    count: int
    last: float
    timezone: str

    def __str__(self) -> str:
        from zoneinfo import ZoneInfo

        moment = datetime.fromtimestamp(self.last, ZoneInfo(self.timezone))
        many = f"{self.count} times" if self.count > 1 else "once"
        many = f"{self.count} times or more" if self.count >= MOST else many
        last = "at" if self.count == 1 else "the last time at"
        return f"{self.function} {many}, {last} {moment:%Y-%m-%d %H:%M} {self.timezone}"


def look(folder: Path, plan: BuildPlan, now: float) -> dict[str, Missed]:
    """Return what the schedules of *plan* have missed until *now*, by function.

    Those that the store in *folder* does not know, or knows with other times, have missed nothing,
    and are known from now on.
    """
    triggers = {
        function.name: function.trigger
        for function in plan.functions
        if isinstance(function.trigger, ScheduleTrigger)
    }
    names = {name: _name(name, trigger) for name, trigger in triggers.items()}
    with closing(database(str(folder))) as connection:
        rows: dict[str, float] = dict(
            connection.execute(
                "select name, value from broker where name like 'watched/%' "
                "or name like 'fired/%'"
            ).fetchall()
        )
        known = {name for name in rows if name.startswith("watched/")}
        if known != set(names.values()):
            connection.execute("begin immediate")
            for name in known - set(names.values()):
                connection.execute("delete from broker where name = ?", (name,))
            for name in set(names.values()) - known:
                connection.execute("insert or ignore into broker values (?, ?)", (name, now))
            connection.execute("commit")
    found = {}
    for function, trigger in triggers.items():
        if names[function] in known:
            since = max(rows[names[function]], rows.get(f"fired/{function}", 0.0))
            one = _between(function, trigger, since, now)
            if one is not None:
                found[function] = one
    return found


def look_back(
    folder: Path, plan: BuildPlan, now: float, catch_up: bool
) -> tuple[dict[str, Missed], dict[str, Missed]]:
    """Return what schedules have missed, and what is made up for, which is all with *catch_up*."""
    with explained(folder):
        found = look(folder, plan, now)
        if not catch_up or not found:
            return found, {}
        from portafaas.runtime.text import epoch_time

        with Broker(folder, plan) as broker:
            for one in found.values():
                broker.fire(plan.function(one.function), epoch_time(one.last))
        return {}, found


def made_up(folder: Path, plan: BuildPlan, function: str, now: float) -> None:
    """Note that nothing is missed of a schedule until *now*."""
    trigger = plan.function(function).trigger
    assert isinstance(trigger, ScheduleTrigger)
    with closing(database(str(folder))) as connection:
        connection.execute(
            "insert or replace into broker (name, value) values (?, ?)",
            (_name(function, trigger), now),
        )


def told(found: Mapping[str, Missed], url: str) -> list[str]:
    """Return what is said of it, in lines."""
    lines = [f"  missed while dev was not running: {one}" for one in found.values()]
    if lines:
        it = "it" if len(lines) == 1 else "them"
        lines.append(
            f"    nothing was called for {it}: fire {it} at {url}/_portafaas/#/schedules, "
            "or start with --catch-up"
        )
    return lines


def latest(trigger: ScheduleTrigger, now: datetime) -> datetime | None:
    """Return the last instant of a schedule until *now*, else the next one; None for never."""
    from portafaas.schedule import parse_cron

    schedule = parse_cron(trigger.cron, trigger.timezone)
    for hours in (1, 24, 8 * 24, 32 * 24, 366 * 24):
        found = schedule.fire_times(now - timedelta(hours=hours), 800)
        before = [moment for moment in found if moment <= now]
        if before:
            return before[-1]
    found = schedule.fire_times(now, 1)
    return found[0] if found else None


def _name(function: str, trigger: ScheduleTrigger) -> str:
    return f"watched/{function}/{trigger.cron} {trigger.timezone}"


def _between(
    function: str, trigger: ScheduleTrigger, since: float, now: float
) -> Missed | None:
    from portafaas.schedule import parse_cron

    if since >= now:
        return None
    # Behind *since*: at that instant it fired, or was not known yet.
    start = datetime.fromtimestamp(since, UTC) + timedelta(seconds=1)
    times = parse_cron(trigger.cron, trigger.timezone).fire_times(start, MOST)
    count = sum(moment.timestamp() <= now for moment in times)
    last = latest(trigger, datetime.fromtimestamp(now, UTC)) if count else None
    if last is None:
        return None
    return Missed(function, count, last.timestamp(), trigger.timezone)
