"""An interpreter of definitions, written from ``docs/spec/workflows.md`` alone.

It takes a definition as the manifest has it, not the normal form, walks it recursively, and shares
no code with ``portafaas.runtime`` but the words of a cause: where it differs from ``virtual.execute``, one of them or the rules
are wrong. Time is a number that is handed on.
"""

from __future__ import annotations

import heapq
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jsonschema import Draft202012Validator

from portafaas.runtime.schema import first
from tests.workflows.virtual import Both, Called, Lane, Trace

#: W-3, W-18.
UNCAUGHT = {"States.Runtime", "States.DataLimitExceeded"}
#: When the virtual clock starts.
START = 1_800_000_000.0

_STEP = re.compile(r"\.([\w-]+)|\['(.*?)'\]|\[(\d+)\]")
_NOTHING = object()


class Error(Exception):
    def __init__(self, name: str, cause: str = "") -> None:
        super().__init__(name)
        self.name = name
        self.cause = cause


class Stopped(Exception):
    """The time of a sub-workflow is over."""


def conforms(value: Any, schema: Any, error: str) -> None:
    """Raise an error unless the jsonschema library takes *value*; only the cause is ours."""
    if not Draft202012Validator(schema).is_valid(value):
        raise Error(error, first(schema, value))


@dataclass
class Undo:
    step: str
    function: str
    input: Any
    retry: Any


@dataclass
class Flow:
    """Where a level of steps is: its time, its calls, what it has kept, its context."""

    workflow: str
    context: Mapping[str, Any]
    lane: Lane = field(default_factory=list)
    kept: list[Undo] = field(default_factory=list)
    now: float = 0.0
    deadline: float = math.inf

    def wait(self, seconds: float) -> None:
        self.now += max(seconds, 0.0)
        if self.now > self.deadline:
            raise Stopped


def walk(path: str, document: Any, context: Any) -> Any:
    """Return what is at a path, or _NOTHING."""
    value = context if path.startswith("$$") else document
    rest = path.lstrip("$")
    position = 0
    while position < len(rest):
        match = _STEP.match(rest, position)
        assert match, path
        position = match.end()
        plain, quoted, index = match.groups()
        if index is not None:
            if not isinstance(value, list) or int(index) >= len(value):
                return _NOTHING
            value = value[int(index)]
        else:
            name = plain if plain is not None else quoted
            if not isinstance(value, dict) or name not in value:
                return _NOTHING
            value = value[name]
    return value


def looks_like_path(text: Any) -> bool:
    return isinstance(text, str) and re.match(r"\$(\$?[.\[]|$)", text) is not None


def fill(template: Any, document: Any, context: Any) -> Any:
    if looks_like_path(template):
        found = walk(template, document, context)
        if found is _NOTHING:
            raise Error("States.Runtime")
        return found
    if isinstance(template, dict):
        if list(template) == ["$literal"]:
            return template["$literal"]
        return {k: fill(v, document, context) for k, v in template.items()}
    if isinstance(template, list):
        return [fill(v, document, context) for v in template]
    return template


def fits(value: Any) -> Any:
    if len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()) > 262_144:
        raise Error("States.DataLimitExceeded")
    return value


def placed(document: Any, path: str | None, value: Any) -> Any:
    if path is None:
        return document
    if path == "$":
        return fits(value)
    names = []
    for match in _STEP.finditer(path):
        assert match[3] is None, path
        names.append(match[1] if match[1] is not None else match[2])
    copy = json.loads(json.dumps(document))
    inner = copy
    for number, name in enumerate(names):
        if not isinstance(inner, dict):
            raise Error("States.Runtime")
        if number == len(names) - 1:
            inner[name] = value
        else:
            inner = inner.setdefault(name, {})
    return fits(copy)


def kind(value: Any) -> str:
    for name, types in (
        ("null", type(None)), ("boolean", bool), ("number", (int, float)), ("string", str), ("list", list),
    ):  # fmt: skip
        if isinstance(value, types):
            return name
    return "object"


