"""``idempotency`` of a function: the table of its records, and what that adds to ``uses``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from portafaas.errors import guess
from portafaas.plan.model import Idempotency, Trigger, Use
from portafaas.plan.triggers import Findings, Path
from portafaas.plan.values import seconds

#: Attributes of a record; see ``portafaas/runtime/idempotency.py``.
RECORD = ("state", "owner", "until", "payload", "answer")

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]+)\]")


def idempotency(
    found: Findings,
    document: Mapping[str, Any],
    path: tuple[str, ...],
    trigger: Trigger,
    timeout: int,
    spec: Mapping[str, Any] | None,
) -> Idempotency | None:
    """Return how the function does things once, or None; PF2002 and PF2025 go to *found*."""
    if spec is None:
        return None
    where = (*path, "idempotency")
    name = spec["table"]
    tables = document.get("tables") or {}
    if name not in tables:
        hint = guess(name, tables) or f"declare it under tables: as {name}: {{ttl: expires}}"
        found.add("PF2002", (*where, "table"), f"no table is called {name!r}", hint)
    else:
        _table(found, (*where, "table"), name, tables[name] or {})
    expires = seconds(spec.get("expires", 86_400))
    if expires < timeout or expires != int(expires):
        found.add(
            "PF2025",
            (*where, "expires") if "expires" in spec else where,
            f"{expires:g} s of memory are not whole seconds, or fewer than the timeout of "
            f"{timeout} s",
            "1d, or as long as something may come again",
        )
    key = spec.get("key", "")
    if key and trigger.kind in ("schedule", "object"):
        found.add(
            "PF2025",
            (*where, "key"),
            f"the events of a trigger of kind {trigger.kind} have no body that {key} could be in",
            "leave it out: the event's source and id are the key",
        )
    steps = tuple(int(index) if index else word for word, index in _STEP.findall(key))
    return Idempotency(name, steps, int(expires), bool(spec.get("required", False)))


def _table(found: Findings, where: Path, name: str, table: Mapping[str, Any]) -> None:
    if not table.get("ttl"):
        found.add(
            "PF2025",
            where,
            f"table {name!r} has no 'ttl': records would stay for ever",
            f"{name}: {{ttl: expires}}",
        )
    if table.get("sort"):
        found.add(
            "PF2025",
            where,
            f"table {name!r} has a sort key; a record has one key",
            "use a table of its own",
        )
    taken = [word for word in (table.get("key", "id"), table.get("ttl")) if word in RECORD]
    if taken:
        found.add(
            "PF2025",
            where,
            f"{taken[0]!r} in table {name!r} is an attribute of the records",
            f"use other names than {', '.join(RECORD)}",
        )


def with_records(
    path: tuple[str, ...], uses: tuple[Use, ...], once: Idempotency | None
) -> tuple[Use, ...]:
    """Return *uses* and what of reading and writing the records they do not grant yet."""
    if once is None:
        return uses
    why = "$." + ".".join((*path, "idempotency"))
    granted = {(use.verb, use.kind, use.name) for use in uses}
    derived = (Use("read", "table", once.table, why), Use("write", "table", once.table, why))
    return uses + tuple(use for use in derived if (use.verb, use.kind, use.name) not in granted)
