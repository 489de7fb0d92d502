"""Hands deliveries of the local broker to a function, in the child process.

The counterpart of a target's bridge: core decides what becomes of a failure, and the answer tells
the dispatcher, which has the broker do it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from portafaas.adapter.neutral import stimulus_from_json
from portafaas.adapter.stimulus import ChangeStimulus, ObjectStimulus, ScheduleStimulus
from portafaas.local.runner import change_event, context_of, object_event, schedule_event
from portafaas.runtime import control as ours
from portafaas.runtime import deliver as delivery
from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.event import Event
from portafaas.runtime.function import Function
from portafaas.runtime.message import Message
from portafaas.runtime.recovery import Failure, Letter, settle
from portafaas.runtime.task import run_task, task_of
from portafaas.runtime.taxonomy import Unreadable
from portafaas.runtime.text import epoch_time

if TYPE_CHECKING:
    from portafaas.local.deliveries import Item


def order_of(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return *items* as JSON values, as :func:`attempt` takes them."""
    return [
        {
            "number": item.number,
            "kind": item.kind,
            "id": item.id,
            "key": item.key,
            "body": base64.b64encode(item.body).decode("ascii"),
            "content_type": item.content_type,
            "attributes": dict(item.attributes),
            "sent": item.sent,
            "expires": item.expires,
            "attempts": item.attempts,
        }
        for item in items
    ]


class _Wishes:
    """The settlement: nothing is done here, so all is told the platform as failed or buried."""

    def __init__(self) -> None:
        self.later: dict[int, float] = {}
        self.letters: dict[int, str] = {}

    def again(self, items: Sequence[tuple[Any, float]]) -> Collection[str]:
        """Note when each is to come again; none is settled, since it is no copy that comes."""
        for item, seconds in items:
            self.later[item.raw["number"]] = seconds
        return ()

    def bury(self, items: Sequence[tuple[Any, Letter]]) -> Collection[str]:
        """Note the letters: their broker keeps them when it hears the answer."""
        for item, letter in items:
            self.letters[item.raw["number"]] = letter.text()
        return [item.id for item, _ in items]


def attempt(function: Function, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Deliver *items* (of :func:`order_of`) once.

    Returns ``again`` (number, seconds), ``dead`` (number, letter) and ``untried`` (numbers); the
    rest is done.
    """
    wishes = _Wishes()
    if function.kind == "queue":
        failed = _messages(function, items, wishes)
    else:
        failed = _event(function, items[0], wishes)
    left = failed - wishes.later.keys() - wishes.letters.keys()
    return {
        "again": list(wishes.later.items()),
        "dead": list(wishes.letters.items()),
        "untried": sorted(left),
    }


def task(function: Function, document: Mapping[str, Any]) -> dict[str, Any]:
    """Do one call for a workflow; return ``{"ok"}`` or ``{"error", "cause"}``."""
    asked = task_of(document)
    return run_task(function, asked, context_of(function, asked.attempt))


def _parts(item: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    visible, control = ours.split(item["attributes"])
    control = control or {}
    # By the clock of this process, which may be behind the broker's.
    control.pop(ours.EXPIRES, None)
    if item["expires"] is not None:
        control[ours.EXPIRES] = str(item["expires"])
    control[ours.SENT] = epoch_time(item["sent"])
    return visible, control


def _messages(function: Function, items: Sequence[dict[str, Any]], wishes: _Wishes) -> set[int]:
    ordered = function.trigger.get("ordered")
    messages = []
    for item in items:
        visible, control = _parts(item)
        messages.append(
            Message(
                item["id"],
                base64.b64decode(item["body"]),
                attributes=visible,
                key=item["key"] if ordered else None,
                queue=function.trigger["queue"],
                attempt=item["attempts"],
                time=epoch_time(item["sent"]),
                raw=item,
                control=control,
            )
        )
    trace = messages[0].attributes.get("traceparent") if len(messages) == 1 else None
    context = context_of(function, trace=trace)
    try:
        failed = set(delivery.run_messages(function, messages, context, wishes))
    except Exception as exc:
        delivery.report(function, context, exc, len(messages))
        failed = settle(function, context, [Failure(context, m, exc) for m in messages], wishes)
    return {message.raw["number"] for message in messages if message.id in failed}


def _event(function: Function, item: dict[str, Any], wishes: _Wishes) -> set[int]:
    visible, control = _parts(item)
    trace = visible.get("traceparent") if item["kind"] == "topic" else None
    context = context_of(function, item["attempts"], trace)
    event: Event | None
    try:
        event = _event_of(function, item, visible, control)
    except (ValueError, RecursionError) as exc:
        unread = Event(
            item["id"], function.source, "", attempt=item["attempts"], raw=item, control=control
        )
        error = Unreadable(f"the message is no event: {exc}")
        delivery.report(function, context, error)
        settle(function, context, [Failure(context, unread, error)], wishes)
        return {item["number"]}
    if event is None:
        return set()
    try:
        delivery.run_event(function, event, context, wishes)
    except Exception as exc:
        if item["number"] not in wishes.later and item["number"] not in wishes.letters:
            # Not the handler's failure, but of what is around it: its import, say.
            delivery.report(function, context, exc)
            settle(function, context, [Failure(context, event, exc)], wishes)
        return {item["number"]}
    return set()


def _event_of(
    function: Function,
    item: dict[str, Any],
    visible: Mapping[str, str],
    control: Mapping[str, str],
) -> Event | None:
    body = base64.b64decode(item["body"])
    if item["kind"] == "topic":
        return event_from_message(
            body,
            visible,
            id=item["id"],
            source=function.source,
            content_type=item["content_type"],
            time=epoch_time(item["sent"]),
            key=item["key"],
            attempt=item["attempts"],
            raw=item,
            control=control,
        )
    stimulus = stimulus_from_json(json.loads(body))
    event: Event | None
    match stimulus:
        case ObjectStimulus():
            event = object_event(function, stimulus)
        case ChangeStimulus():
            event = change_event(function, stimulus)
        case ScheduleStimulus():
            event = schedule_event(function, stimulus)
        case _:
            raise ValueError(f"a {item['kind']} function gets no {type(stimulus).__name__}")
    if event is not None:
        event.control, event.attempt, event.raw = control, item["attempts"], item
    return event
