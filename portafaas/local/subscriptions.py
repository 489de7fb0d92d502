"""Which function wants what was published, written or changed, and as what it gets it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.adapter.neutral import stimulus_to_json
from portafaas.adapter.stimulus import ChangeStimulus, ObjectStimulus
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    ObjectTrigger,
    TableTrigger,
    TopicTrigger,
)
from portafaas.plan.entry import function_spec
from portafaas.runtime.cloudevent import event_from_message
from portafaas.runtime.deliver import wanted
from portafaas.runtime.event import ChangeEvent, ObjectEvent
from portafaas.runtime.function import Function
from portafaas.runtime.rows import OWN
from portafaas.runtime.text import epoch_time


class Subscription:
    """One function that listens to a topic, a bucket or a table."""

    __slots__ = ("_plan", "_runtime", "_trigger", "function", "kind")

    def __init__(self, plan: BuildPlan, function: FunctionPlan) -> None:
        self._plan = plan
        self._trigger = function.trigger
        self.function = function.name
        self.kind = function.kind
        # Its handler is never loaded: only what the trigger says is asked.
        self._runtime = Function(function_spec(plan, function))

    def wants_message(
        self,
        topic: str,
        id: str,
        body: bytes,
        content_type: str | None,
        attributes: Mapping[str, str],
        key: str | None,
    ) -> bool:
        """Tell whether the function wants what was published to *topic*.

        What is no event has no attributes to go by: the function gets it, and fails.
        """
        if not isinstance(self._trigger, TopicTrigger) or self._trigger.topic != topic:
            return False
        try:
            event = event_from_message(
                body, attributes, id=id, source="", content_type=content_type, key=key
            )
        except (ValueError, RecursionError):
            return True
        return wanted(self._runtime, event)

    def object_event(self, bucket: str, verb: str, key: str) -> bool:
        """Tell whether the function wants to know of an object."""
        trigger = self._trigger
        return (
            isinstance(trigger, ObjectTrigger)
            and trigger.bucket == bucket
            and wanted(self._runtime, ObjectEvent("", "", bucket=bucket, key=key, kind=verb))
        )

    def change(
        self, table: str, old: Any, new: Any
    ) -> tuple[str, dict[str, Any]] | None:
        """Return what happened to a row, and its keys, when the function wants to know."""
        trigger = self._trigger
        if not isinstance(trigger, TableTrigger) or trigger.table != table:
            return None
        kind = "delete" if new is None else "insert" if old is None else "update"
        if kind not in trigger.on and ("upsert" not in trigger.on or kind == "delete"):
            return None
        names = self._plan.table(table)
        row = new if new is not None else old
        keys = {name: row.get(name) for name in (names.key, names.sort) if name}
        event = ChangeEvent("", "", table=table, kind=kind, keys=keys)
        return (kind, keys) if wanted(self._runtime, event) else None


def subscriptions(plan: BuildPlan) -> Sequence[Subscription]:
    """Return all that listen to a topic, a bucket or a table, in the manifest's order."""
    return [
        Subscription(plan, function)
        for function in plan.functions
        if function.kind in ("topic", "object", "table")
    ]


def change_of(
    each: Subscription,
    number: int,
    kind: str,
    name: str,
    verb: str,
    key: str,
    old: str | None,
    new: str | None,
    size: int | None,
    time: float,
) -> tuple[str, str | None, bytes] | None:
    """Return id, key and body (a neutral event) of a delivery to *each*; None when it is not his.

    The other arguments are the columns of a row of ``changes``.
    """
    moment = epoch_time(time)
    stimulus: ObjectStimulus | ChangeStimulus
    if kind == "bucket":
        if not each.object_event(name, verb, key):
            return None
        sequencer = f"{number:016X}"
        stimulus = ObjectStimulus(verb, key, size or 0, sequencer, moment, sequencer)
        id_, order = f"{key}@{sequencer}", None
    else:
        before, after = _visible(old), _visible(new)
        change = each.change(name, before, after)
        # What portafaas notes in a row is no change of it.
        if change is None or (before == after and old != new):
            return None
        happened, keys = change
        id_ = f"change-{number}"
        stimulus = ChangeStimulus(happened, keys, after, before, moment, id_)
        order = json.dumps(list(keys.values()))
    body = json.dumps(stimulus_to_json(stimulus), ensure_ascii=False).encode("utf-8", "replace")
    return id_, order, body


def _visible(row: str | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {name: value for name, value in json.loads(row).items() if not name.startswith(OWN)}
