"""Text of a schedule -> :class:`Schedule`, or every problem of it at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LONGEST = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

#: Name, lowest and highest number, names of the numbers from the lowest on.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)

#: What other dialects write: the last day, the nearest weekday, the n-th weekday of the month.
_SPECIAL = re.compile(
    rf"(?i)LW?|([0-9]+|{'|'.join(_DAYS)})L|L-[0-9]+|W[0-9]*|[0-9]+W|[0-9A-Z]*#[0-9]*|.*\?.*"
)

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * SUN",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class ScheduleError(ValueError):
    """A schedule that cannot be had.

    Attributes:
        problems: one sentence each, at least one. Those about the zone say ``time zone``; those
            about the cron fields do not.
    """

    problems: tuple[str, ...]

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Schedule:
    """Minutes of the wall clock of one zone. :func:`parse_cron` makes it.

    Attributes:
        cron: the five fields as given, one space between them.
        timezone: IANA name as given.
        minutes: 0-59, ascending; so are the others.
        hours: 0-23.
        days: of the month, 1-31.
        months: 1-12.
        weekdays: 0-6, 0 is Sunday.
    """

    cron: str
    timezone: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @property
    def real_time(self) -> bool:
        """Whether only the minute is restricted: then a repeated hour fires again."""
        return (
            len(self.hours) == 24
            and len(self.days) == 31
            and len(self.months) == 12
            and len(self.weekdays) == 7
        )

    def fire_times(self, start: datetime, count: int) -> list[datetime]:
        """The first *count* instants at or after *start* (aware), UTC, ascending.

        Raises:
            ValueError: *start* is naive or before 1973 (zones then had offsets with seconds), or
                *count* is negative.
        """
        from portafaas.schedule.times import fire_times

        return fire_times(self, start, count)

    def matches(self, instant: datetime) -> bool:
        """Whether the schedule fires in the minute that holds *instant* (aware).

        Raises:
            ValueError: *instant* is naive or before 1973.
        """
        from portafaas.schedule.times import matches

        return matches(self, instant)


def parse_cron(text: str, timezone: str = "UTC") -> Schedule:
    """Read five cron fields and an IANA zone.

    Fields: minute, hour, day of month, month, day of week; each ``*`` or a list of numbers, names
    (``JAN``, ``MON``), ranges ``a-b``, and steps ``*/n`` or ``a-b/n``. 0 and 7 are Sunday.

    Raises:
        ScheduleError: with every problem of both arguments.
    """
    problems: list[str] = []
    sets = _fields(text, problems)
    _zone(timezone, problems)
    if problems or sets is None:
        raise ScheduleError(problems)
    return Schedule(" ".join(text.split()), timezone, *sets)


def _fields(text: str, problems: list[str]) -> list[tuple[int, ...]] | None:
    """Sets of the five fields, or None and at least one problem more."""
    parts = text.split()
    known = len(problems)
    if len(parts) == 1 and parts[0].startswith("@"):
        same = _MACROS.get(parts[0].lower())
        problems.append(f"{parts[0]} is not a cron expression of five fields")
        problems[-1] += f"; write {same!r}" if same else ""
    elif len(parts) != 5:
        problems.append(
            f"{text!r} has {len(parts)} fields, not five (minute, hour, day of month, month, "
            "day of week)"
        )
        if len(parts) in (6, 7):
            problems[-1] += "; there are no seconds and no years"
    if len(problems) > known:
        return None
    sets = [_field(part, *field, problems) for part, field in zip(parts, _FIELDS, strict=True)]
    sets[4] = tuple(sorted({day % 7 for day in sets[4]}))
    if not any(part in ("*", "*/1", "?") for part in (parts[2], parts[4])):
        problems.append(
            f"day of month {parts[2]!r} and day of week {parts[4]!r} are both restricted: some "
            "platforms fire when both match, some when either does; restrict one, or write two "
            "schedules"
        )
    elif len(problems) == known and min(sets[2]) > max(_LONGEST[month] for month in sets[3]):
        problems.append(f"{text!r} never fires: no month of {parts[3]!r} has a day {min(sets[2])}")
    return sets if len(problems) == known else None


def _field(
    text: str, field: str, low: int, high: int, names: tuple[str, ...], problems: list[str]
) -> tuple[int, ...]:
    values: set[int] = set()
    for item in text.split(","):
        try:
            values.update(_item(item, low, high, names))
        except ValueError as exc:
            inside = f" in {text!r}" if item != text else ""
            problems.append(f"{field}: {exc}{inside}")
    return tuple(sorted(values))


def _item(item: str, low: int, high: int, names: tuple[str, ...]) -> range:
    """Values of one list item. Raises ValueError with the sentence to show."""
    if item == "?":
        raise ValueError("'?' is not supported; write '*'")
    if _SPECIAL.fullmatch(item):
        raise ValueError(f"{item!r}: L, W, # and ? are not supported; AWS alone has them")
    span, slash, step_text = item.partition("/")
    if span == "*":
        # 0-7 names Sunday twice, and would make */7 fire on Sunday and Sunday.
        first, last = low, 6 if high == 7 else high
    else:
        head, dash, tail = span.partition("-")
        first = last = _value(head, item, low, high, names)
        if dash:
            last = _value(tail, item, low, high, names)
            if tail.upper() == "SUN" and first > last:
                last = 7
        elif slash:
            raise ValueError(
                f"{item!r} steps from one value; platforms disagree on it, "
                f"write '{head}-{high if high != 7 else 6}/{step_text}'"
            )
    if first > last:
        raise ValueError(
            f"{item!r} runs backwards; write two ranges"
            + (", or 7 for Sunday at the end" if last == 0 and high == 7 else "")
        )
    if not slash:
        return range(first, last + 1)
    widest = high - low
    if not _digits(step_text) or not 1 <= int(step_text) <= widest:
        raise ValueError(f"step {step_text!r} of {item!r} is not a number from 1 to {widest}")
    return range(first, last + 1, int(step_text))


def _value(text: str, item: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text.upper() in names:
        return names.index(text.upper()) + low
    if _digits(text):
        if low <= int(text) <= high:
            return int(text)
        raise ValueError(f"{text} is not from {low} to {high}")
    if not text:
        raise ValueError(f"{item!r} lacks a value" if item else "an item of the list is empty")
    raise ValueError(
        f"{text!r} is not a number from {low} to {high}"
        + (f" or one of {', '.join(names)}" if names else "")
    )


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 4


def _zone(name: str, problems: list[str]) -> None:
    from portafaas.runtime.cron import load_zone

    known = _zones()
    if name not in known:
        problems.append(f"time zone {name!r} is not in the IANA database{_near(name, known)}")
        return
    try:
        load_zone(name)
    except RuntimeError as exc:
        problems.append(str(exc))


def _near(name: str, known: frozenset[str]) -> str:
    from portafaas.errors import guess

    wanted = name.strip().replace(" ", "_").lower()
    for zone in sorted(known):
        if wanted and wanted in (zone.lower(), zone.lower().rpartition("/")[2]):
            return f"; did you mean {zone!r}?"
    hint = guess(name, known)
    return f"; {hint}" if hint else "; write a name like 'Europe/Berlin' or 'UTC'"


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """Names the IANA database has; not ``localtime`` and such, which systems add."""
    from importlib.resources import files

    names = (files("tzdata") / "zones").read_text("utf-8").split()
    return frozenset(names) - {"Factory"}