def true(when: Mapping[str, Any], document: Any, context: Any) -> bool:
    if "and" in when:
        return not [one for one in when["and"] if not true(one, document, context)]
    if "or" in when:
        return bool([one for one in when["or"] if true(one, document, context)])
    if "not" in when:
        return not true(when["not"], document, context)
    [(path, test)] = when.items()
    [(operator, right)] = test.items()
    left = walk(path, document, context)
    if operator == "is":
        if right == "present":
            return left is not _NOTHING
        return left is not _NOTHING and kind(left) == right
    if looks_like_path(right):
        right = walk(right, document, context)
    known = left is not _NOTHING and right is not _NOTHING
    simple = known and kind(left) == kind(right) and kind(left) not in ("list", "object")
    if operator in ("==", "!="):
        return bool(simple and left == right) is (operator == "==")
    if operator == "matches":
        if not simple or kind(left) != "string":
            return False
        pattern = re.sub(
            r"\\(.)|(\*)|([^\\*]+)|\\",
            lambda m: ".*" if m[2] else re.escape(m[1] or m[3] or "\\"),
            right,
            flags=re.DOTALL,
        )
        return re.fullmatch(pattern, left, re.DOTALL) is not None
    if not simple or kind(left) not in ("number", "string"):
        return False
    below, same = left < right, left == right
    return bool(
        {"<": below, "<=": below or same, ">": not below and not same, ">=": not below}[operator]
    )


