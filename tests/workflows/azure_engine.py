"""Durable Functions on a virtual clock: histories replayed into the real SDK in the real worker.

What Microsoft's extension does with what ``azure-functions-durable`` answers is done here after its
source (``OutOfProcOrchestrationShim.cs``, schema V3): the list of actions is replayed in order, and
an entry that is not complete holds up everything behind it, the end of the run too. What it does
with its storage is not here: this is no proof about the .NET side.
"""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

#: History events and actions, by the numbers of the protocol.
STARTED, COMPLETED, EXECUTION = 12, 13, 0
SCHEDULED, TASK_DONE, TASK_FAILED = 4, 5, 6
CHILD, CHILD_DONE, CHILD_FAILED = 7, 8, 9
TIMER, FIRED, RAISED = 10, 11, 15
CALL, SUB, SLEEP, EVENT, ANY, ALL = 0, 2, 5, 6, 11, 12
#: What really takes shorter takes this on the virtual clock.
QUICK = 0.25
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Instance:
    """One orchestration."""

    id: str
    name: str
    input: str
    created: datetime
    parent: tuple[str, int] | None = None
    status: str = "Pending"
    output: Any = None
    custom: Any = None
    updated: datetime = BEGIN
    history: list[dict[str, Any]] = field(default_factory=list)
    #: Messages that nothing has been done with.
    inbox: list[dict[str, Any]] = field(default_factory=list)
    #: What each number was scheduled as, and the numbers that are complete.
    scheduled: dict[int, tuple[int, str]] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    complete: set[int] = field(default_factory=set)
    raised: dict[str, int] = field(default_factory=dict)
    canceled: set[int] = field(default_factory=set)
    replays: int = 0


