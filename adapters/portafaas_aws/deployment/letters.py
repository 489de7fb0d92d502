"""Messages of queues for dead letters, read as the bridges read them.

Long, since the message of each trigger has a shape of its own.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from portafaas.deployment.dead_letters import DeadLetter
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger
from portafaas.plan.entry import function_spec
from portafaas.record import dataclass
from portafaas.runtime.control import CLAIM
from portafaas.runtime.function import Function
from portafaas_aws.infrastructure.resources import dead_letters_of
from portafaas_aws.names import physical_name, queue_name
from portafaas_aws.runtime import inbox, object, queue, schedule, settlement, sqs, table, topic

#: What a letter has and a message that is sent again does not.
_OLD = ("pf-dead", "pf-attempt", "pf-sent", "pf-expires")
#: What Lambda says of a change that it has given up.
#: https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
_WHERE = {"streamArn", "shardId", "startSequenceNumber"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the letters of a box are, and where they came from."""

    name: str
    #: Names of queues in the account; no source for changes, which come from a stream.
    dead: str
    source: str
    #: That reads the source; of several the first, None for none.
    function: FunctionPlan | None
    #: The function in the account.
    physical: str
    ordered: bool
    #: That the queue of dead letters is one of the manifest's, and has other messages, too.
    shared: bool

    @property
    def absent(self) -> str:
        """Why a letter that was asked for is not there."""
        if self.ordered:
            return "not seen: SQS shows ten letters of a key at a time, redrive or purge the first"
        return "no such letter"


def place_of(plan: BuildPlan, box: str) -> Place:
    """Return the place of a box; raises DeploymentError (PF8017) when there is none."""
    for each in plan.queues:
        if each.name == box and each.dead_letter:
            own = [f for f in plan.functions if _reads(f, box)]
            dead = f"{box}-dead" if each.dead_letter is True else each.dead_letter
            return Place(
                box,
                queue_name(plan, dead, each.ordered),
                queue_name(plan, box, each.ordered),
                own[0] if own else None,
                physical_name(plan, own[0].name) if own else "",
                each.ordered,
                isinstance(each.dead_letter, str),
            )
    for function in plan.functions:
        kept = dead_letters_of(plan, function)
        if function.name == box and kept is not None and function.kind != "queue":
            from portafaas_aws.bindings import binding

            source = binding(plan, function).get("queue", {}).get("QueueName", "")
            name = physical_name(plan, box)
            return Place(
                box, kept[1], source, function, name, source.endswith(".fifo"), False
            )
    text = f"there are no dead letters of {box!r}"
    raise DeploymentError("dead letters cannot be looked at:", [Diagnostic("PF8017", text)])


def _reads(function: FunctionPlan, queue: str) -> bool:
    return isinstance(function.trigger, QueueTrigger) and function.trigger.queue == queue


@dataclass(frozen=True, slots=True)
class Found:
    """One message of a queue for dead letters.

    ``message`` is the queue's own id of it, ``stamp`` when it came there (milliseconds since 1970;
    what SQS has moved has the time when it was sent), ``record`` what Lambda would be given.
    """

    message: str
    stamp: int
    record: Mapping[str, Any]
    letter: DeadLetter
    #: That it is a letter of the box, and no other message of the queue.
    belongs: bool
    #: Of a table: the stream's record, or where in the stream that is.
    change: Mapping[str, Any] | None = None
    where: Mapping[str, Any] | None = None
    #: ``<bucket>/<key>`` of a body that travels by a bucket.
    claim: str = ""

    @property
    def order(self) -> int:
        """What the changes of a shard are in order by."""
        facts = self.change["dynamodb"] if self.change else {}
        return int(facts.get("SequenceNumber") or 0)

    def again(self, ordered: bool) -> tuple[dict[str, Any], int]:
        """Return the entry of a batch that sends it again, as if it had never failed."""
        kept = {
            name: value
            for name, value in (self.record.get("messageAttributes") or {}).items()
            if name not in _OLD
        }
        packed = kept.get("pf-attributes")
        if packed is not None:
            rest = _told(packed.get("stringValue"))
            if rest:
                text = json.dumps({k: v for k, v in rest.items() if k not in _OLD})
                kept["pf-attributes"] = {**packed, "stringValue": text}
        # Sent twice, after a crash, within minutes, it is one message in a FIFO queue.
        return settlement.entry_of(
            {**self.record, "messageAttributes": kept},
            {"pf-id": self.letter.id},
            ordered,
            f"redrive-{self.message}",
        )

    def redriven_change(self) -> dict[str, Any]:
        """Return the stream's record, which is as old as if it had been written now."""
        from time import time

        from portafaas.runtime.text import epoch_time

        assert self.change is not None
        return {**self.change, "pf-control": {"pf-sent": epoch_time(time())}}

    def with_body(self, body: bytes) -> Found:
        """Return it with the body that its claim leads to."""
        from dataclasses import replace

        return replace(self, letter=replace(self.letter, body=body))

    def with_change(self, record: Mapping[str, Any]) -> Found:
        """Return it with what the stream has kept."""
        from dataclasses import replace

        plain = json.loads(json.dumps(record, default=_plain))
        assert self.where is not None
        change = {**plain, "eventSourceARN": self.where["streamArn"]}
        body = json.dumps(change, separators=(",", ":")).encode()
        letter = replace(self.letter, id=str(change["eventID"]), body=body)
        return replace(self, change=change, letter=letter)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    return b64encode(value).decode("ascii")


