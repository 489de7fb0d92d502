"""SQS to queue handlers. Ships.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

from portafaas.runtime.message import Message as Whole
from portafaas_aws.runtime import sqs
from portafaas_aws.runtime.settlement import Settlement, refused
from portafaas_aws.runtime.start import context_of, load, read, records_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any, Any], dict[str, Any]]:
    """Return the Lambda handler of a queue function.

    It answers with SQS's ids of what failed. It raises, and SQS delivers the whole batch again,
    for a payload that is none of SQS (ValueError) and for a handler that cannot be loaded. One
    record that cannot be read is a dead letter, and no matter of the others.
    """
    from portafaas.runtime.deliver import run_messages

    load(function)
    settlement = Settlement(function)

    def invoke(event: Any, context: Any) -> dict[str, Any]:
        records = records_of(event, "aws:sqs")
        lost: list[str] = []
        try:
            messages = read(messages_of, function, records)
        except ValueError:
            records, messages, lost = _readable(function, records, context, settlement)
            if not messages:
                return sqs.failures(lost)
        trace = messages[0].attributes.get("traceparent") if len(messages) == 1 else None
        neutral = context_of(function, context, messages[0].attempt, trace)
        failed = run_messages(function, messages, neutral, settlement)
        if not failed:
            return sqs.failures(lost)
        # The ids of handlers are the senders'.
        names = set(failed)
        lost += [
            record["messageId"]
            for record, message in zip(records, messages)  # noqa: B905 (Python 3.10)
            if message.id in names
        ]
        return sqs.failures(lost)

    return invoke


#: ``json.loads``, once it is needed.
_loads: Any = None
#: Sets of attributes' names, as tuples, and what of ours is among them: nothing, ``pf-id`` alone,
#: or more. Messages of one sender have one.
_shapes: dict[tuple[str, ...], int] = {}
_NOTHING, _ID, _MORE = range(3)


def _readable(
    function: Function, records: list[dict[str, Any]], context: Any, settlement: Settlement
) -> tuple[list[dict[str, Any]], list[Whole], list[str]]:
    """Return the records that can be read, their messages, and SQS's ids of those that failed.

    In an ordered queue one that is no dead letter holds back the later ones of its group.
    """
    found: list[dict[str, Any]] = []
    messages: list[Whole] = []
    failed: list[str] = []
    held: set[Any] = set()
    for record in records:
        # As text: what it is in a record that is none cannot be told.
        group = str(read(sqs.key_of, record, {}))
        if function.trigger.get("ordered") and group in held:
            failed.append(record["messageId"])
            continue
        try:
            message = read(message_of, function, record)
        except ValueError as exc:
            if not refused(function, record, context, exc, settlement):
                failed.append(record["messageId"])
                held.add(group)
        else:
            found.append(record)
            messages.append(message)
    return found, messages, failed


def messages_of(function: Function, records: list[dict[str, Any]]) -> list[Whole]:
    """Return the messages of SQS records; raises ValueError for one that lacks its id or body.

    Of nearly all records the id and the count are all that is needed before the handler: the rest
    is read when it is asked for.
    """
    if function.trigger.get("ordered"):
        return [message_of(function, record) for record in records]
    queue = function.trigger["queue"]
    new = Message.__new__
    messages: list[Whole] = []
    for record in records:
        try:
            id, count = record["messageId"], record["attributes"]["ApproximateReceiveCount"]
            values = record["messageAttributes"]
            if values:
                names = tuple(values)
                shape = _shapes.get(names)
                if shape is None:
                    shape = _shape(names)
                if shape == _ID:
                    id = values["pf-id"]["stringValue"]
                elif shape == _MORE:
                    messages.append(message_of(function, record))
                    continue
            attempt = 1 if count == "1" else int(count)
            if type(id) is not str or type(record["body"]) is not str:
                attempt = 0
        except (AttributeError, LookupError, TypeError, ValueError):
            attempt = 0
        if not attempt:
            # Not above: what comes of it would be told with what came before.
            messages.append(message_of(function, record))
            continue
        message = new(Message)
        message.id = id
        message.attempt = attempt
        message.raw = record
        message.control = None
        message.key = message._attributes = message._body = message._time = None
        message.queue = queue
        messages.append(message)
    return messages


class Message(Whole):
    """A message of which most is read from its record when it is asked for.

    Handlers see the same class on all targets, by its name.
    """

    __slots__ = ("_attributes", "_body", "_time")

    # None until somebody asks.
    _attributes: Mapping[str, str] | None
    _body: bytes | None
    _time: str | None

    @property
    def attributes(self) -> Any:
        """As of Message."""
        found = self._attributes
        if found is None:
            found = self._attributes = _attributes_of(self.raw["messageAttributes"])
        return found

    @attributes.setter
    def attributes(self, value: Any) -> None:
        self._attributes = value

    @property
    def body(self) -> Any:
        """As of Message."""
        found = self._body
        if found is None:
            found = self._body = sqs.body_of(self.raw["body"], {})
        return found

    @body.setter
    def body(self, value: Any) -> None:
        self._body = value

    @property
    def time(self) -> Any:
        """As of Message."""
        found = self._time
        if found is None:
            found = self._time = sqs.sent_at(self.raw)
        return found

    @time.setter
    def time(self, value: Any) -> None:
        self._time = value

    def json(self) -> Any:
        """As of Message: the text is parsed as it is."""
        global _loads
        if self._body is None:
            if _loads is None:
                from json import loads as _loads
            try:
                return _loads(self.raw["body"])
            except (ValueError, RecursionError):
                pass  # Bytes may begin with a byte order mark; and the error is Message's.
        return super().json()


def _attributes_of(values: Any) -> dict[str, str]:
    try:
        found = {n: v["stringValue"] for n, v in values.items() if n[:3] != "pf-"}
        if None not in found.values():
            return found
    except (AttributeError, LookupError, TypeError):
        pass  # None at all, or some that are no text.
    return sqs.split(sqs.attributes_of(values, "stringValue", "binaryValue"))[0]


def _shape(names: tuple[str, ...]) -> int:
    ours = [name for name in names if name[:3] == "pf-"]
    if len(_shapes) > 256:
        _shapes.clear()
    shape = _NOTHING if not ours else _ID if ours == ["pf-id"] else _MORE
    _shapes[names] = shape
    return shape


def message_of(function: Function, record: dict[str, Any]) -> Whole:
    """Return the message of any SQS record; raises ValueError when it lacks its id or body."""
    id = record.get("messageId")
    if not isinstance(id, str):
        raise ValueError("an SQS record has no messageId")
    attributes = sqs.unpacked(
        sqs.attributes_of(record.get("messageAttributes"), "stringValue", "binaryValue")
    )
    visible, control = sqs.split(attributes)
    key = None
    if function.trigger.get("ordered"):
        key = sqs.key_of(record, attributes)
        if key is not None and not isinstance(key, str):
            raise ValueError(f"an SQS record's MessageGroupId is {key!r}")
    return Whole(
        id,
        sqs.body_of(record.get("body"), attributes),
        attributes=visible,
        key=key,
        queue=function.trigger["queue"],
        attempt=sqs.attempt_of(record),
        time=sqs.sent_at(record),
        raw=record,
        control=control,
    )
