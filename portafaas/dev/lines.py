"""The words for what a function was called for, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from portafaas.dev.record import Invocation

#: The colours of states, as codes of a terminal.
_STATUS = {
    "ok": "32", "again": "33", "refused": "33", "error": "31", "dead": "31", "timeout": "31",
    "crash": "31", "memory": "31",
}  # fmt: skip
#: What a function with an inbox of its own was called for.
_KINDS = {"topic": "event", "table": "change", "object": "object", "schedule": "schedule"}
#: The first line of a frame of a traceback, and whose frames help nobody here.
_FRAME = re.compile(r'( *)File "([^"]*)", line \d+')
_OWN = re.compile(
    r"/portafaas/(runtime|local|dev)/|^<frozen importlib|/importlib/__init__\.py$"
)


def about(one: Invocation) -> str:
    """Return what was called, and what came of it, for people: ``POST /orders 201``."""
    return "".join(text for text, _ in pieces(one))


def pieces(one: Invocation) -> list[tuple[str, str]]:
    """Return the parts of :func:`about`, each with the code of its colour."""
    took = f"{one.seconds * 1000:.0f} ms"
    colour = _STATUS[one.status]
    error = [(f": {one.error}", "")] if one.error and one.status != "ok" else []
    if one.kind == "http" and isinstance(one.request, dict):
        request = one.request.get("http", {})
        status = one.response.get("status", "") if isinstance(one.response, dict) else ""
        query = f"?{request['query']}" if request.get("query") else ""
        what = f"{request.get('method')} {request.get('path')}{query} {status}".rstrip()
        how = [] if one.status == "ok" else [(" ", ""), (one.status, colour)]
        return [(f"{what} ", ""), (took, "2"), *how, *error]
    response = one.response if isinstance(one.response, dict) else {}
    count = len(response.get("ids") or ())
    what = _KINDS.get(one.kind, one.kind) if one.box.startswith("function/") else one.box
    what = (what or one.kind) + (f" ({count} messages)" if count > 1 else "")
    if one.status == "dead" and not one.spans:
        # Given up without another call: what cannot be read, or has crashed too often.
        (text, *_) = _then(response, count) or ["dead letter"]
        return [(f"{what} ", ""), (text, colour), *error]
    if one.attempt > 1:
        what += f", attempt {one.attempt}"
    if one.status == "ok":
        more = [(", is delivered once more", "33")] if response.get("twice") else []
        return [(f"{what} done ", ""), (took, "2"), *more]
    then = "".join(f", {text}" for text in _then(response, count))
    if not response.get("again") and not response.get("dead") and response.get("held"):
        return [(what, ""), (then, colour)]
    how = [] if one.status in ("again", "dead", "error") else [(f" ({one.status})", colour)]
    return [(f"{what} ", ""), ("failed", colour), (" after ", ""), (took, "2"), *how,
            (then, ""), *error]  # fmt: skip


def _then(response: Mapping[str, Any], count: int) -> list[str]:
    """Return what becomes of the messages of a delivery that failed."""
    again, dead, held = (response.get(name) or () for name in ("again", "dead", "held"))
    found = []
    if again:
        seconds = max(again.values())
        who = "comes" if count == 1 else "all come" if len(again) == count else f"{len(again)} come"
        found.append(f"{who} again {_in(seconds)}")
    if dead:
        reasons = ", ".join(sorted({str(reason) for reason in dead.values() if reason}))
        who = "dead letter" if count == 1 else f"{len(dead)} dead letter{'s'[: len(dead) - 1]}"
        found.append(f"{who} ({reasons})" if reasons else who)
    if held:
        who = "" if count == 1 else f"{len(held)} "
        one = len(held) == 1
        found.append(f"{who}waits for an earlier one" if one else f"{who}wait for earlier ones")
    return found


def _in(seconds: float) -> str:
    if seconds < 0.05:
        return "at once"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"in {seconds / size:.3g} {unit}"
    return f"in {seconds:.3g} s"


def brief(text: str) -> str:
    """Return *text* without the frames of portafaas' own code and the import system's.

    All that is the handler's stays, and so does a traceback that has nothing else.
    """
    lines: list[str] = []
    own = deep = 0
    skipping = False
    for line in text.split("\n"):
        frame = _FRAME.match(line)
        if frame is not None:
            deep = len(frame[1])
            skipping = bool(_OWN.search(frame[2]))
            own += skipping
        elif skipping and len(line) - len(line.lstrip()) <= deep:
            skipping = False
        if not skipping:
            lines.append(line)
    return "\n".join(lines) if own and any(map(_FRAME.match, lines)) else text
