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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from portafaas.runtime.function import Function

#: Properties that Cosmos DB adds to every item.
SYSTEM = ("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn")


def bind(function: Function) -> Callable[[Any, Any], Awaitable[None]]:
    """Return the coroutine function that the worker calls; it raises to have the change again."""
    runner = Runner(function)

    async def entry(native: Any, raw: Any) -> None:
        async with runner.slot():
            retries = getattr(getattr(raw, "retry_context", None), "retry_count", 0) or 0
            # In order and up to the first that fails: the whole delivery comes again.
            for event in changes(function, native, retries + 1):
                context = Context(
                    function, raw.invocation_id, target="azure", attempt=event.attempt, raw=raw
                )
                await runner.run_event(event, context)

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
        document = {name: _plain(value) for name, value in item.items()}
        missing = [name for name in names if name not in document]
        if missing:
            raise ValueError(f"change {position} has no {missing[0]!r}, the key of the table")
        keys = {name: document[name] for name in names}
        stamp = document.get("_ts")
        events.append(
            ChangeEvent(
                _identity(document, keys),
                function.source,
                table=trigger["table"],
                kind="upsert",
                keys=keys,
                new=row(document, keys) if "new" in trigger["images"] else None,
                time=epoch_time(stamp) if isinstance(stamp, int) else None,
                attempt=attempt,
                raw=native,
            )
        )
    return events


def technical_id(keys: Mapping[str, Any]) -> str:
    """Return the ``id`` of a row whose table has another key: Cosmos DB wants one on every item."""
    return "|".join(str(value) for value in keys.values())


def row(document: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item as the application wrote it.

    An ``id`` that only repeats the key, in a table whose key has another name, is technical and
    goes; any other value of ``id`` is the application's own and stays.
    """
    hidden = set(SYSTEM)
    if "id" not in keys and document.get("id") == technical_id(keys):
        hidden.add("id")
    return {name: value for name, value in document.items() if name not in hidden}


def _identity(document: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    # The etag changes with every write and is the same on every redelivery.
    tag = document.get("_etag")
    if isinstance(tag, str) and tag:
        return tag.strip('"')
    return f"{technical_id(keys)}@{document.get('_lsn', document.get('_ts', ''))}"


def _plain(value: Any) -> Any:
    """Return a JSON value with integral numbers as int, as on every target."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
