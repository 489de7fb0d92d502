"""The history of an execution in the words of workflows: steps, calls and attempts.

Every event names the one before it, so that what happens in branches and items is told apart.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portafaas.deployment.workflows import StepEvent, What
from portafaas_aws.machines.scope import LATE
from portafaas_aws.outcomes import DIED
from portafaas_aws.runtime.runs import BROKEN, RESOURCE
from portafaas_aws.runtime.task import OWN, RESERVED

Event = Mapping[str, Any]
#: Step, its kind, and what is around it: names of steps, each with a branch's name, "" for none.
_Around = tuple[tuple[str, str], ...]
_FAILURES = {
    "LambdaFunctionFailed": "lambdaFunctionFailedEventDetails",
    "LambdaFunctionTimedOut": "lambdaFunctionTimedOutEventDetails",
    "LambdaFunctionScheduleFailed": "lambdaFunctionScheduleFailedEventDetails",
    "LambdaFunctionStartFailed": "lambdaFunctionStartFailedEventDetails",
    "TaskFailed": "taskFailedEventDetails",
    "TaskTimedOut": "taskTimedOutEventDetails",
    "TaskStartFailed": "taskStartFailedEventDetails",
    "TaskSubmitFailed": "taskSubmitFailedEventDetails",
}


def events_of(machine: Mapping[str, Any], history: Iterable[Event]) -> list[StepEvent]:
    """Return what happened, in the order of the history."""
    return _Reader(machine).read(history)


class _Line:
    """What is known where an event is: inherited by the events after it."""

    __slots__ = ("attempt", "failed", "indices", "place", "state", "what")

    def __init__(self, before: _Line | None = None) -> None:
        #: Index of the item by step of a map, or of the round by step of a loop.
        self.indices: Mapping[str, int] = before.indices if before else {}
        self.state: str = before.state if before else ""
        self.place: str = before.place if before else ""
        self.attempt: int = before.attempt if before else 0
        #: What is being called: ``task``, ``undo``, ``workflow``, ``signal``.
        self.what: str = before.what if before else ""
        #: Step, error and cause of the last failure.
        self.failed: tuple[str, str, str] | None = before.failed if before else None


class _Reader:
    def __init__(self, machine: Mapping[str, Any]) -> None:
        self.kinds: dict[str, str] = {}
        self.around: dict[str, _Around] = {}
        self.bodies: dict[str, str] = {}
        self._known(machine, ())
        self.events: list[StepEvent] = []
        self.lines: dict[int, _Line] = {}
        self.entries: dict[str, int] = {}
        #: Name of the state that an event has left.
        self.left: dict[int, str] = {}

    def _known(self, machine: Mapping[str, Any], around: _Around) -> None:
        for name, step in machine["steps"].items():
            self.kinds[name], self.around[name] = step["kind"], around
            if "machine" in step:
                self.bodies[name] = step["machine"]["start"]
                self._known(step["machine"], (*around, (name, "")))
            for branch in step.get("branches", ()):
                self._known(branch["machine"], (*around, (name, branch["name"])))

    def read(self, history: Iterable[Event]) -> list[StepEvent]:
        for event in history:
            before = event.get("previousEventId", 0)
            line = self.lines[event["id"]] = _Line(self.lines.get(before))
            kind = event["type"]
            if line.state[:1].isdigit() and kind.startswith("LambdaFunction"):
                # What checks a schema is no step.
                continue
            if kind.endswith("StateEntered"):
                self._entered(event, line, self.left.get(before, ""))
            elif kind.endswith("StateExited"):
                self._exited(event, line)
            elif kind == "MapIterationStarted":
                facts = event["mapIterationStartedEventDetails"]
                step = facts["name"].partition(".")[0]
                line.indices = {**line.indices, step: facts["index"]}
            elif kind == "LambdaFunctionScheduled":
                self._called(event, line)
            elif kind == "TaskScheduled":
                self._submitted(event, line)
            elif kind == "LambdaFunctionSucceeded":
                facts = event["lambdaFunctionSucceededEventDetails"]
                done: What = "undone" if line.what == "undo" else "succeeded"
                self._tell(event, line, done, line.attempt, _json(facts.get("output")))
            elif kind == "TaskSucceeded":
                value = _json(event["taskSucceededEventDetails"].get("output"))
                if line.what == "workflow":
                    value = value.get("Output") if isinstance(value, dict) else value
                self._tell(event, line, "succeeded", line.attempt, value)
            elif kind in _FAILURES:
                self._failed(event, line, event.get(_FAILURES[kind], {}))
        return self.events

    def _tell(
        self, event: Event, line: _Line, what: What, attempt: int = 0, detail: Any = None,
        error: str = "", cause: str = "",
    ) -> None:  # fmt: skip
        step, time = _step(line.state), event["timestamp"].timestamp()
        made = StepEvent(time, step, what, line.place, attempt, detail, error, cause)
        self.events.append(made)

    def _place(self, step: str, line: _Line) -> str:
        out = ""
        for name, branch in self.around.get(step, ()):
            inner = branch or line.indices.get(name)
            out += f"{name}/" if inner is None else f"{name}/{inner}/"
        return out + step

    def _entered(self, event: Event, line: _Line, before: str) -> None:
        facts = event["stateEnteredEventDetails"]
        name = line.state = facts["name"]
        step = _step(name)
        if before.endswith(".caught") and line.failed:
            self._caught(event, line, name)
        loop = before.removesuffix(".while")
        if before.endswith(".while") and self.kinds.get(loop) == "loop":
            if name == self.bodies[loop]:
                line.indices = {**line.indices, loop: line.indices.get(loop, -1) + 1}
            else:
                self._looped(event, line, loop, name)
        if not step:
            return
        kind = self.kinds.get(step)
        if name == step:
            place = self._place(step, line)
            count = self.entries[place] = self.entries.get(place, -1) + 1
            line.place, line.attempt = f"{place}#{count}" if count else place, 0
            if kind == "loop":
                line.indices = {name: at for name, at in line.indices.items() if name != step}
            if kind in ("parallel", "map", "loop", "set"):
                self._tell(event, line, "started", detail=_json(facts.get("input")))
        elif name.endswith(".undo"):
            # Of which item it is the history does not say.
            line.indices = {}
            line.place, line.attempt = f"{self._place(step, line)}~undo", 0
        else:
            line.place = self._last(step, line)
        if kind == "wait" and event["type"] == "WaitStateEntered":
            self._tell(event, line, "waiting")

    def _last(self, step: str, line: _Line) -> str:
        place = self._place(step, line)
        count = self.entries.get(place, 0)
        return f"{place}#{count}" if count else place

    def _looped(self, event: Event, line: _Line, loop: str, name: str) -> None:
        found = _Line(line)
        found.state, found.place = loop, self._last(loop, line)
        if name == f"{loop}.limit":
            error = ("Loop.LimitExceeded", "")
            self._tell(event, found, "failed", 0, None, *error)
            line.failed = (loop, *error)
        else:
            detail = _json(event["stateEnteredEventDetails"].get("input"))
            self._tell(event, found, "succeeded", detail=detail)

    def _caught(self, event: Event, line: _Line, name: str) -> None:
        assert line.failed is not None
        step, error, cause = line.failed
        # Those of a scope lead out of it.
        if name[0].isdigit():
            return
        found = _Line(line)
        found.state, found.place = step, self._last(step, line)
        self._tell(event, found, "caught", 0, None, error, cause)

    def _exited(self, event: Event, line: _Line) -> None:
        facts = event["stateExitedEventDetails"]
        name = facts["name"]
        self.left[event["id"]] = name
        step = _step(name)
        kind = self.kinds.get(step)
        line.state = name
        if event["type"] in ("ParallelStateExited", "MapStateExited"):
            line.indices = {name: at for name, at in line.indices.items() if name != step}
            line.place = self._last(step, line)
            self._together(event, line, facts)
        elif kind == "set" and not name.endswith(".put"):
            self._tell(event, line, "succeeded")
        elif kind == "wait" and event["type"] == "WaitStateExited":
            self._tell(event, line, "succeeded")

    def _together(self, event: Event, line: _Line, facts: Mapping[str, Any]) -> None:
        values = facts.get("assignedVariables") or {}
        found = {name.rstrip("0123456789"): _json(text) for name, text in values.items()}
        bad = found.get("bad")
        if bad:
            error, cause = bad[0]["Error"], bad[0]["Cause"]
            line.failed = (_step(line.state), error, cause)
            self._tell(event, line, "failed", 0, None, error, cause)
        else:
            self._tell(event, line, "succeeded", detail=found.get("ok"))

    def _called(self, event: Event, line: _Line) -> None:
        payload = _json(event["lambdaFunctionScheduledEventDetails"].get("input")) or {}
        line.what = "undo" if line.state.endswith(".undo") else "task"
        line.attempt = payload.get("attempt", 1)
        self._tell(event, line, "started", line.attempt, payload.get("input"))

    def _submitted(self, event: Event, line: _Line) -> None:
        facts = event["taskScheduledEventDetails"]
        if facts["resource"] == RESOURCE:
            line.what = "signal"
            self._tell(event, line, "waiting")
            return
        line.what = "workflow"
        line.attempt += 1
        given = (_json(facts.get("parameters")) or {}).get("Input")
        self._tell(
            event, line, "started", line.attempt, _json(given) if isinstance(given, str) else given
        )

    def _failed(self, event: Event, line: _Line, facts: Mapping[str, Any]) -> None:
        error = facts.get("error") or (
            "States.Timeout" if event["type"].endswith("TimedOut") else "States.TaskFailed"
        )
        found = read_error(error, facts.get("cause") or "", line.what)
        if line.what == "undo":
            self._tell(event, line, "undo-failed", line.attempt, None, *found)
        else:
            line.failed = (_step(line.state), *found)
            self._tell(event, line, "failed", line.attempt, None, *found)


def read_error(error: str, cause: str, what: str) -> tuple[str, str]:
    """Return error and cause as the workflow sees them: what the machine's own states do."""
    document: Any = None
    if cause.startswith("{"):
        try:
            document = json.loads(cause)
        except ValueError:
            document = None
    if what == "workflow" and isinstance(document, dict) and "Status" in document:
        if "Error" not in document:
            return "States.TaskFailed", ""
        error, cause = str(document["Error"]), str(document.get("Cause") or "")
    elif isinstance(document, dict) and "errorMessage" in document:
        cause = str(document["errorMessage"])
    if error == LATE:
        error = "States.Timeout"
    elif error.startswith((*DIED, "SNS.", "Sns.", "StepFunctions.")):
        error = "States.TaskFailed"
    elif error.startswith(OWN):
        error = RESERVED + error.removeprefix(OWN)
    return ("States.Runtime" if error in BROKEN else error), cause


def _step(state: str) -> str:
    """Return the step that a state belongs to; "" for those of a scope."""
    return "" if state[:1].isdigit() else state.partition(".")[0]


def _json(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


__all__: Sequence[str] = ("events_of", "read_error")
