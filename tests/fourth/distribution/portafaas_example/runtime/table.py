"""Bridge of table functions. Ships."""

from __future__ import annotations

from portafaas.runtime.event import ChangeEvent
from portafaas_example.runtime.common import bind_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas_example.runtime.common import Entry

_KINDS = {"added": "insert", "edited": "update", "dropped": "delete"}


def _whole(value: Any) -> Any:
    """Return *value* with whole numbers as int, which JSON does not tell from 1.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def bind(function: Function) -> Entry:
    """Return the entry of a table function."""
    wanted, images = function.trigger["on"], function.trigger["images"]

    def read(event: Mapping[str, Any]) -> ChangeEvent | None:
        row = event["row"]
        kind = _KINDS[row["change"]]
        if "upsert" in wanted and kind != "delete":
            kind = "upsert"
        if kind not in wanted:
            return None
        return ChangeEvent(
            event["event"],
            function.source,
            table=function.trigger["table"],
            kind=kind,
            keys=row["key"],
            new=_whole(row["row"]) if "new" in images else None,
            time=row["at"],
            attempt=event["attempt"],
            raw=event,
        )

    return bind_event(function, read)
