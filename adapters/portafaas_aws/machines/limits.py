"""What Step Functions does not take of a workflow: PF3002, with the page that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan, WorkflowPlan
from portafaas_aws.machines.common import Places
from portafaas_aws.machines.lowering import definition
from portafaas_aws.machines.text import encoded
from portafaas_aws.machines.words import Unspeakable

_QUOTAS = "https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"
_ERRORS = "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"
_TASK = "https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html"
_SPEC = "https://states-language.net/spec.html"
#: Bytes of a definition; events of a run's history; seconds of a retrier's longest delay.
DEFINITION, HISTORY, DELAY = 1_048_576, 25_000, 31_622_400

Step = Mapping[str, Any]


def check(plan: BuildPlan) -> list[Diagnostic]:
    """Return what is wrong with the workflows of *plan* on AWS."""
    found = []
    for workflow in plan.workflows:
        own = list(_workflow(workflow))
        if all(d.severity != "error" for d in own):
            own += _definition(workflow)
        found += own
    return found


def _over(path: str, message: str, source: str, hint: str, severity: Any = "error") -> Diagnostic:
    return Diagnostic("PF3002", f"{message} ({source})", path=path, hint=hint, severity=severity)


class _Longest(Places):
    """Addresses as long as they may get."""

    def function(self, name: str) -> str:
        return "a" * 140

    def workflow(self, name: str) -> str:
        return "a" * 160

    def sink(self) -> str:
        return "a" * 320


def _definition(workflow: WorkflowPlan) -> Iterator[Diagnostic]:
    path = f"$.workflows.{workflow.name}"
    try:
        text = encoded(definition(workflow, _Longest()))
    except Unspeakable as exc:
        yield _over(
            path, f"the States Language cannot say {exc}", _SPEC,
            "put it into a document by other names, or compute it in a task",
        )  # fmt: skip
        return
    if len(text.encode("utf-8")) > DEFINITION:
        yield _over(
            path,
            f"the definition has {len(text.encode('utf-8'))} bytes; at most {DEFINITION}",
            _QUOTAS,
            "move steps into a workflow of their own, which this one runs",
        )


def _workflow(workflow: WorkflowPlan) -> Iterator[Diagnostic]:
    path = f"$.workflows.{workflow.name}.steps"
    yield from _machine(workflow.machine, path)
    once = sum(_events(workflow.machine, tries=False))
    if once > HISTORY:
        yield _over(
            path,
            f"a run may have {once} events in its history; at most {HISTORY}",
            _QUOTAS,
            "lower most, or move what is repeated into a workflow of its own, which this one runs "
            "for some of it at a time",
        )
        return
    tried = sum(_events(workflow.machine, tries=True))
    if tried > HISTORY:
        yield _over(
            path,
            f"with all its retries a run may have {tried} events in its history; Step Functions "
            f"fails one with more than {HISTORY}",
            _QUOTAS,
            "lower most or attempts, if it may come to that",
            "warning",
        )


def _machine(machine: Mapping[str, Any], path: str) -> Iterator[Diagnostic]:
    for name, step in machine["steps"].items():
        here = f"{path}.{name}"
        for key, rules in (
            ("retry", step.get("retry", ())),
            ("compensate.retry", step.get("compensate", {}).get("retry", ())),
        ):
            for rule in rules:
                yield from _retry(rule, f"{here}.{key}")
        seconds = step.get("timeout")
        if seconds is not None and (seconds != int(seconds) or not 1 <= seconds <= 99_999_999):
            yield _over(
                f"{here}.timeout", f"a timeout of {seconds:g} s is none of whole seconds from 1",
                _TASK, "use whole seconds",
            )  # fmt: skip
        for word, inner in _inner(step):
            yield from _machine(inner, f"{here}.{word}.steps")


def _inner(step: Step) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "machine" in step:
        yield step["kind"], step["machine"]
    for branch in step.get("branches", ()):
        yield f"parallel.{branch['name']}", branch["machine"]


def _retry(rule: Mapping[str, Any], path: str) -> Iterator[Diagnostic]:
    for word in ("initial", "max"):
        seconds = rule.get(word, 1)
        if seconds != int(seconds) or not 1 <= seconds < DELAY:
            yield _over(
                f"{path}.{word}",
                f"a delay of {seconds:g} s is none of whole seconds from 1 to {DELAY}",
                _ERRORS,
                "use whole seconds, at least 1s",
            )


#: Events of one state: entered, exited, and between them.
_STATE, _TASK_EVENTS, _CALL_EVENTS = 2, 5, 6


def _events(machine: Mapping[str, Any], tries: bool) -> Iterator[int]:
    """Yield how many events each step may write, when each is entered once.

    Steps that are entered again by ``next`` cannot be foreseen.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
    """
    for step in machine["steps"].values():
        attempts = 1
        if tries:
            attempts += sum(rule["attempts"] - 1 for rule in step.get("retry", ()))
        kept = _STATE if "compensate" in step else 0
        # What is undone: the loop around it, and the call.
        undone = 4 * _STATE + _TASK_EVENTS if "compensate" in step else 0
        inner = sum(sum(_events(one, tries)) for _, one in _inner(step))
        kind = step["kind"]
        if kind == "task":
            yield _TASK_EVENTS + 3 * (attempts - 1) + kept + undone
        elif kind == "workflow":
            yield attempts * (_CALL_EVENTS + _STATE) + kept + undone
        elif kind == "loop":
            yield _STATE + step["most"] * (inner + _STATE) + _STATE
        elif kind == "map":
            each = inner + 2 * _STATE + 2
            yield attempts * (step["most"] * each + 4 + 3 * _STATE) + kept + undone
        elif kind == "parallel":
            each = inner + len(step["branches"]) * _STATE
            yield attempts * (each + 4 + 2 * _STATE) + kept + undone
        elif kind == "wait" and "signal" in step:
            yield _CALL_EVENTS
        else:
            yield _STATE