class Engine:
    """Instances, and what happens to them when; *invoke* calls a function of the worker.

    ``invoke(function, request)`` returns what ``VendorSession.invoke`` does.
    """

    def __init__(self, invoke: Callable[[str, Mapping[str, Any]], Any]) -> None:
        self.invoke = invoke
        self.now = BEGIN
        self.instances: dict[str, Instance] = {}
        self._queue: list[tuple[datetime, int, Callable[[], object]]] = []
        self._count = 0
        #: Called with (instance, custom status) whenever one has changed.
        self.told: list[Callable[[Instance], None]] = []

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        self.at(self.now + timedelta(seconds=max(seconds, 0.0)), do)

    def at(self, moment: datetime, do: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (max(moment, self.now), self._count, do))

    def start(
        self, name: str, input: str, id: str, parent: tuple[str, int] | None = None
    ) -> Instance:
        """Create an instance; *input* is JSON."""
        instance = self.instances[id] = Instance(id, name, input, self.now, parent)
        event = self.event(
            EXECUTION, Name=name, Version="", Input=input, OrchestrationInstance={"InstanceId": id}
        )
        self.send(instance, event)
        return instance

    def event(self, kind: int, number: int = -1, **more: Any) -> dict[str, Any]:
        return {
            "EventType": kind, "EventId": number, "IsPlayed": False,
            "Timestamp": written(self.now), **more,
        }  # fmt: skip

    def send(self, instance: Instance, event: dict[str, Any]) -> None:
        if not instance.inbox:
            self.after(0, lambda: self.episode(instance))
        instance.inbox.append(event)

    def raise_event(self, id: str, name: str, body: str) -> bool:
        """Raise an event with *body* (JSON); tell whether the instance still runs."""
        instance = self.instances[id]
        if instance.status not in ("Pending", "Running"):
            return False
        self.send(instance, self.event(RAISED, Name=name, Input=body))
        return True

    def terminate(self, id: str, reason: str) -> None:
        instance = self.instances[id]
        if instance.status in ("Pending", "Running"):
            self.end(instance, "Terminated", reason)

    def run(self, most: float = float("inf")) -> None:
        """Let happen what happens, at most *most* seconds."""
        until = None if most == float("inf") else self.now + timedelta(seconds=most)
        while self._queue and (until is None or self._queue[0][0] <= until):
            self.now, _, do = heapq.heappop(self._queue)
            do()
        if until is not None:
            self.now = max(self.now, until)

    def episode(self, instance: Instance) -> None:
        """Replay the history with what has come since, and do what is asked for."""
        inbox, instance.inbox = instance.inbox, []
        if not inbox or instance.status not in ("Pending", "Running"):
            return
        instance.status = "Running"
        for event in instance.history:
            event["IsPlayed"] = True
        instance.history.append(self.event(STARTED))
        for event in inbox:
            number = event.get("TaskScheduledId", event.get("TimerId"))
            if event["EventType"] == FIRED and number in instance.canceled:
                continue
            if number is not None:
                instance.complete.add(number)
            if event["EventType"] == RAISED:
                name = event["Name"].lower()
                instance.raised[name] = instance.raised.get(name, 0) + 1
            instance.history.append({**event, "Timestamp": written(self.now)})
        context = {
            "history": instance.history, "instanceId": instance.id, "isReplaying": False,
            "parentInstanceId": instance.parent[0] if instance.parent else None,
            "input": instance.input, "upperSchemaVersion": 2, "upperSchemaVersionNew": 2,
            "maximumShortTimerDuration": "6.00:00:00",
            "longRunningTimerIntervalDuration": "3.00:00:00",
        }  # fmt: skip
        data = {"type": "string", "value": json.dumps(context)}
        result = self.invoke(instance.name, {"trigger": data, "metadata": {}})
        instance.replays += 1
        state, error = _state(result)
        if state is None:
            self.end(instance, "Failed", f"Orchestrator function '{instance.name}' failed: {error}")
            return
        if state.get("customStatus") is not None and state["customStatus"] != instance.custom:
            instance.custom = state["customStatus"]
            text = json.dumps(instance.custom, ensure_ascii=False)
            assert len(text.encode("utf-16-le")) <= 16 * 1024, "the extension refuses the status"
            for tell in self.told:
                tell(instance)
        assert len(state["actions"]) == 1, "the schema has one list"
        instance.updated = self.now
        if not self.replayed(instance, state["actions"][0]):
            return
        if state.get("error"):
            text = f"Orchestrator function '{instance.name}' failed: {state['error']}"
            self.end(instance, "Failed", text)
        elif state["isDone"]:
            self.end(instance, "Completed", state.get("output"))

    def replayed(self, instance: Instance, actions: list[Any]) -> bool:
        """Replay *actions*; return whether all that are awaited have come.

        Schedules what is reached for the first time. An action that is not what stood in its place
        before is what the platform calls non-deterministic.
        """
        numbers = iter(range(1 << 30))
        waits: dict[str, int] = {}

        def visit(action: Any) -> bool:
            kind = action["actionType"]
            if kind in (ANY, ALL):
                # All of them are looked at, and so begun.
                found = [visit(one) for one in action["compoundActions"]]
                return any(found) if kind == ANY and found else all(found)
            if kind == EVENT:
                name = action["externalEventName"].lower()
                waits[name] = waits.get(name, 0) + 1
                return waits[name] <= instance.raised.get(name, 0)
            number = next(numbers)
            what = (kind, action.get("functionName") or action["fireAt"])
            known = instance.scheduled.setdefault(number, what)
            assert known == what, f"not deterministic: {number} was {known}, is {what}"
            if kind == SLEEP and action.get("isCanceled"):
                instance.canceled.add(number)
            if number not in instance.begun:
                instance.begun.add(number)
                self.begin(instance, number, action)
            return number in instance.complete or number in instance.canceled

        for action in actions:
            assert action["actionType"] != ANY or action["compoundActions"], "any of nothing"
            if not visit(action):
                instance.history.append(self.event(COMPLETED))
                return False
        instance.history.append(self.event(COMPLETED))
        return True

    def begin(self, instance: Instance, number: int, action: Any) -> None:
        kind = action["actionType"]
        name = action.get("functionName", "")
        if kind == SLEEP:
            moment = datetime.fromisoformat(action["fireAt"].replace("Z", "+00:00"))
            # The extension refuses longer ones of SDKs with an older schema.
            assert moment - self.now <= timedelta(days=6), "a timer of more than six days"
            instance.history.append(self.event(TIMER, number, FireAt=action["fireAt"]))
            if number not in instance.canceled:
                event = self.event(FIRED, TimerId=number, FireAt=action["fireAt"])
                self.at(moment, lambda: self.fire(instance, number, event))
        elif kind == SUB:
            event = self.event(CHILD, number, Name=name, InstanceId=action["instanceId"])
            instance.history.append(event)
            child = action["instanceId"]
            assert child not in self.instances, f"two instances {child}"
            self.start(name, action["input"], child, (instance.id, number))
        else:
            assert kind == CALL, f"action {kind}"
            instance.history.append(self.event(SCHEDULED, number, Name=name, Input=action["input"]))
            began = time.monotonic()
            data = {"type": "string", "value": action["input"]}
            result = self.invoke(name, {"trigger": data, "metadata": {}})
            took = time.monotonic() - began
            if result.ok:
                text = json.dumps(result.value["value"])
                event = self.event(TASK_DONE, TaskScheduledId=number, Result=text)
            else:
                why = f"Activity function '{name}' failed: {result.error}"
                event = self.event(TASK_FAILED, TaskScheduledId=number, Reason=why, Details="")
            self.after(took if took > QUICK else 0.01, lambda: self.send(instance, event))

    def fire(self, instance: Instance, number: int, event: dict[str, Any]) -> None:
        if number not in instance.canceled:
            self.send(instance, event)

    def end(self, instance: Instance, status: str, output: Any) -> None:
        instance.status, instance.output, instance.updated = status, output, self.now
        if instance.parent is None:
            return
        parent, number = self.instances[instance.parent[0]], instance.parent[1]
        if status == "Completed":
            event = self.event(CHILD_DONE, TaskScheduledId=number, Result=json.dumps(output))
        else:
            event = self.event(CHILD_FAILED, TaskScheduledId=number, Reason=output, Details="")
        self.send(parent, event)

    def children(self, id: str) -> Iterator[Instance]:
        for one in self.instances.values():
            if one.parent is not None and one.parent[0] == id:
                yield one


def _state(result: Any) -> tuple[dict[str, Any] | None, str]:
    """Return what the SDK answered, of a run that failed too, or the error."""
    if result.ok:
        return result.value["value"], ""
    text = f"{result.error.message}"
    _, found, rest = text.partition("$OutOfProcData$:")
    if not found:
        return None, text
    state, _ = json.JSONDecoder().raw_decode(rest)
    return state, ""
