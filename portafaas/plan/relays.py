"""``outbox`` of a table: the function that sends what its writers committed and could not send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.plan.model import FunctionPlan, TableTrigger, Use
from portafaas.plan.settings import environment, retry
from portafaas.plan.triggers import Findings
from portafaas.plan.values import mebibytes, seconds

#: Handler of every relay; it ships with the runtime.
MODULE, ATTRIBUTE = "portafaas.runtime.relay", "relay"
SUFFIX = "-outbox"
#: Most characters of a function's name.
_LONGEST = 40


def relays(
    found: Findings,
    document: Mapping[str, Any],
    functions: tuple[FunctionPlan, ...],
    ours: Mapping[str, str],
) -> tuple[FunctionPlan, ...]:
    """Return a function for each table with an outbox; PF2026 goes to *found*."""
    return tuple(
        _relay(found, document, functions, ours, name, spec)
        for name, spec in (document.get("tables") or {}).items()
        if spec and spec.get("outbox")
    )


def _relay(
    found: Findings,
    document: Mapping[str, Any],
    functions: tuple[FunctionPlan, ...],
    ours: Mapping[str, str],
    table: str,
    spec: Mapping[str, Any],
) -> FunctionPlan:
    name = f"{table}{SUFFIX}"
    path = ("tables", table, "outbox")
    why = "$." + ".".join(path)
    if not spec.get("sort"):
        found.add(
            "PF2026",
            path,
            f"table {table!r} has no sort key, by which rows of the outbox are told",
            f"{table}: {{key: order, sort: part, outbox: true}}",
        )
    taken = [spec[setting] for setting in ("key", "sort", "ttl") if spec.get(setting) == "outbox"]
    if taken:
        found.add("PF2026", path, "the attribute 'outbox' is the outbox's own", "rename yours")
    if name in (document.get("functions") or {}) or len(name) > _LONGEST:
        found.add(
            "PF2026",
            path,
            f"the outbox needs a function called {name!r}, "
            + ("which has that name" if len(name) <= _LONGEST else f"over {_LONGEST} characters"),
            "rename the table or the function" if len(name) <= _LONGEST else "shorten the name",
        )
    sends: dict[tuple[str, str, str], Use] = {}
    for function in functions:
        if any((u.verb, u.kind, u.name) == ("write", "table", table) for u in function.uses):
            for use in function.uses:
                if use.verb in ("send", "publish"):
                    sends[use.verb, use.kind, use.name] = Use(use.verb, use.kind, use.name, why)
    if not sends:
        found.add(
            "PF2026",
            path,
            f"no function writes to table {table!r} and sends or publishes anything",
            "remove the outbox, or let one function have both in its uses",
        )
    defaults = document.get("defaults") or {}
    trigger = TableTrigger(table)
    return FunctionPlan(
        name=name,
        module=MODULE,
        attribute=ATTRIBUTE,
        trigger=trigger,
        memory=mebibytes(defaults.get("memory", 256)),
        timeout=max(1, int(seconds(defaults.get("timeout", 30)))),
        environment=environment(found, path, {}, {}, ours),
        retry=retry(found, path, trigger, defaults, {}),
        uses=(
            Use("read", "table", table, why),
            Use("write", "table", table, why),
            *(sends[use] for use in sorted(sends)),
        ),
        emits=_emits(functions, table, sends),
        origin=why,
    )


def _emits(
    functions: tuple[FunctionPlan, ...], table: str, sends: Mapping[tuple[str, str, str], Use]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the types that the writers of *table* emit, of the topics where all declare them."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for verb, _, topic in sorted(sends):
        declared = [
            function.emitted(topic)
            for function in functions
            if {("write", table), ("publish", topic)} <= {(u.verb, u.name) for u in function.uses}
        ]
        if verb == "publish" and None not in declared:
            types = dict.fromkeys(kind for kinds in declared for kind in kinds or ())
            found.append((topic, tuple(types)))
    return tuple(found)
