"""Bridge of object functions. Ships."""

from __future__ import annotations

from portafaas.runtime.event import ObjectEvent
from portafaas.runtime.text import percent_decode
from portafaas_example.runtime.common import bind_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas_example.runtime.common import Entry


def bind(function: Function) -> Entry:
    """Return the entry of an object function."""

    def read(event: Mapping[str, Any]) -> ObjectEvent:
        file = event["file"]
        key = percent_decode(file["name"])
        put = file["change"] == "put"
        return ObjectEvent(
            f"{key}@{file['serial']}",
            function.source,
            bucket=function.trigger["bucket"],
            key=key,
            kind="created" if put else "deleted",
            size=file["bytes"] if put else None,
            etag=file["tag"],
            time=file["at"],
            attempt=event["attempt"],
            raw=event,
        )

    return bind_event(function, read)
