"""Is this delivery of a schedule one the manifest asked for? Ships; stdlib only.

The platforms are programmed with a superset of the wanted instants (``docs/spec/schedule.md``);
the bridge drops the rest with :func:`nominal` or :func:`should_fire`, so that every target fires at
the same instants. The texts arrive here checked: ``portafaas.schedule.parse_cron`` refused
everything else when the package was built.
"""

from __future__ import annotations

from time import gmtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

#: Seconds a delivery may precede its minute. The timer of Azure Functions can run up to about a
#: second early: ``TimerListener.cs`` of Azure/azure-webjobs-sdk-extensions ("clock skew").
EARLY = 2.0

#: How far :func:`latest` looks back, in seconds: a year.
LONGEST = 366 * 86400

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_UTC = ("UTC", "Etc/UTC")

#: Bit masks of minute, hour, day of month, month, day of week (0 is Sunday), and whether the
#: schedule runs on real time, which means it also fires in a repeated hour.
_parsed: dict[str, tuple[int, int, int, int, int, bool]] = {}
#: Those that :func:`load_zone` has loaded.
zones: dict[str, ZoneInfo] = {}


def should_fire(fields: str, timezone: str, epoch: float) -> bool:
    """Whether the minute that holds *epoch* is one of the schedule.

    Args:
        fields: the five cron fields of the manifest, as ``parse_cron`` accepts them.
        timezone: IANA name.
        epoch: seconds since 1970; the seconds within the minute do not count.

    Raises:
        RuntimeError: no data for *timezone* on this machine (see :func:`load_zone`).
    """
    minutes, hours, days, months, weekdays, real_time = _parsed.get(fields) or _parse(fields)
    start = int(epoch // 60) * 60
    if timezone in _UTC:
        if not minutes >> start // 60 % 60 & 1:
            return False
        _, month, day, hour, _, _, weekday, _, _ = gmtime(start)
    else:
        from datetime import datetime

        local = datetime.fromtimestamp(start, zones.get(timezone) or load_zone(timezone))
        if not minutes >> local.minute & 1 or (local.fold and not real_time):
            return False
        month, day, hour, weekday = local.month, local.day, local.hour, local.weekday()
    return bool(
        hours >> hour & 1
        and days >> day & 1
        and months >> month & 1
        and weekdays >> (weekday + 1) % 7 & 1
    )


def nominal(fields: str, timezone: str, epoch: float) -> float | None:
    """The planned instant of a delivery that arrives at *epoch*; None if it is not a wanted one.

    For platforms that do not say what instant a delivery stands for. Right for every delivery at
    most ``EARLY`` seconds before its instant and less than *gap* minutes minus ``EARLY`` seconds
    after it, where *gap* is the shortest distance between two minutes the platform may be
    programmed with: of the minute field in UTC; of the minute field modulo 15 in other zones,
    whose offsets all are multiples of a quarter hour. So within a minute for ``* * * * *``, five
    minutes for ``*/5``, a quarter of an hour for ``0 9 * * *`` outside UTC, an hour in UTC. Later
    deliveries are None or, where the schedule is dense, stand for the instant last passed; use
    :func:`latest` where the platform tells that a delivery is overdue.

    Returns:
        Seconds since 1970, a whole minute, or None.

    Raises:
        RuntimeError: as :func:`should_fire`.
    """
    minutes = (_parsed.get(fields) or _parse(fields))[0]
    cycle = 60 if timezone in _UTC else 15
    taken = sorted({minute % cycle for minute in range(60) if minutes >> minute & 1})
    taken.append(taken[0] + cycle)
    gap = min(taken[index + 1] - taken[index] for index in range(len(taken) - 1))
    until = epoch + EARLY
    return latest(fields, timezone, ((until - gap * 60) // 60 + 1) * 60, until)


def latest(fields: str, timezone: str, since: float, until: float) -> float | None:
    """The last wanted instant t with *since* <= t <= *until*, or None.

    For an overdue delivery: *since* is the instant the platform had planned, *until* is now. One
    overdue delivery stands for every firing that was missed, as on all three platforms. Looks back
    ``LONGEST`` seconds at most.

    Returns:
        Seconds since 1970, a whole minute, or None.

    Raises:
        RuntimeError: as :func:`should_fire`.
    """
    since = max(since, until - LONGEST)
    moment = float(until // 60 * 60)
    while moment >= since:
        if should_fire(fields, timezone, moment):
            return moment
        moment -= 60
    return None


def load_zone(name: str) -> ZoneInfo:
    """The zone *name*, from the ``tzdata`` package if there is one, else from the system.

    The package comes first (``ZoneInfo(name)`` would ask the system first), because it is in the
    built package and so the same on every target and as on the machine that built it.

    Raises:
        RuntimeError: neither has the zone.
    """
    from zoneinfo import ZoneInfo

    try:
        import tzdata  # type: ignore[import-untyped]

        folder = (tzdata.__file__ or "").rpartition("/")[0] or tzdata.__path__[0]
        with open(f"{folder}/zoneinfo/{name}", "rb") as file:  # noqa: PTH123 - pathlib is slow
            zone = ZoneInfo.from_file(file, name)
    except (ImportError, OSError):
        try:
            zone = ZoneInfo(name)
        except (OSError, ValueError, KeyError) as exc:  # ZoneInfoNotFoundError is a KeyError
            raise RuntimeError(
                f"no data for the time zone {name!r} on this machine: "
                "put the package tzdata beside the handlers"
            ) from exc
    zones[name] = zone
    return zone


def _parse(fields: str) -> tuple[int, int, int, int, int, bool]:
    minute, hour, day, month, weekday = fields.lower().split()
    hours, days = _mask(hour, 0, 23, ()), _mask(day, 1, 31, ())
    months, weekdays = _mask(month, 1, 12, _MONTHS), _mask(weekday, 0, 6, _DAYS)
    weekdays = (weekdays | weekdays >> 7) & 127
    real_time = (hours, days, months, weekdays) == (2**24 - 1, 2**32 - 2, 2**13 - 2, 127)
    result = (_mask(minute, 0, 59, ()), hours, days, months, weekdays, real_time)
    _parsed[fields] = result
    return result


def _mask(text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    mask = 0
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, last = low, high
        if span != "*":
            head, dash, tail = span.partition("-")
            first = names.index(head) + low if head in names else int(head)
            last = first
            if dash:
                last = names.index(tail) + low if tail in names else int(tail)
            if tail == "sun" and first > last:
                last = 7  # FRI-SUN
        for value in range(first, last + 1, int(step or "1")):
            mask |= 1 << value
    return mask