def record_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message that boto3 received as the record that Lambda would be given."""
    attributes: dict[str, Any] = {}
    for name, value in message.get("MessageAttributes", {}).items():
        facts = {"dataType": value["DataType"]}
        if "StringValue" in value:
            facts["stringValue"] = value["StringValue"]
        if "BinaryValue" in value:
            facts["binaryValue"] = b64encode(value["BinaryValue"]).decode("ascii")
        attributes[name] = facts
    return {
        "messageId": message["MessageId"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
    }


def read(plan: BuildPlan, place: Place, message: Mapping[str, Any]) -> Found:
    """Return the letter in a *message* of the place's queue."""
    record = record_of(message)
    control = _control(record)
    stamp = int(record["attributes"].get("SentTimestamp", 0))
    moved = str(record["attributes"].get("DeadLetterQueueSourceArn", ""))
    # What SQS has moved may have been the letter of another function before.
    told = {} if moved else _told(control.get("pf-dead"))
    mine = True
    if place.shared:
        function = str(told.get("function", ""))
        mine = any(f.name == function and _reads(f, place.name) for f in plan.functions) or (
            not told and moved.endswith(f":{place.source}")
        )
    where = change = None
    attempts = place.function.retry.attempts if place.function is not None else 0
    if place.function is not None and place.function.kind == "table":
        payload = _payload(record)
        change = payload if isinstance(payload.get("dynamodb"), dict) else None
        info = payload.get("DDBStreamBatchInfo")
        if isinstance(info, dict) and info.keys() >= _WHERE:
            where = info
            said = payload.get("requestContext")
            attempts = said.get("approximateInvokeCount", 0) if isinstance(said, dict) else 0
    facts = _seen(plan, place, record, where)
    letter = DeadLetter(
        id=facts["id"],
        box=place.name,
        reason=str(told.get("reason", "platform")),
        error=str(told.get("error", _scheduler(record))),
        attempts=_number(told.get("attempts", attempts)),
        function=str(told.get("function", place.function.name if place.function else "")),
        time=str(told.get("time", "")),
        sent=control.get("pf-sent") or ("" if told else sqs.sent_at(record) or ""),
        trace=str(told.get("trace", "")),
        correlation=str(told.get("correlation", "")),
        body=facts["body"],
        attributes=facts["attributes"],
        key=facts["key"],
    )
    claim = control.get(CLAIM, "")
    return Found(message["MessageId"], stamp, record, letter, mine, change, where, claim)


def _told(text: str | None) -> Mapping[str, Any]:
    """Return what the function said of it; nothing when the platform has given it up."""
    try:
        found = json.loads(text or "{}")
    except (RecursionError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _control(record: dict[str, Any]) -> Mapping[str, str]:
    """Return what is ours of the attributes; what cannot be unpacked is left out."""
    try:
        return inbox.control_of(record) or {}
    except (AttributeError, RecursionError, TypeError, ValueError):
        pass
    plain = sqs.attributes_of(record["messageAttributes"], "stringValue", "binaryValue")
    return sqs.split(plain)[1] or {}


def _number(value: Any) -> int:
    try:
        return int(value)
    except (OverflowError, TypeError, ValueError):
        return 0


def _payload(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return _told(record["body"])


def _scheduler(record: Mapping[str, Any]) -> str:
    """Return what Scheduler says of an event that it could not deliver.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
    """
    said = record["messageAttributes"]
    parts = [said.get(name, {}).get("stringValue") for name in ("ERROR_CODE", "ERROR_MESSAGE")]
    return ": ".join(part for part in parts if part)


def _seen(
    plan: BuildPlan, place: Place, record: dict[str, Any], where: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return id, body, attributes and key as the handler has seen them.

    What cannot be read is what it is in the queue.
    """
    facts: dict[str, Any] = {
        "id": record["messageId"], "body": record["body"].encode(), "attributes": {}, "key": None,
    }  # fmt: skip
    if where is not None:
        return {**facts, "id": f"{where['shardId']}/{where['startSequenceNumber']}"}
    kind = place.function.kind if place.function is not None else "queue"
    function: Any = SimpleNamespace(trigger={"queue": place.name, "ordered": place.ordered})
    if place.function is not None:
        function = Function(function_spec(plan, place.function))
    try:
        item: Any
        match kind:
            case "queue":
                item = queue.message_of(function, record)
                facts["body"] = item.body
            case "topic":
                item = topic.event_of(function, record)
                facts["body"] = topic.body_of(record)
            case "object":
                (item,) = object.queued(function, record)
            case "schedule":
                (item,) = schedule.queued(function, record)
            case _:
                item = table.change_of(function, json.loads(record["body"]))
        facts |= {"id": item.id, "attributes": dict(item.attributes)}
        if kind in ("queue", "topic"):
            facts["key"] = item.key
    except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError):
        # As the bridge has it: the sender's id, if there is one.
        facts["id"] = _control(record).get("pf-id", facts["id"])
    return facts
