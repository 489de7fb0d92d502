"""What stands for the clients by which a bridge settles a delivery."""

# ruff: noqa: PTH123 (plain strings: pathlib costs the handler time)
from __future__ import annotations

import json
import os
from time import time

from portafaas.runtime.resources import ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Variable with the file to which is written what a bridge asks of its platform, a JSON object a
#: line: ``place``, ``operation``, ``given`` and ``arguments``.
TOLD = "PORTAFAAS_TOLD"


class Teller:
    """Stands for a client of a platform's broker: whatever it is called with is written down.

    A bridge calls it while it settles a delivery; who delivers does what it asks.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __getattr__(self, operation: str) -> Any:
        def called(*given: Any, **arguments: Any) -> dict[str, Any]:
            file = os.environ.get(TOLD)
            if not file:
                raise ResourceError(f"{operation}: nothing here delivers: {TOLD} is not set")
            call = {
                "place": self._place, "operation": operation, "given": given,
                "arguments": arguments,
            }  # fmt: skip
            line = json.dumps(call, default=_told)
            with open(file, "a", encoding="utf-8") as out:
                out.write(line + "\n")
            return {}

        return called


def client(place: str) -> Teller:
    """Return what stands for the client of *place*, a service, a queue or a topic."""
    return Teller(place)


def _told(value: Any) -> Any:
    """Return bytes, and a message of Service Bus, as JSON values."""
    if isinstance(value, (bytes, bytearray)):
        from base64 import b64encode

        return {"base64": b64encode(value).decode("ascii")}
    due = value.scheduled_enqueue_time_utc
    properties = value.application_properties or {}
    return {
        "attributes": {_text(name): _text(text) for name, text in properties.items()},
        "after": max(0.0, round(due.timestamp() - time(), 3)) if due else 0.0,
    }


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
