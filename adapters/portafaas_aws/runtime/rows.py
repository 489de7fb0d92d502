"""Rows of tables as items of DynamoDB: reads, queries, and writes with conditions. Ships.

The service tests conditions and adds numbers itself. Where it refuses, it says what is there
(``ReturnValuesOnConditionCheckFailure``), of which ``portafaas.runtime.rows.apply`` tells what is
wrong; when nothing is, because an expired row is still there, what it makes of the row replaces it.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html

Long, since a file more would be an import more at a cold start.
"""

from __future__ import annotations

from portafaas.runtime.resources import ResourceError
from portafaas.runtime.rows import ABSENT, MAX_WHOLE, OWN, Row, apply
from portafaas_aws.runtime.calls import call, client, error_of
from portafaas_aws.runtime.table import value_of
from portafaas_aws.runtime.values import typed, typed_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.rows import Write

#: Attribute with the row's version, which every write of ours changes.
VERSION = f"{OWN}version"
#: Times that a write is tried while others change the row, and seconds of the first pause.
ATTEMPTS = 8
PAUSE = 0.02
#: Why a transaction is cancelled that may be done later. The SDK repeats none of these.
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CancellationReason.html
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_PASSING = {
    "ConditionalCheckFailed",
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
    "TransactionConflict",
}


def row_of(item: dict[str, Any]) -> Row:
    """Return the row of an item, without what is kept with it."""
    version = value_of(item[VERSION]) if VERSION in item else ""
    return Row(
        {name: value_of(value) for name, value in item.items() if not name.startswith(OWN)},
        str(version),
    )


def get(address: str, key: dict[str, str]) -> Row | None:
    """Return the row with *key*, or None; the read is consistent, as on the other platforms."""
    answer = call(
        client("dynamodb").get_item, TableName=address, Key=typed_row(key), ConsistentRead=True
    )
    item = answer.get("Item")
    return None if item is None else row_of(item)


def scan(address: str) -> Iterator[Row]:
    """Yield every row, page by page (1 MB each).

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
    """
    start: dict[str, Any] = {}
    while True:
        answer = call(client("dynamodb").scan, TableName=address, ConsistentRead=True, **start)
        for item in answer["Items"]:
            yield row_of(item)
        if "LastEvaluatedKey" not in answer:
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def query(
    address: str,
    key: tuple[str, str],
    sort: str,
    prefix: str | None,
    first: str | None,
    last: str | None,
    descending: bool,
    limit: int,
    after: str | None,
) -> tuple[list[Row], bool]:
    """Return rows with *key* in the order of their sort keys, and whether more may follow.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html
    """
    known = Expression()
    condition = f"{known.name(key[0])} = {known.value(key[1])}"
    if prefix is not None:
        condition += f" AND begins_with({known.name(sort)}, {known.value(prefix)})"
    elif first is not None and last is not None:
        condition += f" AND {known.name(sort)} BETWEEN {known.value(first)} AND {known.value(last)}"
    elif first is not None:
        condition += f" AND {known.name(sort)} >= {known.value(first)}"
    elif last is not None:
        condition += f" AND {known.name(sort)} <= {known.value(last)}"
    start = {}
    if after is not None:
        start = {"ExclusiveStartKey": typed_row({key[0]: key[1], sort: after})}
    answer = call(
        client("dynamodb").query,
        TableName=address,
        KeyConditionExpression=condition,
        ConsistentRead=True,
        ScanIndexForward=not descending,
        Limit=limit + 1,
        **known.arguments(),
        **start,
    )
    items = answer["Items"]
    return [row_of(item) for item in items[:limit]], (
        len(items) > limit or "LastEvaluatedKey" in answer
    )


def write_one(address: str, write: Write, ttl: str) -> Row | None:
    """Do one write and return the row after it."""
    from time import time

    from portafaas.runtime.resources import new_id

    seen: Seen | None = None
    for attempt in range(ATTEMPTS):
        version = new_id()
        kind, arguments = request(address, write, ttl, int(time()), version, seen)
        if kind == "Update":
            arguments["ReturnValues"] = "ALL_NEW"
        operation = getattr(client("dynamodb"), f"{kind.lower()}_item")
        try:
            answer = operation(**arguments)
        except Exception as exc:
            response = getattr(exc, "response", None) or {}
            if response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise error_of(exc) from exc
            item = response.get("Item")
            if item is not None and item.get(VERSION) == typed(version):
                # Ours: the answer was lost, and the SDK has asked once more.
                return row_of(item)
            seen = Seen(item, write, ttl)
            pause(attempt)
            continue
        if kind == "Delete":
            return None
        if kind == "Put":
            return Row(write.row if seen is None else seen.after or {}, version)
        return row_of(answer["Attributes"])
    raise ResourceError(f"others change the row in table {address} all the time", retryable=True)


def commit(address: str, writes: Sequence[Write], ttl: str) -> None:
    """Do all writes or none.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
    """
    from time import time

    from portafaas.runtime.resources import new_id

    seen: dict[int, Seen] = {}
    failed: Exception | None = None
    for attempt in range(ATTEMPTS):
        now = int(time())
        items = [
            dict([request(address, write, ttl, now, new_id(), seen.get(place))])
            for place, write in enumerate(writes)
        ]
        try:
            client("dynamodb").transact_write_items(TransactItems=items)
            return
        except Exception as exc:
            response = getattr(exc, "response", None) or {}
            reasons = response.get("CancellationReasons") or []
            codes = {reason.get("Code") for reason in reasons} - {"None", None}
            if not codes or codes - _PASSING:
                raise error_of(exc) from exc
            for place, reason in enumerate(reasons):
                if reason.get("Code") == "ConditionalCheckFailed":
                    seen[place] = Seen(reason.get("Item"), writes[place], ttl)
            failed = exc
        pause(attempt)
    raise ResourceError(
        f"others change the rows in table {address} all the time, or it is asked too often",
        retryable=True,
    ) from failed


