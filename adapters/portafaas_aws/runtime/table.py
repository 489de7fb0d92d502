"""DynamoDB streams to table handlers. Ships.

https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

from portafaas_aws.runtime.settlement import Changes, has_dead_letters
from portafaas_aws.runtime.start import context_of, load, read, records_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.event import ChangeEvent
    from portafaas.runtime.function import Function

_KINDS = {"INSERT": "insert", "MODIFY": "update", "REMOVE": "delete"}


def bind(function: Function) -> Callable[[Any, Any], dict[str, Any]]:
    """Return the Lambda handler of a table function.

    Changes are handled in order, one that fails again and again within the invocation, as the
    stream does not count and others wait behind it. What is given up is a dead letter. Else the
    first one that fails ends the batch and is answered by its sequence number: the stream starts
    again there, so that none is skipped and none overtaken.
    https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
    A payload that is no stream's raises ValueError.
    """
    from portafaas.runtime.deliver import run_event

    load(function)
    settlement = Changes(function)

    def invoke(event: Any, context: Any) -> dict[str, Any]:
        settles = settlement if has_dead_letters(function) else None
        for record in records_of(event, "aws:dynamodb"):
            change = read(change_of, function, record)
            if change is None:
                continue
            try:
                neutral = context_of(function, context, change.attempt)
                run_event(function, change, neutral, settles, counted=False)
            except Exception:
                number = record["dynamodb"].get("SequenceNumber")
                if number is None:
                    raise
                return {"batchItemFailures": [{"itemIdentifier": number}]}
        return {"batchItemFailures": []}

    return invoke


def change_of(function: Function, record: dict[str, Any]) -> ChangeEvent | None:
    """Return the event of a stream record, or None if the trigger does not ask for its kind.

    Raises ValueError for a record that is malformed.
    """
    from portafaas.runtime.event import ChangeEvent

    trigger = function.trigger
    on, images = trigger["on"], trigger["images"]
    sent = _KINDS.get(str(record.get("eventName")))
    facts = record.get("dynamodb")
    if sent is None or not isinstance(facts, dict):
        raise ValueError(f"not a change of a table: eventName is {record.get('eventName')!r}")
    kind = "upsert" if "upsert" in on and sent != "delete" else sent
    if kind not in on:
        return None
    created = facts.get("ApproximateCreationDateTime")
    time = None
    if created is not None:
        from portafaas.runtime.text import epoch_time

        time = epoch_time(float(created))
    # What was redriven has something of ours.
    control = record.get("pf-control")
    new = facts.get("NewImage") if "new" in images and sent != "delete" else None
    old = facts.get("OldImage") if "old" in images and sent != "insert" else None
    change = ChangeEvent(
        str(record.get("eventID")),
        function.source,
        table=trigger["table"],
        kind=kind,
        keys=_row(facts.get("Keys") or {}),
        new=None if new is None else _image(new),
        old=None if old is None else _image(old),
        time=time,
        raw=record,
    )
    if control:
        change.control = control
    return change


def _image(typed: dict[str, Any]) -> dict[str, Any]:
    # What the driver keeps with a row is not of the row.
    return _row({name: value for name, value in typed.items() if not name.startswith("pf-")})


def _row(typed: dict[str, Any]) -> dict[str, Any]:
    return {name: value_of(value) for name, value in typed.items()}


def value_of(typed: Any) -> Any:
    """Return the JSON value of a DynamoDB attribute value: ``{"N": "5"}`` is 5.

    Sets are lists, binary values stay base64. Raises ValueError for an unknown type.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
    """
    if not isinstance(typed, dict) or len(typed) != 1:
        raise ValueError("an attribute value must have exactly one type")
    ((kind, value),) = typed.items()
    if kind in ("S", "B", "BOOL"):
        return value
    if kind == "N":
        return number(value)
    if kind == "NULL":
        return None
    if kind == "M":
        return _row(value)
    if kind == "L":
        return [value_of(item) for item in value]
    if kind in ("SS", "BS"):
        return list(value)
    if kind == "NS":
        return [number(item) for item in value]
    raise ValueError(f"unknown attribute type {kind!r}")


def number(text: str) -> int | float:
    """Return a DynamoDB number: int when it is integral, else the nearest float."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if value.is_integer():
            from decimal import Decimal

            return int(Decimal(text))
        return value
