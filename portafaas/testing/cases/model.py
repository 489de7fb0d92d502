"""One case, what was observed of it, and where the two differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portafaas.adapter import Stimulus
from portafaas.adapter.neutral import body_from_json

_UNSET: Any = object()
#: As an expected value: the key may not be there.
ABSENT: Any = object()
#: W3C trace context of the cases that have one.
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#: What a handler's context makes of it.
TRACED = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "parent_id": "00f067aa0ba902b7"}

#: Headers of a problem document that has no others.
PROBLEM = {"content-type": "application/problem+json"}


def problem(status: int, title: str, detail: str | None = None) -> dict[str, Any]:
    """Return the problem document (RFC 9457) that the bridge answers with."""
    content: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    return content if detail is None else {**content, "detail": detail}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A stimulus for a function of the service, and what must come of it.

    ``json``, and each entry of ``seen`` (what the handler saw, in order), are compared by the keys
    they name: further keys may be there. ``headers`` are all headers, ``absent`` names ones that
    may not be there. ``failed`` are the ids to be delivered again, ``answer`` is what a
    workflow gets (``output``, or ``error`` and ``cause``). What is left out is still
    compared between the targets and with the neutral delivery.
    """

    name: str
    function: str
    stimulus: Stimulus
    status: int | None = None
    json: Any = _UNSET
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    cookies: tuple[str, ...] | None = None
    failed: tuple[str, ...] | None = None
    answer: Mapping[str, Any] | None = None
    seen: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """``outcome`` as ``portafaas.adapter.neutral.outcome_to_json`` gives it; ``seen`` by handlers."""

    outcome: Mapping[str, Any]
    seen: tuple[Any, ...]


def problems(case: Case, observed: Observation) -> list[str]:
    """Return where *observed* is not what *case* expects; [] when it is."""
    found: list[str] = []
    outcome = observed.outcome

    def compare(what: str, expected: Any, actual: Any) -> None:
        if not _fits(expected, actual):
            found.append(f"{what}: expected {expected!r}, got {actual!r}")

    if case.status is not None:
        compare("status", case.status, outcome.get("status"))
    if case.headers is not None:
        if dict(case.headers) != outcome.get("headers"):
            found.append(f"headers: expected {case.headers!r}, got {outcome.get('headers')!r}")
    if case.cookies is not None:
        compare("cookies", list(case.cookies), outcome.get("cookies"))
    if case.body is not None:
        compare("body", case.body, body_from_json(outcome))
    if case.json is not _UNSET:
        try:
            compare("body as JSON", case.json, json.loads(body_from_json(outcome)))
        except ValueError:
            found.append(f"body: expected JSON, got {body_from_json(outcome)!r}")
    if case.failed is not None:
        compare("failed", list(case.failed), outcome.get("failed"))
    if case.answer is not None:
        compare("answer", case.answer, outcome)
    if case.seen is not None:
        compare("seen by the handler", list(case.seen), list(observed.seen))
    return found


def _fits(expected: Any, actual: Any) -> bool:
    if isinstance(expected, Mapping):
        return isinstance(actual, Mapping) and all(
            name not in actual if value is ABSENT else name in actual and _fits(value, actual[name])
            for name, value in expected.items()
        )
    if isinstance(expected, (list, tuple)):
        return (
            isinstance(actual, (list, tuple))
            and len(expected) == len(actual)
            and all(_fits(a, b) for a, b in zip(expected, actual, strict=True))
        )
    # 1 == True and 1 == 1.0, but a handler sees the difference.
    return type(expected) is type(actual) and bool(expected == actual)
