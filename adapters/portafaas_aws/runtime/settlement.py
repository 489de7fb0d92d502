"""What becomes of failures on AWS: delays and dead letters, both by SQS. Ships.

A message that comes again stays in its queue, invisible until then: SQS goes on counting its
receives, and in a FIFO queue its group waits. Reported as failed, Lambda does not delete it.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html

``boto3`` is loaded at the first failure. Without the variables of a deployment nothing is done.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas.runtime.recovery import Letter

#: A message is invisible for 12 h at most, counted from its receipt: an invocation (900 s) and the
#: window (300 s) may lie between that and us.
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
LONGEST = 43_200 - 900 - 300
_BATCH = 10
#: Attributes that stay attributes when there are too many: what people and brokers look for.
_FIRST = ("pf-attributes", "pf-dead", "pf-encoding", "pf-id", "pf-key")


class Settlement:
    """Settles SQS records; see ``portafaas.runtime.recovery.Settlement``.

    *record* is the record that all items came in, if their ``raw`` is not it.
    """

    __slots__ = ("_function", "_record")

    def __init__(self, function: Function, record: dict[str, Any] | None = None) -> None:
        self._function = function
        self._record = record

    def again(self, items: Sequence[tuple[Any, float]]) -> Collection[str]:
        """Hide each record for its seconds, rounded up; all are still failed, for Lambda."""
        from portafaas.runtime.recovery import address

        source = address("SOURCE", self._function)
        if not source:
            return ()
        from math import ceil

        from portafaas.runtime.resources import ResourceError
        from portafaas_aws.runtime.calls import call, client

        entries = [
            {
                "Id": str(number),
                "ReceiptHandle": self._of(item)["receiptHandle"],
                "VisibilityTimeout": min(LONGEST, ceil(delay)),
            }
            for number, (item, delay) in enumerate(items)
        ]
        failed: list[str] = []
        for start in range(0, len(entries), _BATCH):
            try:
                answer = call(
                    client("sqs").change_message_visibility_batch,
                    QueueUrl=source,
                    Entries=entries[start : start + _BATCH],
                )
            except ResourceError as exc:
                failed.append(str(exc))
                continue
            failed += [
                f"{each.get('Code')}: {each.get('Message', '')}"
                for each in answer.get("Failed", ())
            ]
        if failed:
            # Those come when the queue's own timeout is over.
            raise ResourceError(failed[0])
        return ()

    def bury(self, items: Sequence[tuple[Any, Letter]]) -> Collection[str]:
        """Send each record to the dead letters, as it came; return the ids of those there."""
        from portafaas.runtime.recovery import address
        from portafaas_aws.runtime.sqs import sent_at

        dead = address("DEAD", self._function)
        if not dead:
            return ()
        ordered = dead.endswith(".fifo")
        made = [
            entry_of(
                self._of(item), _letter(item, letter, sent_at(self._of(item))), ordered
            )
            for item, letter in items
        ]
        return sent_ids(dead, made, [item.id for item, _ in items], ordered)

    def _of(self, item: Any) -> dict[str, Any]:
        record: dict[str, Any] = item.raw if self._record is None else self._record
        return record


class Changes:
    """Settles changes of a table: they cannot wait, and their dead letters are JSON."""

    __slots__ = ("_function",)

    def __init__(self, function: Function) -> None:
        self._function = function

    def again(self, items: Sequence[tuple[Any, float]]) -> Collection[str]:
        """Leave it to the stream, which holds up the shard."""
        return ()

    def bury(self, items: Sequence[tuple[Any, Letter]]) -> Collection[str]:
        """Send the stream's record of each change to the dead letters."""
        from portafaas.runtime.recovery import address

        dead = address("DEAD", self._function)
        made = [
            entry_of(
                {"body": _change(item.raw)},
                _letter(item, letter, item.time),
                False,
            )
            for item, letter in items
        ]
        return sent_ids(dead, made, [item.id for item, _ in items], False)


def refused(
    function: Function,
    record: dict[str, Any],
    context: Any,
    error: ValueError,
    settlement: Settlement,
) -> bool:
    """Make a dead letter of a *record* that cannot be read; tell whether it is one.

    Else it has failed, and comes again as ``retry`` says. A record without an id of SQS, which it
    could not be reported by, raises *error*.
    """
    from portafaas.runtime.context import log_failure
    from portafaas.runtime.message import Message
    from portafaas.runtime.recovery import Failure, settle
    from portafaas.runtime.taxonomy import Poison
    from portafaas_aws.runtime import sqs
    from portafaas_aws.runtime.start import context_of, read

    id = record.get("messageId")
    if not isinstance(id, str):
        raise error
    # What is no record of SQS at all fails the delivery, as ValueError.
    attempt, time = read(sqs.attempt_of, record), read(sqs.sent_at, record)
    neutral = context_of(function, context, attempt)
    log_failure(neutral, "a message cannot be read: %s", error)
    values = record.get("messageAttributes")
    own = {}
    if isinstance(values, dict):
        own = sqs.attributes_of(values, "stringValue", "binaryValue")
    item = Message(own.get("pf-id", id), b"", attempt=attempt, time=time, raw=record)
    poison = Poison(str(error))
    return not settle(function, neutral, [Failure(neutral, item, poison)], settlement)