class Seen:
    """A row that was there when a condition failed, and what it would be after the write.

    Raises what ``apply`` does: why the write cannot be done.
    """

    __slots__ = ("after", "before")

    def __init__(self, item: dict[str, Any] | None, write: Write, ttl: str) -> None:
        from time import time

        self.before = None if item is None else row_of(item)
        self.after = apply(self.before, write, ttl, time())


class Expression:
    """Names and values of an expression, each once."""

    __slots__ = ("names", "values")

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        """Return the placeholder of an attribute's name."""
        for known, name in self.names.items():
            if name == attribute:
                return known
        made = f"#n{len(self.names)}"
        self.names[made] = attribute
        return made

    def value(self, value: Any) -> str:
        """Return the placeholder of a JSON value."""
        made = f":v{len(self.values)}"
        self.values[made] = typed(value)
        return made

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a call; what is empty is refused."""
        found: dict[str, Any] = {}
        if self.names:
            found["ExpressionAttributeNames"] = self.names
        if self.values:
            found["ExpressionAttributeValues"] = self.values
        return found


def request(
    address: str, write: Write, ttl: str, now: int, version: str, seen: Seen | None = None
) -> tuple[str, dict[str, Any]]:
    """Return ``Put``, ``Update`` or ``Delete``, and its arguments.

    With *seen*, put what was made of it, on condition that it is still there.
    """
    known = Expression()
    arguments: dict[str, Any] = {"TableName": address}
    kind, row = write.kind.capitalize(), write.row
    if seen is None:
        conditions = list(_conditions(write, ttl, now, known))
    else:
        conditions = list(_as_seen(write, ttl, seen.before, known))
        kind, row = ("Delete", {}) if seen.after is None else ("Put", seen.after)
    if kind == "Update" and write.add:
        # Sent again by the SDK, whose answer was lost, it must not add twice.
        conditions.append(f"NOT {known.name(VERSION)} = {known.value(version)}")
    if kind == "Put":
        arguments["Item"] = {**typed_row(row), VERSION: typed(version)}
    else:
        arguments["Key"] = typed_row(write.key)
    if kind == "Update":
        arguments["UpdateExpression"] = _changes(write, version, known)
    if conditions:
        arguments["ConditionExpression"] = " AND ".join(conditions)
        arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return kind, {**arguments, **known.arguments()}


def _conditions(write: Write, ttl: str, now: int, known: Expression) -> Iterator[str]:
    if write.blind:
        return
    # Said of the item with this key: one attribute of the key stands for all.
    key = next(iter(write.key))
    if write.if_absent:
        gone = f"attribute_not_exists({known.name(key)})"
        yield f"({gone} OR {known.name(ttl)} <= {known.value(now)})" if ttl else gone
        return
    if ttl:
        # Also true of an item without the attribute, and where there is no item.
        yield f"(NOT {known.name(ttl)} <= {known.value(now)})"
    if write.if_version is not None or (write.kind == "update" and not write.create):
        yield f"attribute_exists({known.name(key)})"
    if write.if_version is not None:
        yield _version(write.if_version, known)
    for name, wanted in write.when.items():
        if wanted is ABSENT:
            yield f"attribute_not_exists({known.name(name)})"
        else:
            yield f"{known.name(name)} = {known.value(wanted)}"
    for name, more in write.add.items():
        low, high = known.value(-MAX_WHOLE - more), known.value(MAX_WHOLE - more)
        field, number = known.name(name), known.value("N")
        yield (
            f"(attribute_not_exists({field}) OR "
            f"(attribute_type({field}, {number}) AND {field} BETWEEN {low} AND {high}))"
        )


def _as_seen(write: Write, ttl: str, before: Row | None, known: Expression) -> Iterator[str]:
    there = known.name(next(iter(write.key)))
    if before is None:
        yield f"attribute_not_exists({there})"
        return
    yield f"attribute_exists({there})"
    yield _version(before.version, known)
    if ttl in before:  # others may write without a version
        yield f"{known.name(ttl)} = {known.value(before[ttl])}"


def _version(version: str, known: Expression) -> str:
    field = known.name(VERSION)
    return f"{field} = {known.value(version)}" if version else f"attribute_not_exists({field})"


def _changes(write: Write, version: str, known: Expression) -> str:
    new = {**write.set, VERSION: version}
    pairs = [f"{known.name(name)} = {known.value(value)}" for name, value in new.items()]
    text = f"SET {', '.join(pairs)}"
    if write.add:
        pairs = [f"{known.name(name)} {known.value(n)}" for name, n in write.add.items()]
        text += f" ADD {', '.join(pairs)}"
    if write.remove:
        text += f" REMOVE {', '.join(known.name(name) for name in write.remove)}"
    return text


def pause(attempt: int) -> None:
    """Wait before the next attempt, longer each time, and not as long as others do."""
    from random import random
    from time import sleep

    sleep(PAUSE * min(2**attempt, 32) * random())
