"""A message of a dead-letter topic as the letter that it is, decoded as its bridge would; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from portafaas.deployment.dead_letters import DeadLetter
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec, source_of
from portafaas.runtime import control
from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.function import Function
from portafaas_gcp.runtime.delivery import open_delivery
from portafaas_gcp.runtime.object import event_of as object_event
from portafaas_gcp.runtime.pubsub import Received
from portafaas_gcp.runtime.table import event_of as table_event

#: What Pub/Sub puts on a message that it moves itself:
#: https://cloud.google.com/pubsub/docs/handling-failures#track-delivery-attempts
SOURCE = "CloudPubSubDeadLetterSourceSubscription"
COUNT = "CloudPubSubDeadLetterSourceDeliveryCount"
SENT = "CloudPubSubDeadLetterSourceTopicPublishTime"
REASON = "CloudPubSubDeadLetterSourceDeliveryErrorMessage"


class Found(NamedTuple):
    """A letter, the message that it is, its acknowledgement, and whose it is if that is known.

    ``came`` is when it was given up, seconds since 1970; ``order`` sorts by when it was sent.
    """

    letter: DeadLetter
    message: Mapping[str, Any]
    ack: str
    function: FunctionPlan | None
    came: float
    order: tuple[str, int]


def read(
    plan: BuildPlan, box: str, functions: Sequence[FunctionPlan], item: Mapping[str, Any]
) -> Found:
    """Return the letter of a pulled message; *functions* are those whose letters a box has."""
    message = item["message"]
    received = Received({}, {"message": message})
    visible, ours = received.split()
    ours = ours or {}
    facts = _facts(ours.get(control.DEAD))
    function = next((f for f in functions if f.name == facts.get("function")), None)
    if function is None and len(functions) == 1 and not facts.get("function"):
        function = functions[0]
    moved = {n: visible.pop(n) for n in tuple(visible) if n.startswith("CloudPubSubDeadLetter")}
    id, body, key = ours.get(control.ID, received.id), received.body, received.key
    if function is not None:
        try:
            id, body, visible, key = _decoded(plan, function, received, visible, ours)
        except (ValueError, LookupError, TypeError, AttributeError):
            pass  # nobody can read it, whoever sent it: as it came
    sent = ours.get(control.SENT) or moved.get(SENT) or ""
    attempts = facts.get("attempts")
    if not isinstance(attempts, int):
        count = moved.get(COUNT, "0")
        attempts = (int(count) if count.isdecimal() else 0) + control.carried(ours)
    given_up = str(message.get("publishTime", ""))
    letter = DeadLetter(
        id=str(facts.get("id") or id),
        box=box,
        reason=str(facts.get("reason") or "platform"),
        error=str(facts.get("error") or moved.get(REASON, "")),
        attempts=attempts,
        function=str(facts.get("function") or (function.name if function else "")),
        time=str(facts.get("time") or given_up),
        sent=sent,
        trace=str(facts.get("trace") or visible.get("traceparent", "")),
        correlation=str(facts.get("correlation") or visible.get("correlationid", "")),
        body=body,
        attributes=visible,
        key=key,
    )
    order = (sent or given_up, int(received.id) if received.id.isdecimal() else 0)
    return Found(letter, message, item["ackId"], function, _epoch(given_up), order)


def _facts(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _epoch(text: str) -> float:
    # Nine digits of a second are more than Python reads.
    moment, _, fraction = text.rstrip("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{moment}+00:00").timestamp() + float(f"0.{fraction or 0}")
    except ValueError:
        return 0.0


def _decoded(
    plan: BuildPlan,
    function: FunctionPlan,
    received: Received,
    visible: dict[str, str],
    ours: dict[str, str],
) -> tuple[str, bytes, dict[str, str], str | None]:
    """Return id, body, attributes and key as the handler saw them; raises ValueError."""
    body, key = received.body, received.key
    id = ours.get(control.ID, received.id)
    match function.kind:
        case "topic":
            event = event_from_message(
                body, visible, id=received.id, source=source_of(plan, function), control=ours
            )
            return event.id, body, event.attributes, key
        case "object":
            found = object_event(Function(function_spec(plan, function)), received)
            return (found.id if found else id), body, {}, (found.key if found else None)
        case "table":
            outer, data = open_delivery({"CONTENT_TYPE": "application/cloudevents+json"}, body)
            change = table_event(Function(function_spec(plan, function)), outer, data)
            if change is None:
                return id, body, {}, None
            return change.id, json.dumps(change.data).encode(), {}, change.key
        case "schedule":
            return id, b"", {}, None
    return id, body, visible, key
