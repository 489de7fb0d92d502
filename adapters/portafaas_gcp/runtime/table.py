"""Bridge of table functions: Firestore document events through Eventarc. Ships.

https://cloud.google.com/eventarc/docs/run/route-trigger-cloud-firestore
"""

from __future__ import annotations

from portafaas.runtime.event import ChangeEvent
from portafaas.runtime.text import utc_time
from portafaas_gcp.runtime.delivery import bind_event, open_delivery
from portafaas_gcp.runtime.firestore import Document, from_json, from_protobuf
from portafaas_gcp.runtime.settlement import Settlement, event_message
from portafaas_gcp.runtime.shapes import row_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas_gcp.runtime.delivery import Delivered

_KINDS = {
    "created": "insert",
    "create": "insert",
    "updated": "update",
    "update": "update",
    "deleted": "delete",
    "delete": "delete",
}


def bind(function: Function) -> Callable[[Any], Any]:
    """Return the framework's entry function for a table function."""

    def read(environ: dict[str, Any], body: bytes, context: Context) -> Delivered | None:
        outer, data = open_delivery(environ, body)
        event = event_of(function, outer, data)
        if event is None:
            return None
        return event, Settlement(function, context, event_message(outer, data))

    # Eventarc's own subscription has no dead letters, and so does not count.
    return bind_event(function, read, counted=False)


def event_of(function: Function, outer: dict[str, Any], data: Any) -> ChangeEvent | None:
    """Return the event of a document's change, None for one that nobody asked for.

    Raises ValueError when it is none.
    """
    trigger = function.trigger
    wanted, images = trigger["on"], trigger["images"]
    if not outer:
        raise ValueError("the delivery is no Firestore event: it has no type")
    new, old = from_protobuf(data) if isinstance(data, bytes) else from_json(data)
    change = _kind(str(outer.get("type")), new, old)
    kind = "upsert" if "upsert" in wanted and change != "delete" else change
    if kind not in wanted:
        return None
    time = outer.get("time")
    return ChangeEvent(
        str(outer.get("id", "")),
        function.source,
        table=trigger["table"],
        kind=kind,
        keys=_keys(trigger, outer, new or old),
        new=row_of(new.fields) if new and "new" in images and change != "delete" else None,
        old=row_of(old.fields) if old and "old" in images and change != "insert" else None,
        time=utc_time(time if isinstance(time, str) else None),
        raw=data,
    )


def _kind(name: str, new: Document | None, old: Document | None) -> str:
    """Return insert, update or delete; ``written`` is all three, told apart by the images."""
    word = name.removesuffix(".withAuthContext").rpartition(".")[2]
    if word in ("written", "write"):
        return "delete" if new is None else "insert" if old is None else "update"
    try:
        return _KINDS[word]
    except KeyError:
        raise ValueError(f"{name!r} is not a Firestore document event") from None


def _keys(
    trigger: Mapping[str, Any], outer: dict[str, Any], document: Document | None
) -> dict[str, Any]:
    """Return the row's keys: from the document, else from its id (``key`` or ``key:sort``)."""
    names = [trigger["key"], trigger["sort"]] if trigger["sort"] else [trigger["key"]]
    fields = document.fields if document else {}
    if all(name in fields for name in names):
        return {name: fields[name] for name in names}
    path = document.name if document and document.name else outer.get("document")
    path = path or outer.get("subject")
    if not isinstance(path, str) or not path:
        raise ValueError("a Firestore event must name its document")
    identifier = path.rpartition("/")[2]
    if len(names) == 1:
        return {names[0]: identifier}
    first, _, second = identifier.partition(":")
    return {names[0]: fields.get(names[0], first), names[1]: fields.get(names[1], second)}
