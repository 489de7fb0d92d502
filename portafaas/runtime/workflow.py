"""Runs the normal form of a workflow, whatever does its work. Ships.

:func:`run` is a generator without input or output, clock or randomness: it yields what is to be
done, and is sent what came of it. Sent the same answers it yields the same requests, so that an
engine can go on where another process ended: it runs anew with the answers that it has kept.
``docs/spec/workflows.md`` has the rules.

An engine handles:

* :class:`Call`: a task or a sub-workflow. It is sent ``{"ok": value}`` or ``{"error", "cause"}``.
* :class:`Sleep`: until then or for so long. It is sent None.
* :class:`Signal`: it is sent as for a call; ``States.Timeout`` after its ``timeout``.
* :class:`Together`: generators of which at most ``limit`` run at once, begun in their order. It is
  sent what each of them returned, in their order. They never raise.
"""

from __future__ import annotations

from portafaas.runtime import states
from portafaas.runtime.states import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import Any

    Machine = Mapping[str, Any]
    Step = Mapping[str, Any]
    Running = Generator[Any, Any, Any]
    #: ``(what, step, place, value)``: ``started`` with the document, ``succeeded`` with the result,
    #: ``failed`` and ``caught`` with the Fault.
    Tell = Callable[[str, str, str, Any], None]


class Request:
    """Something to be done; ``place`` is one for each in a run, and the same when it runs anew.

    ``step`` is the name of the step. A place is made of names of steps, of how often they were
    entered before (``#1``), and of branches and items: ``reserve/3/take``.
    """

    __slots__ = ("place", "step")

    def __init__(self, place: str, step: str) -> None:
        self.place = place
        self.step = step


class Call(Request):
    """A call of the function or workflow called ``name``.

    ``attempt`` counts from 1. ``key`` is the same for all attempts of one entry into the step.
    ``compensates`` is the place of what is undone, "" for nothing.
    """

    __slots__ = ("attempt", "compensates", "input", "key", "kind", "name", "timeout")

    def __init__(
        self, place: str, step: str, kind: str, name: str, input: Any, attempt: int,
        timeout: float | None, compensates: str = "",
    ) -> None:  # fmt: skip
        super().__init__(f"{place}!{attempt}", step)
        self.kind = kind
        self.name = name
        self.input = input
        self.attempt = attempt
        self.timeout = timeout
        self.key = place
        self.compensates = compensates


