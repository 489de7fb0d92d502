"""The table bridge: the latest-version change feed of Cosmos DB. Ships.

The feed tells that an item was written, not whether it is new, and nothing of deletions or of
what was there before; so every change is an ``upsert`` with its new image.
https://learn.microsoft.com/azure/cosmos-db/nosql/change-feed-modes#latest-version-change-feed-mode
"""

from __future__ import annotations

from portafaas.runtime.context import Context
from portafaas.runtime.event import ChangeEvent
from portafaas.runtime.text import epoch_time
from portafaas_azure.runtime.run import Runner
from portafaas_azure.runtime.settlement import Settlement, settles
from portafaas_azure.runtime.shapes import loaded, plain, technical_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any, Any], Awaitable[None]]:
    """Return the coroutine function that the worker calls; it raises to have the change again."""
    runner = Runner(function)
    settled = settles(function)

    async def entry(native: Any, raw: Any) -> None:
        async with runner.slot():
            retries = getattr(getattr(raw, "retry_context", None), "retry_count", 0) or 0
            # In order and up to the first that fails: the whole delivery comes again.
            found = changes(function, native, retries + 1)
            for event in found:
                context = Context(
                    function, raw.invocation_id, target="azure", attempt=event.attempt, raw=raw
                )
                # A later change must not overtake: no copies. The host repeats, and counts.
                settlement = None
                if settled and len(native) == 1:
                    settlement = Settlement(function, context, copies=False, hosted=True)
                await runner.run_event(event, context, settlement)

    return entry


def bind_again(function: Function) -> Callable[[Any, Any], Awaitable[None]]:
    """Return the coroutine function for dead letters that are delivered again, by a queue."""
    runner = Runner(function)

    async def entry(native: Any, raw: Any) -> None:
        from portafaas_azure.runtime.again import deliver_again

        def made(document: Any, attempt: int) -> Any:
            found = changes(function, [document], attempt)
            return found[0] if found else None

        async with runner.slot():
            await deliver_again(runner, native, raw, made)

    return entry


def changes(function: Function, native: Any, attempt: int = 1) -> list[ChangeEvent]:
    """Return the events of a delivery; raises ValueError when an item lacks the table's key."""
    trigger = function.trigger
    if "upsert" not in trigger["on"] or native is None:
        return []
    names = [trigger["key"]] + ([trigger["sort"]] if trigger.get("sort") else [])
    events = []
    for position, item in enumerate(native):
        if item is None or not hasattr(item, "items"):
            raise ValueError(f"change {position} is not an item of Cosmos DB")
        row = loaded(item, names)
        missing = [name for name in names if name not in row]
        if missing:
            raise ValueError(f"change {position} has no {missing[0]!r}, the key of the table")
        keys = {name: row[name] for name in names}
        stamp = plain(item.get("_ts"))
        events.append(
            ChangeEvent(
                _identity(item, keys),
                function.source,
                table=trigger["table"],
                kind="upsert",
                keys=keys,
                new=row if "new" in trigger["images"] else None,
                time=epoch_time(stamp) if isinstance(stamp, int) else None,
                attempt=attempt,
                raw=native,
            )
        )
    return events


def _identity(document: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    # The etag changes with every write and is the same on every redelivery.
    tag = document.get("_etag")
    if isinstance(tag, str) and tag:
        return tag.strip('"')
    return f"{technical_id(keys)}@{plain(document.get('_lsn', document.get('_ts', '')))}"