def _letter(item: Any, letter: Letter, sent: str | None) -> dict[str, str]:
    """Return the attributes that make a dead letter of *item*."""
    found = {"pf-dead": letter.text(), "pf-id": item.id}
    sent = (item.control or {}).get("pf-sent") or sent
    if sent:
        found["pf-sent"] = sent
    return found


def _change(record: Mapping[str, Any]) -> str:
    """Return the stream's record as JSON, without what a redrive has put to it.

    Two images of 400 KB fit into a message of SQS, unless each of their letters takes six bytes.
    """
    import json

    from portafaas_aws.runtime.batches import NOT_XML

    kept = {name: value for name, value in record.items() if name != "pf-control"}
    text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(kept, separators=(",", ":")) if NOT_XML.search(text) else text


def has_dead_letters(function: Function) -> bool:
    """Tell whether *function* was deployed with dead letters; as ``recovery.address``."""
    from os import environ

    return f"PORTAFAAS_DEAD_{function.name}".upper().replace("-", "_") in environ


def sent_ids(
    queue: str, made: Sequence[tuple[dict[str, Any], int]], ids: Sequence[str], ordered: bool
) -> set[str]:
    """Send entries to the *queue*; return those of their *ids* that are there, all of an id.

    Raises ResourceError when none is.
    """
    from portafaas_aws.runtime.batches import SQS, transfer

    lost = {ids[index] for index, _ in transfer(SQS, queue, made, ordered)}
    return {id for id in ids if id not in lost}


def entry_of(
    record: Mapping[str, Any], extra: Mapping[str, str], ordered: bool, dedup: str = ""
) -> tuple[dict[str, Any], int]:
    """Return the entry of a batch that sends *record* once more, and its size in bytes.

    Body, attributes and group are as they came, *extra* is put to the attributes. In a FIFO queue
    it is one message with all others of *dedup*, by default the record's id: a letter that is sent
    twice is there once.
    """
    from base64 import b64decode

    attributes: dict[str, Any] = {}
    for name, value in (record.get("messageAttributes") or {}).items():
        kind = value.get("dataType") or "String"
        text = value.get("stringValue")
        if text is not None:
            attributes[name] = {"DataType": kind, "StringValue": text}
        elif value.get("binaryValue") is not None:
            attributes[name] = {"DataType": kind, "BinaryValue": b64decode(value["binaryValue"])}
    _add(attributes, extra)
    made: dict[str, Any] = {"MessageBody": record["body"]}
    group = (record.get("attributes") or {}).get("MessageGroupId")
    if group is not None:
        made["MessageGroupId"] = group
    if ordered:
        made["MessageDeduplicationId"] = dedup or record["messageId"]
    if attributes:
        made["MessageAttributes"] = attributes
    size = len(record["body"].encode()) + sum(
        len(name) + len(value["DataType"]) + _bytes(value) for name, value in attributes.items()
    )
    return made, size


def _bytes(value: Mapping[str, Any]) -> int:
    text: str | None = value.get("StringValue")
    return len(value["BinaryValue"]) if text is None else len(text.encode())


def _add(attributes: dict[str, Any], extra: Mapping[str, str]) -> None:
    """Put *extra* to *attributes*; what SQS would not take goes into ``pf-attributes``."""
    import json

    from portafaas_aws.runtime.batches import NOT_XML, SQS

    packed: dict[str, str] = {}
    for name, value in extra.items():
        attributes.pop(name, None)
        if value and not NOT_XML.search(value):
            attributes[name] = {"DataType": "String", "StringValue": value}
        else:
            packed[name] = value
    old = "pf-attributes" in attributes
    for name in [name for name in reversed(attributes) if name not in _FIRST]:
        if len(attributes) + (1 if packed and not old else 0) <= SQS.attributes:
            break
        packed[name] = _text(attributes.pop(name))
    if packed:
        before = {}
        if old:
            text = _text(attributes["pf-attributes"])
            try:
                before = dict(json.loads(text))
            except (RecursionError, TypeError, ValueError):
                # Somebody else's, and why it cannot be read: kept for people to see.
                before = {"pf-attributes": text}
        text = json.dumps({**before, **packed}, separators=(",", ":"))
        attributes["pf-attributes"] = {"DataType": "String", "StringValue": text}


def _text(value: Mapping[str, Any]) -> str:
    """Return an attribute as handlers see it: a binary one as base64."""
    if "StringValue" in value:
        text: str = value["StringValue"]
        return text
    from base64 import b64encode

    return b64encode(value["BinaryValue"]).decode("ascii")
