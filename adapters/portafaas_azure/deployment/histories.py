"""The history of an orchestration in the words of workflows: the run is made anew from it.

An event tells how a call ended, and by the answer which it was; timers are known by their times.
What a signal carried is shown by some versions of the extension only: behind one that is not, no
more is told than what the events say of themselves.
https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-http-api#get-instance-status
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from portafaas.deployment.histories import Kept, history
from portafaas.deployment.workflows import StepEvent, What
from portafaas.runtime.states import TIMEOUT
from portafaas.runtime.workflow import Call, Request, Signal, Sleep
from portafaas_azure.runtime.control import state_of
from portafaas_azure.runtime.orchestrator import (
    DEFINITION,
    SUFFIX,
    failure_of,
    moment_of,
    unwrapped,
)

_ENDED = (
    "TaskCompleted", "TaskFailed",
    "SubOrchestrationInstanceCompleted", "SubOrchestrationInstanceFailed",
)  # fmt: skip
#: What a signal carried that is not shown.
UNKNOWN: Any = object()
_BEGUN = ("TaskScheduled", "SubOrchestrationInstanceCreated")


def seconds(text: Any) -> float:
    """Return seconds since 1970 of .NET's text, 0 for none."""
    if not isinstance(text, str) or not text:
        return 0.0
    found: datetime = moment_of(text)
    return found.timestamp()


def events_of(found: Mapping[str, Any]) -> list[StepEvent]:
    """Return what happened in the run whose status, with its history, is *found*."""
    events = _Events(found)
    if events.machine is None:
        # It has not been told yet what it is.
        return []
    given = unwrapped(found.get("input"), "input").get("input")
    started = seconds(found.get("createdTime"))
    told = history(events.machine, given, str(found["instanceId"]), started, events.find)
    return sorted([*told, *events.left()], key=lambda event: event.time)


class _Events:
    def __init__(self, found: Mapping[str, Any]) -> None:
        self.run = str(found["instanceId"])
        self.machine: Mapping[str, Any] | None = None
        #: By place, with the attempt; what no place is known of, by the function's name in order.
        self.calls: dict[str, Kept] = {}
        self.others: dict[str, list[Kept]] = {}
        self.signals: dict[str, tuple[float, Any]] = {}
        #: Steps and attempts of calls, by place; places that have been asked for.
        self.steps: dict[str, tuple[str, int]] = {}
        self.asked: set[str] = set()
        self.more: list[StepEvent] = []
        #: Nothing is known of what is later; all that was waited for before has come.
        self.latest = seconds(found.get("lastUpdatedTime"))
        self.over = state_of(found.get("runtimeStatus")) != "running"
        for event in found.get("historyEvents") or ():
            self.take(event, str(event.get("EventType")))

    def take(self, event: Mapping[str, Any], kind: str) -> None:
        when = seconds(event.get("Timestamp"))
        name = str(event.get("FunctionName") or event.get("Name"))
        if name == DEFINITION:
            if kind == "TaskCompleted":
                self.machine = unwrapped(event.get("Result"), "ok").get("ok")
        elif kind in (*_ENDED, *_BEGUN):
            given = unwrapped(event.get("Input"), "input")
            answer: Any = None
            if kind.endswith("Completed"):
                answer = dict(unwrapped(event.get("Result"), "ok"))
            elif kind.endswith("Failed"):
                answer = failure_of(Exception(str(event.get("Reason", ""))))
            of = (answer or {}).pop("of", None) or given.get("of")
            of = of or [given.get(word) for word in ("place", "step", "attempt")]
            place, step, attempt = of
            if answer is not None and answer.get("stopped"):
                answer = {"error": TIMEOUT, "cause": ""}
            if answer is not None and "error" in answer:
                answer.setdefault("cause", "")
            begun = seconds(event.get("ScheduledTime")) or when
            kept = Kept(begun, None if answer is None else when, answer)
            if place:
                self.calls[place] = kept
                self.steps[place] = (str(step), int(attempt or 1))
            else:
                self.others.setdefault(name.lower(), []).append(kept)
        elif kind == "EventRaised":
            payload: Any = UNKNOWN
            if event.get("Input") is not None:
                payload = unwrapped(event["Input"], "payload").get("payload")
            self.signals.setdefault(str(event.get("Name", "")).lower(), (when, payload))

    def find(self, request: Request, time: float) -> Kept | None:
        """Return what is known of a request that was made at *time*."""
        if isinstance(request, Sleep):
            return self.slept(request, time)
        if isinstance(request, Signal):
            token = sha256(f"{self.run}\n{request.place}".encode("utf-8", "surrogatepass"))
            name = f"{request.name}.{token.hexdigest()[:12]}".lower()
            came, payload = self.signals.get(name, (None, None))
            if came is not None and payload is UNKNOWN:
                self.more.append(StepEvent(came, request.step, "succeeded", request.place))
                return Kept(time)
            kept = Kept(time, came, {"ok": payload})
            return self.timed(kept, request.timeout)
        assert isinstance(request, Call)
        self.asked.add(request.place)
        found = self.calls.get(request.place)
        if found is None:
            name = request.name.replace("-", "_") + (SUFFIX if request.kind == "workflow" else "")
            waiting = self.others.get(name.lower())
            found = waiting.pop(0) if waiting else None
        if found is None:
            if not self.over:
                return None
            # It was being called when the run was ended.
            found = Kept(time)
        return self.timed(found, request.timeout)

    def left(self) -> list[StepEvent]:
        """Return what nobody has asked for: what came behind something that is not shown."""
        out = self.more
        for place, kept in self.calls.items():
            if place in self.asked:
                continue
            step, attempt = self.steps[place]
            facts = (place.rpartition("!")[0], attempt)
            out.append(StepEvent(kept.begun, step, "started", *facts))
            if kept.ended is None:
                continue
            undo, failed = "~undo" in place, "error" in kept.answer
            what: What = ("undo-failed" if undo else "failed") if failed else (
                "undone" if undo else "succeeded"
            )  # fmt: skip
            answer = kept.answer
            why = ("" if not failed else str(answer["error"]), str(answer.get("cause", "")))
            out.append(StepEvent(kept.ended, step, what, *facts, answer.get("ok"), *why))
        return out

    def timed(self, kept: Kept, timeout: float | None) -> Kept:
        """Return what came of something that had so much time."""
        if timeout is None:
            return kept
        end = kept.begun + timeout
        if (kept.ended is None and end <= self.latest) or (kept.ended or 0.0) > end + 1:
            return Kept(kept.begun, end, {"error": TIMEOUT, "cause": ""})
        return kept

    def slept(self, request: Sleep, time: float) -> Kept:
        length = request.seconds
        if length is None:
            try:
                end = moment_of(str(request.until)).timestamp()
            except ValueError:
                end = time
        else:
            if request.jitter:
                text = f"{self.run}\n{request.place}".encode("utf-8", "surrogatepass")
                length *= int(sha256(text).hexdigest()[:8], 16) / 0x100000000
            end = max(time, time + length)
        return Kept(time, end if end <= self.latest else None)