class Sleep(Request):
    """``seconds`` to wait, or ``until`` when (RFC 3339); the other is None. ``jitter``: of it."""

    __slots__ = ("jitter", "seconds", "until")

    def __init__(
        self, place: str, step: str, seconds: float | None, until: str | None = None,
        jitter: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(place, step)
        self.seconds = seconds
        self.until = until
        self.jitter = jitter


class Signal(Request):
    """The signal ``name`` to wait for, at most ``timeout`` seconds."""

    __slots__ = ("name", "timeout")

    def __init__(self, place: str, step: str, name: str, timeout: float | None) -> None:
        super().__init__(place, step)
        self.name = name
        self.timeout = timeout


class Together(Request):
    """``running`` generators, at most ``limit`` at once."""

    __slots__ = ("limit", "running")

    def __init__(self, place: str, step: str, running: list[Running], limit: int) -> None:
        super().__init__(place, step)
        self.running = running
        self.limit = limit


def run(machine: Machine, input: Any, execution: str, tell: Tell | None = None) -> Running:
    """Run *machine* on *input*; return ``{"ok": output}`` or ``{"error", "cause"}``.

    *execution* is the id of the run. Compensations run before it returns. *tell* is called at
    every entry into a step, and at its end.
    """
    context = {"Execution": {"Id": execution, "Input": input}}
    log: list[dict[str, Any]] = []
    try:
        states.check_size(input)
        states.check_schema(machine.get("input"), input, states.INPUT)
        scope = _Scope(context, log, tell)
        output = yield from scope.steps(machine, input, "")
        states.check_schema(machine.get("output"), output, states.OUTPUT)
        return {"ok": output}
    except Fault as fault:
        error, cause = fault.error, fault.cause
    if error not in states.FATAL:
        failed = False
        for entry in reversed(log):
            place = f"{entry['place']}~undo"
            answer = yield from _tries(entry["step"], entry, entry["input"], place)
            failed = failed or "error" in answer
        if failed:
            error, cause = states.COMPENSATION, error
    return {"error": error, "cause": cause}


def _tries(name: str, step: Step, input: Any, place: str, seconds: float | None = None) -> Running:
    """Call what a step calls until it succeeds or nothing retries it; return the last answer."""
    kind = "function" if "function" in step else "workflow"
    compensates = place.removesuffix("~undo") if place.endswith("~undo") else ""
    counts: dict[int, int] = {}
    attempt = 1
    while True:
        answer = yield Call(place, name, kind, step[kind], input, attempt, seconds, compensates)
        if "ok" in answer:
            try:
                states.check_size(answer["ok"])
            except Fault as fault:
                return {"error": fault.error, "cause": fault.cause}
            return answer
        pause = _pause(step.get("retry", ()), counts, answer["error"])
        if pause is None:
            return answer
        yield Sleep(f"{place}!{attempt}z", name, pause[0], jitter=pause[1])
        attempt += 1


def _pause(rules: Any, counts: dict[int, int], error: str) -> tuple[float, bool] | None:
    """Return how long to wait before the next attempt, and whether with jitter; None: no more."""
    for index, rule in enumerate(rules):
        if states.names(rule["errors"], error):
            counts[index] = tries = counts.get(index, 0) + 1
            if tries >= rule["attempts"]:
                return None
            return states.delay(rule, tries), rule["jitter"]
    return None


class _Scope:
    """Steps that share a context and a log of what can be undone."""

    __slots__ = ("context", "entered", "log", "tell")

    def __init__(
        self, context: Mapping[str, Any], log: list[dict[str, Any]], tell: Tell | None = None
    ) -> None:
        self.context = context
        self.log = log
        self.tell = tell
        self.entered: dict[str, int] = {}

    def steps(self, machine: Machine, document: Any, place: str) -> Running:
        """Run the steps; return the document at their end, or raise Fault."""
        name = machine["start"]
        while name is not None:
            step = machine["steps"][name]
            count = self.entered[place + name] = self.entered.get(place + name, -1) + 1
            here = f"{place}{name}#{count}" if count else place + name
            kind = step["kind"]
            if self.tell:
                self.tell("started", name, here, document)
            if kind == "succeed":
                if self.tell:
                    self.tell("succeeded", name, here, document)
                return document
            if kind == "fail":
                error, cause = (
                    self.filled(step.get(word, ""), document) for word in ("error", "cause")
                )
                if not (isinstance(error, str) and isinstance(cause, str)):
                    raise Fault(states.RUNTIME, f"an error of {name} is no text")
                raise Fault(error, cause)
            if kind == "choice":
                chosen = self.choose(step, document)
                if self.tell:
                    self.tell("succeeded", name, here, chosen)
                name = chosen
                continue
            try:
                result = yield from self.result(name, step, document, here)
            except Fault as fault:
                if self.tell:
                    self.tell("failed", name, here, fault)
                rule = next(
                    (r for r in step.get("catch", ()) if states.names(r["errors"], fault.error)),
                    None,
                )
                if rule is None:
                    raise
                if self.tell:
                    self.tell("caught", name, here, fault)
                error_object = {"Error": fault.error, "Cause": fault.cause}
                document = self.put(rule, document, error_object)
                name = rule["next"]
                continue
            if "select" in step:
                result = self.filled(step["select"], result)
            document = self.put(step, document, result)
            if self.tell:
                self.tell("succeeded", name, here, result)
            undo = step.get("compensate")
            if undo is not None:
                value = document
                if "input" in undo:
                    value = states.check_size(self.filled(undo["input"], document))
                self.log.append({**undo, "step": name, "place": here, "input": value})
            name = step["next"]
        return document

    def put(self, step: Step, document: Any, value: Any) -> Any:
        if "result" in step and step["result"] is None:
            return document
        return states.check_size(states.put(step.get("result", "$"), document, value))

    def filled(self, template: Any, document: Any) -> Any:
        return states.filled(template, document, self.context)

    def choose(self, step: Step, document: Any) -> str:
        for rule in step["rules"]:
            if states.holds(rule["when"], document, self.context):
                found: str = rule["next"]
                return found
        default: str | None = step.get("default")
        if default is None:
            raise Fault(states.NO_CHOICE, "no rule holds, and there is no default")
        return default

    def result(self, name: str, step: Step, document: Any, place: str) -> Running:
        """Do what the step does, with its retries; return what comes of it, or raise Fault."""
        kind = step["kind"]
        if kind == "wait":
            return (yield from self.wait(name, step, document, place))
        if kind == "loop":
            return (yield from self.loop(name, step, document, place))
        # A copy: what is put together is checked, what is passed on was.
        given = document
        if "input" in step:
            given = states.check_size(self.filled(step["input"], document))
        if kind == "set":
            return given
        if kind in ("task", "workflow"):
            answer = yield from _tries(name, step, given, place, step.get("timeout"))
            if "error" in answer:
                raise Fault(answer["error"], answer["cause"])
            return answer["ok"]
        counts: dict[int, int] = {}
        tries = 0
        while True:
            try:
                return (yield from self.branches(name, step, given, place, tries))
            except Fault as fault:
                pause = _pause(step.get("retry", ()), counts, fault.error)
                if pause is None:
                    raise
            tries += 1
            yield Sleep(f"{place}!{tries}z", name, pause[0], jitter=pause[1])

    def wait(self, name: str, step: Step, document: Any, place: str) -> Running:
        if "signal" in step:
            answer = yield Signal(place, name, step["signal"], step.get("timeout"))
            if "error" in answer:
                raise Fault(answer["error"], answer["cause"])
            return answer["ok"]
        word = "seconds" if "seconds" in step else "until"
        value = self.filled(step[word], document)
        right = "number" if word == "seconds" else "string"
        if states.kind_of(value) != right or (right == "number" and value < 0):
            raise Fault(states.RUNTIME, f"{word} of {name} is {value!r}")
        if word == "until" and not states.is_time(value):
            raise Fault(states.RUNTIME, f"{word} of {name} is no time in UTC: {value!r}")
        if word == "until":
            yield Sleep(place, name, None, value)
        else:
            yield Sleep(place, name, value)
        # A wait has no result: the document stays as it is.
        return document

    def loop(self, name: str, step: Step, document: Any, place: str) -> Running:
        done = 0
        while states.holds(step["while"], document, self.context):
            if done == step["most"]:
                raise Fault(states.LOOP_LIMIT, f"{name} has run {done} times")
            document = yield from self.steps(step["machine"], document, f"{place}/{done}/")
            done += 1
        return document

    def branches(self, name: str, step: Step, given: Any, place: str, tries: int) -> Running:
        where = f"{place}!{tries}/" if tries else f"{place}/"
        running = []
        logs: list[list[dict[str, Any]]] = []
        if step["kind"] == "parallel":
            limit = len(step["branches"])
            for branch in step["branches"]:
                logs.append([])
                scope = _Scope(self.context, logs[-1], self.tell)
                inside = f"{where}{branch['name']}/"
                running.append(_caught(scope, branch["machine"], given, inside))
        else:
            limit = step["concurrency"]
            items = states.at(step["items"], given, self.context)
            if not isinstance(items, list):
                raise Fault(states.RUNTIME, f"items of {name} are no list")
            if len(items) > step["most"]:
                raise Fault(states.TOO_MANY_ITEMS, f"{len(items)} items of {name}")
            for index, item in enumerate(items):
                logs.append([])
                context = {**self.context, "Map": {"Item": {"Index": index, "Value": item}}}
                scope = _Scope(context, logs[-1], self.tell)
                document = item
                if "each" in step:
                    document = states.check_size(states.filled(step["each"], given, context))
                running.append(_caught(scope, step["machine"], document, f"{where}{index}/"))
        answers = yield Together(place, name, running, limit)
        # Also of those that failed: what they have done is to be undone.
        for log in logs:
            self.log.extend(log)
        for answer in answers:
            if answer.get("error") in states.FATAL:
                raise Fault(answer["error"], answer["cause"])
        for answer in answers:
            if "error" in answer:
                raise Fault(answer["error"], answer["cause"])
        return states.check_size([answer["ok"] for answer in answers])


def _caught(scope: _Scope, machine: Machine, document: Any, place: str) -> Running:
    """Run steps; return ``{"ok"}`` or ``{"error", "cause"}``."""
    try:
        return {"ok": (yield from scope.steps(machine, document, place))}
    except Fault as fault:
        return {"error": fault.error, "cause": fault.cause}