def duration(given: Any) -> float:
    if isinstance(given, str):
        number, unit = re.fullmatch(r"([\d.]+)(\D+)", given).groups()  # type: ignore[union-attr]
        return float(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    return float(given)


def concerns(errors: list[str], name: str) -> bool:
    if name in UNCAUGHT:
        return False
    if "States.ALL" in errors:
        return True
    return name in errors or ("States.TaskFailed" in errors and name != "States.Timeout")


class Retries:
    """W-7, for one entry into a step."""

    def __init__(self, given: Any) -> None:
        self.rules = given if isinstance(given, list) else [given] if given else []
        self.failures = [0] * len(self.rules)

    def pause(self, error: str) -> float | None:
        for index, rule in enumerate(self.rules):
            if not concerns(rule.get("errors", ["States.ALL"]), error):
                continue
            self.failures[index] += 1
            if self.failures[index] >= rule.get("attempts", 4):
                return None
            power: float = rule.get("factor", 2) ** (self.failures[index] - 1)
            pause = duration(rule.get("initial", 1)) * power
            return min(pause, duration(rule["max"])) if "max" in rule else pause
        return None


class Oracle:
    """Runs workflows; ``answer`` is as ``virtual.World``."""

    def __init__(
        self,
        workflows: Mapping[str, Any],
        answer: Callable[[Any], tuple[float, dict[str, Any]]],
        signals: Mapping[str, tuple[float, Any]] | None = None,
    ) -> None:
        self.workflows = workflows
        self.answer = answer
        self.signals = signals or {}

    def run(self, workflow: str, input: Any) -> Trace:
        trace = Trace()
        flow = Flow(workflow, {}, trace.lane)
        try:
            trace.outcome = {"ok": self.whole(flow, input)}
        except Error as error:
            trace.outcome = {"error": error.name, "cause": error.cause}
        trace.seconds = flow.now
        return trace

    def whole(self, flow: Flow, input: Any) -> Any:
        """Run a workflow and, if it fails, undo what it did."""
        flow.context = {"Execution": {"Input": input, "Id": "an id"}}
        try:
            fits(input)
            spec = self.workflows[flow.workflow]
            conforms(input, spec.get("input", True), "Schema.InvalidInput")
            output = self.steps(flow, spec["steps"], input)
            conforms(output, spec.get("output", True), "Schema.InvalidOutput")
            return output
        except Error as error:
            if error.name in UNCAUGHT:
                raise
            broken = False
            for undo in flow.kept[::-1]:
                try:
                    self.tries(flow, undo.step, undo.retry, undo.function, undo.input, None)
                except Error:
                    broken = True
            if broken:
                raise Error("Compensation.Failed", error.name) from None
            raise

    def steps(self, flow: Flow, steps: Mapping[str, Any], document: Any) -> Any:
        order = list(steps)
        name: str | None = order[0]
        while name is not None:
            step = steps[name]
            if "succeed" in step:
                return document
            if "fail" in step:
                words = [step["fail"]["error"], step["fail"].get("cause", "")]
                words = [fill(word, document, flow.context) for word in words]
                if any(kind(word) != "string" for word in words):
                    raise Error("States.Runtime")
                raise Error(*words)
            if "choice" in step:
                name = self.chosen(step, document, flow.context)
                continue
            try:
                document = self.done(flow, name, step, document)
            except Error as error:
                for rule in step.get("catch", ()):
                    if concerns(rule.get("errors", ["States.ALL"]), error.name):
                        what = {"Error": error.name, "Cause": error.cause}
                        document = placed(document, rule.get("result", "$"), what)
                        name = rule["next"]
                        break
                else:
                    raise
                continue
            if "compensate" in step:
                undo = step["compensate"]
                template = undo.get("input", "$")
                value = fits(fill(template, document, flow.context))
                flow.kept.append(Undo(name, undo["task"], value, undo.get("retry")))
            following = [*order, None][order.index(name) + 1]
            name = step.get("next", None if "end" in step else following)
        return document

    def chosen(self, step: Mapping[str, Any], document: Any, context: Any) -> str:
        for rule in step["choice"]:
            if true(rule["when"], document, context):
                return str(rule["next"])
        if "default" not in step:
            raise Error("States.NoChoiceMatched")
        return str(step["default"])

    def done(self, flow: Flow, name: str, step: Mapping[str, Any], document: Any) -> Any:
        """Return the document after a step has succeeded."""
        if "loop" in step:
            rounds = 0
            while true(step["loop"]["while"], document, flow.context):
                rounds += 1
                if rounds > step["loop"]["most"]:
                    raise Error("Loop.LimitExceeded")
                document = self.steps(flow, step["loop"]["steps"], document)
            return document
        if "wait" in step and "signal" not in step["wait"]:
            self.pause(flow, step["wait"], document)
            return document
        if "wait" in step:
            result = self.signal(flow, step["wait"])
        elif "set" in step:
            result = fits(fill(step["set"], document, flow.context))
        else:
            given = fits(fill(step.get("input", "$"), document, flow.context))
            if "parallel" in step or "map" in step:
                result = self.together(flow, step, given)
            else:
                limit = duration(step["timeout"]) if "timeout" in step else None
                called = step.get("task", step.get("workflow"))
                result = self.tries(
                    flow, name, step.get("retry"), called, given, limit, "workflow" in step
                )
        if "select" in step:
            result = fill(step["select"], result, flow.context)
        return placed(document, step.get("result", "$"), result)

    def pause(self, flow: Flow, wait: Mapping[str, Any], document: Any) -> None:
        if "seconds" in wait:
            given = wait["seconds"]
            if looks_like_path(given):
                given = fill(given, document, flow.context)
                if kind(given) != "number" or given < 0:
                    raise Error("States.Runtime")
            flow.wait(duration(given))
            return
        text = fill(wait["until"], document, flow.context)
        if kind(text) != "string":
            raise Error("States.Runtime")
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text):
            raise Error("States.Runtime")
        text = text.partition(".")[0].rstrip("Z")
        try:
            moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            raise Error("States.Runtime") from None
        flow.wait(moment.timestamp() - START - flow.now)

    def signal(self, flow: Flow, wait: Mapping[str, Any]) -> Any:
        when, payload = self.signals.get(wait["signal"], (math.inf, None))
        limit = duration(wait["timeout"]) if "timeout" in wait else math.inf
        flow.wait(min(when, limit))
        if when > limit:
            raise Error("States.Timeout")
        return payload

    def tries(
        self, flow: Flow, step: str, retry: Any, called: str, input: Any, limit: float | None,
        sub: bool = False,
    ) -> Any:  # fmt: skip
        retries = Retries(retry)
        attempt = 0
        while True:
            attempt += 1
            try:
                if sub:
                    return fits(self.sub(flow, called, input, limit))
                return fits(self.call(flow, step, called, input, attempt, limit))
            except Error as error:
                pause = retries.pause(error.name)
                if pause is None:
                    raise
                flow.wait(pause)

    def call(
        self, flow: Flow, step: str, function: str, input: Any, attempt: int, limit: float | None
    ) -> Any:  # fmt: skip
        call = Called(flow.workflow, step, function, input, attempt)
        flow.lane.append(call)
        seconds, answer = self.answer(_Asked(step, function, input, attempt))
        if limit is not None and seconds > limit:
            flow.wait(limit)
            raise Error("States.Timeout")
        flow.wait(seconds)
        if "error" in answer:
            raise Error(answer["error"], answer["cause"])
        return answer["ok"]

    def sub(self, flow: Flow, workflow: str, input: Any, limit: float | None) -> Any:
        end = math.inf if limit is None else flow.now + limit
        inner = Flow(workflow, {}, flow.lane, [], flow.now, min(end, flow.deadline))
        try:
            return self.whole(inner, input)
        except Stopped:
            if end > flow.deadline:
                raise
            inner.now = end
            raise Error("States.Timeout") from None
        finally:
            flow.now = inner.now

    def together(self, flow: Flow, step: Mapping[str, Any], given: Any) -> Any:
        retries = Retries(step.get("retry"))
        while True:
            try:
                return self.once(flow, step, given)
            except Error as error:
                pause = retries.pause(error.name)
                if pause is None:
                    raise
                flow.wait(pause)

    def once(self, flow: Flow, step: Mapping[str, Any], given: Any) -> Any:
        inputs: list[tuple[Any, Any, Any]] = []
        if "parallel" in step:
            limit = len(step["parallel"])
            for branch in step["parallel"].values():
                inputs.append((branch["steps"], given, flow.context))
        else:
            spec = step["map"]
            limit = spec.get("concurrency", 10)
            items = fill(spec["items"], given, flow.context)
            if kind(items) != "list":
                raise Error("States.Runtime")
            if len(items) > spec["most"]:
                raise Error("Map.TooManyItems")
            for index, item in enumerate(items):
                context = {**flow.context, "Map": {"Item": {"Index": index, "Value": item}}}
                document = fits(fill(spec["each"], given, context)) if "each" in spec else item
                inputs.append((spec["steps"], document, context))
        outputs, errors, flows = [], [], []
        free = [flow.now] * max(limit, 1)
        stopped = False
        for steps, document, context in inputs:
            start = heapq.heappop(free)
            inner = Flow(flow.workflow, context, [], [], start, flow.deadline)
            flows.append(inner)
            try:
                if start > flow.deadline:
                    raise Stopped
                outputs.append(self.steps(inner, steps, document))
            except Error as error:
                errors.append(error)
            except Stopped:
                stopped = True
            heapq.heappush(free, inner.now)
        flow.lane.append(Both(limit, [inner.lane for inner in flows]))
        if stopped:
            raise Stopped
        flow.now = max([flow.now, *(inner.now for inner in flows)])
        for inner in flows:
            flow.kept += inner.kept
        errors.sort(key=lambda error: error.name not in UNCAUGHT)
        if errors:
            raise errors[0]
        return fits(outputs)


@dataclass
class _Asked:
    step: str
    name: str
    input: Any
    attempt: int
