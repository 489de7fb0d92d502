"""Little languages inside the values: Pub/Sub's filters, cron, time zones."""

from __future__ import annotations

import re

_FILTER = re.compile(
    r'\s*(?:(?P<word>[A-Za-z][\w-]*)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign>!=|[=:().,-]))'
)
#: Least and greatest number of each field: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_DAYS = "SUN MON TUE WED THU FRI SAT".split()


def filter_problem(text: str) -> str:
    """Return what is wrong with a subscription's filter, or nothing.

    https://cloud.google.com/pubsub/docs/subscription-message-filter#filtering_syntax
    """
    if len(text.encode("utf-8")) > 256:
        return "is longer than 256 bytes"
    tokens: list[str] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _FILTER.match(text, at)
        if found is None:
            return f"has {text[at : at + 10]!r}, which is no word of the language"
        tokens.append(found[0].strip())
        at = found.end()
    try:
        rest = _expression(tokens)
    except (IndexError, ValueError) as exc:
        return f"does not parse: {exc or 'it ends too early'}"
    return f"does not parse: {rest[0]!r}" if rest else ""


def _expression(tokens: list[str]) -> list[str]:
    rest, joint = _term(tokens), ""
    while rest and rest[0] in ("AND", "OR"):
        if joint not in ("", rest[0]):
            raise ValueError("AND and OR without parentheses")
        joint, rest = rest[0], _term(rest[1:])
    return rest


def _term(tokens: list[str]) -> list[str]:
    if tokens[0] in ("NOT", "-"):
        return _term(tokens[1:])
    if tokens[0] == "(":
        return _take(_expression(tokens[1:]), ")")
    if tokens[0] == "hasPrefix":
        rest = _key(_take(_take(_take(tokens[1:], "("), "attributes"), "."))
        return _take(_text(_take(rest, ",")), ")")
    rest = _take(tokens, "attributes")
    if rest[0] == ":":
        return _key(rest[1:])
    rest = _key(_take(rest, "."))
    if rest[0] not in ("=", "!="):
        raise ValueError(f"{rest[0]!r} is no comparison")
    return _text(rest[1:])


def _take(tokens: list[str], wanted: str) -> list[str]:
    if tokens[0] != wanted:
        raise ValueError(f"{tokens[0]!r} where {wanted!r} belongs")
    return tokens[1:]


def _key(tokens: list[str]) -> list[str]:
    if tokens[0][0] != '"' and not tokens[0][0].isalpha():
        raise ValueError(f"{tokens[0]!r} is no attribute")
    return tokens[1:]


def _text(tokens: list[str]) -> list[str]:
    if tokens[0][0] != '"':
        raise ValueError(f"{tokens[0]!r} is not quoted")
    return tokens[1:]


def cron_problem(text: str) -> str:
    """Return what is wrong with a schedule of five fields, or nothing."""
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return f"has {len(fields)} fields, not 5"
    for position, (field, (low, high)) in enumerate(zip(fields, _FIELDS, strict=True)):
        words = _MONTHS if position == 3 else _DAYS if position == 4 else []
        for part in field.split(","):
            found = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([1-9]\d*))?", part)
            if found is None:
                return f"has {part!r}"
            ends = []
            for end in (found[1], found[2]):
                if end is None:
                    continue
                if not end.isdecimal() and end.upper() not in words:
                    return f"has {end!r}"
                ends.append(
                    int(end) if end.isdecimal() else words.index(end.upper()) + (position == 3)
                )
            if any(not low <= end <= high for end in ends) or ends != sorted(ends):
                return f"has {part!r}, which is not within {low} to {high}"
    return ""


def zone_problem(name: str) -> str:
    """Return what is wrong with the name of a time zone, or nothing."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return "is no time zone"
    return ""


def seconds(duration: str) -> float:
    """Return the seconds of ``3.5s``; raises ValueError."""
    if not duration.endswith("s"):
        raise ValueError(duration)
    return float(duration[:-1])
