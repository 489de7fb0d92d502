"""What a run's events say of each step of its workflow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from portafaas.deployment.workflows import RunState, StepEvent
from portafaas.graph.machine import END, START, Machine, Step, Way, every
from portafaas.plan import WorkflowPlan
from portafaas.plan.machines import every_step
from portafaas.record import dataclass
from portafaas.runtime import states

Progress = Literal[
    "", "running", "retrying", "waiting", "failed", "caught", "stopped", "succeeded", "passed"
]
#: Which of several entries into a step says how the step is.
_FIRST: tuple[Progress, ...] = (
    "running", "retrying", "waiting", "failed", "stopped", "caught", "succeeded", "passed",
)  # fmt: skip
_DONE = ("succeeded", "passed")
#: Kinds of steps of which not all platforms keep what came of them.
_SILENT = ("choice", "set", "succeed", "fail")


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step in a run. ``progress`` is "" for one that the run has not come to.

    ``stopped``: the run ended meanwhile. ``passed``: it left no event, and the run went on behind
    it. ``entries``: how often it was entered, ``done`` of these succeeded; ``attempts``: most calls
    of one entry. ``seconds``: from the first start to the last end, None if not known. ``undone``
    and ``undo_failed`` count compensations. ``begun``: time of the first start, 0 if not known.
    ``chosen``: the steps that a choice went to, as far as it says so.
    """

    progress: Progress = ""
    entries: int = 0
    done: int = 0
    attempts: int = 0
    seconds: float | None = None
    error: str = ""
    cause: str = ""
    undone: int = 0
    undo_failed: int = 0
    begun: float = 0.0
    chosen: tuple[str, ...] = ()


class _Entry:
    """One entry into a step."""

    __slots__ = (
        "attempts", "before", "cause", "chosen", "ended", "error", "first", "progress", "undo",
    )  # fmt: skip

    def __init__(self) -> None:
        self.progress: Progress = ""
        self.first = 0.0
        self.ended = 0.0
        self.attempts = 0
        self.error = self.cause = ""
        self.undo = ""
        self.chosen = ""
        #: How it was before it started once more.
        self.before: Progress = ""


def steps_of(
    workflow: WorkflowPlan, machine: Machine, run: RunState | None, events: Sequence[StepEvent]
) -> dict[str, StepRun]:
    """Return how each step is, by name; all are untouched when *run* is None."""
    plain = dict(every_step(workflow.machine))
    out = {name: StepRun() for name in plain}
    if run is None:
        return out
    entries: dict[str, dict[str, _Entry]] = {}
    for event in sorted(events, key=lambda event: event.time):
        if event.step in plain:
            _told(entries.setdefault(event.step, {}), event)
    for name, found in entries.items():
        out[name] = _summary(list(found.values()), plain[name], run)
    if not entries and run.error == states.INPUT:
        # It was refused before its first step.
        return out
    _infer(machine, run, out)
    return out


def taken(
    way: Way, machine: Machine, steps: Mapping[str, StepRun], begun: bool, ended: bool
) -> bool:
    """Tell whether a run went that way of *machine*, as far as its events say.

    *begun*: the machine was entered. *ended*: it came to its end.
    """
    if way.target == END:
        reached = ended
    else:
        reached = steps[way.target].progress != ""
    if way.source == START:
        return begun and reached
    source = steps[way.source]
    if way.kind == "catch":
        caught = source.progress == "caught" and _catches(machine, way, source.error)
        return reached and caught
    if source.chosen:
        return way.target in source.chosen
    if way.kind in ("choice", "default") and reached:
        others = [
            steps[one.target] for one in machine.ways
            if one.source == way.source and one.target != way.target and steps[one.target].begun
        ]  # fmt: skip
        mine = steps[way.target].begun
        if mine and others and source.entries <= 1 and not _returns(machine, way.source):
            # What several ways lead to was come to by another one of them first.
            return mine < min(one.begun for one in others)
    return reached and (source.progress in _DONE or source.done > 0)


def _returns(machine: Machine, name: str) -> bool:
    """Tell whether steps lead back to *name*."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        here = waiting.pop()
        for way in machine.ways:
            if way.source == here and way.target not in reached:
                reached.add(way.target)
                waiting.append(way.target)
    return name in reached


def _catches(machine: Machine, way: Way, error: str) -> bool:
    """Tell whether *way* is the one that an error of its step takes; "" is an unknown one."""
    if not error:
        return True
    for other in machine.ways:
        if other.source == way.source and other.kind == "catch":
            names = [states.ALL if name == "any error" else name for name in other.label]
            if states.names(names, error):
                return other == way
    return False


def _told(entries: dict[str, _Entry], event: StepEvent) -> None:
    # ``reserve/3/take!2`` is the second attempt, ``take~undo`` the compensation.
    place = re.sub(r"![0-9]+z?$", "", event.place)
    undoing = place.endswith("~undo")
    entry = entries.setdefault(place.removesuffix("~undo"), _Entry())
    what = event.what
    if undoing and what in ("started", "succeeded", "failed"):
        entry.undo = {"started": entry.undo, "succeeded": "undone", "failed": "undo-failed"}[what]
        return
    if what == "undone" or what == "undo-failed":
        entry.undo = what
        # Not all platforms tell the start of a compensation from that of its step.
        entry.progress, entry.before = entry.before or entry.progress, ""
        return
    entry.before = entry.progress if what == "started" and entry.progress == "succeeded" else ""
    entry.progress = "running" if what == "started" else what
    if not entry.first:
        entry.first = event.time
    if what in ("succeeded", "failed", "caught"):
        entry.ended = event.time
    entry.attempts = max(entry.attempts, event.attempt)
    if what == "succeeded":
        entry.error = entry.cause = ""
        entry.chosen = event.detail if isinstance(event.detail, str) else ""
    elif event.error:
        entry.error, entry.cause = event.error, event.cause


def _summary(entries: list[_Entry], step: Mapping[str, Any], run: RunState) -> StepRun:
    for entry in entries:
        at_once = step["kind"] in _SILENT and entry.progress == "running"
        if step["kind"] == "fail" or (at_once and run.state == "failed"):
            entry.progress = "failed"
        elif run.state != "running" and entry.progress in ("running", "waiting"):
            entry.progress = "succeeded" if entry.ended and step["kind"] == "wait" else "stopped"
        elif run.state == "running" and entry.progress == "failed" and _again(entry, step):
            entry.progress = "retrying"
        elif entry.progress == "failed" and any(
            states.names(rule["errors"], entry.error) for rule in step.get("catch", ())
        ):
            entry.progress = "caught"
    said = [entry for entry in entries if entry.progress]
    words = {entry.progress for entry in said}
    undone = [entry.undo for entry in entries]
    untold: Progress = "succeeded" if any(undone) else ""
    progress = next((word for word in _FIRST if word in words), untold)
    worst = next((entry for entry in said if entry.progress == progress and entry.error), None)
    ends = [entry.ended for entry in said]
    return StepRun(
        progress,
        len(said),
        sum(entry.progress == "succeeded" for entry in said),
        max((entry.attempts for entry in said), default=0),
        max(ends) - min(entry.first for entry in said) if ends and all(ends) else None,
        worst.error if worst else "",
        worst.cause if worst else "",
        undone.count("undone"),
        undone.count("undo-failed"),
        min((entry.first for entry in said), default=0.0),
        tuple({entry.chosen: None for entry in said if entry.chosen})
        if step["kind"] == "choice"
        else (),
    )


def _again(entry: _Entry, step: Mapping[str, Any]) -> bool:
    """Tell whether a failed call is to be tried again."""
    rule = next((r for r in step.get("retry", ()) if states.names(r["errors"], entry.error)), None)
    return rule is not None and 0 < entry.attempts < rule["attempts"]


def _infer(machine: Machine, run: RunState, out: dict[str, StepRun]) -> None:
    """Say of steps without events of their own what the events of others tell."""
    # A history that tells of choices and the like tells of everything.
    told = any(out[one.name].progress for one in every(machine) if one.kind in _SILENT)
    # What is within others first tells of these, and then these of what is beside them.
    for last in (True,) if told else (False, True):
        while _machine(machine, run, out, True, run.state == "succeeded", last):
            pass


def _machine(
    machine: Machine, run: RunState, out: dict[str, StepRun], begun: bool, ended: bool, last: bool
) -> bool:
    """Infer what can be; return whether there was something.

    *begun*, *ended*: whether the run came into the machine, and to its end. *last*: what is not
    known to have gone on has not.
    """
    changed = False
    for step in machine.steps:
        known = out[step.name]
        within = any(_came(inner, one.name, out) for inner in step.machines for one in inner.steps)
        for inner in step.machines if within or step.kind == "parallel" else ():
            done = known.progress in _DONE
            changed |= _machine(inner, run, out, known.progress != "", done, last)
        if known.progress:
            continue
        progress = _inferred(machine, step, run, out, begun, ended)
        inside = [out[one.name] for inner in step.machines for one in every(inner)]
        if not progress and last:
            if any(one.progress for one in inside):
                progress = _open(run, inside)
            elif not step.machines and _reached(machine, step, out, begun):
                progress = _stuck(run, step)
        if progress:
            failed = [one for one in inside if one.progress == "failed" and one.error]
            out[step.name] = StepRun(
                progress,
                error=failed[0].error if failed and progress in ("failed", "caught") else "",
                cause=failed[0].cause if failed and progress in ("failed", "caught") else "",
                undone=known.undone,
                undo_failed=known.undo_failed,
                begun=min((one.begun for one in inside if one.begun), default=0.0),
            )
            changed = True
    return changed


def _inferred(
    machine: Machine, step: Step, run: RunState, out: dict[str, StepRun], begun: bool, ended: bool
) -> Progress:
    after = [way for way in machine.ways if way.source == step.name]

    def came(way: Way) -> bool:
        return way.target in out and _came(machine, way.target, out)

    on = any(came(way) for way in after if way.kind != "catch")
    caught = any(came(way) for way in after if way.kind == "catch")
    last = ended and any(way.target == END for way in after if way.kind != "catch")
    if step.machines and _came(machine, step.name, out):
        return "passed" if on else "caught" if caught else "passed" if last else ""
    if not _reached(machine, step, out, begun):
        return ""
    if step.kind == "fail":
        error = step.about[0]
        told = run.error in ("", error, states.COMPENSATION) or error.startswith("$")
        return "failed" if run.state == "failed" and told else ""
    if step.kind == "succeed":
        return "passed" if ended else ""
    return "passed" if on else "caught" if caught else "passed" if last else ""


def _open(run: RunState, inside: list[StepRun]) -> Progress:
    """Return how a step is that was come into and, for all that is known, not out of."""
    if run.state == "running":
        return "running"
    if run.state == "succeeded":
        return "passed"
    return "failed" if any(one.progress == "failed" for one in inside) else "stopped"


def _stuck(run: RunState, step: Step) -> Progress:
    """Return how a step is that the run came to, of which there is no more to be known."""
    if run.state in ("running", "succeeded") or step.kind in ("succeed", "fail"):
        return ""
    return "failed" if run.state == "failed" else "stopped"


def _came(machine: Machine, name: str, out: dict[str, StepRun]) -> bool:
    """Tell whether the run came to a step, or into it."""
    step = next(one for one in machine.steps if one.name == name)
    return out[name].progress != "" or any(
        out[one.name].progress for inner in step.machines for one in every(inner)
    )


def _reached(machine: Machine, step: Step, out: dict[str, StepRun], begun: bool) -> bool:
    """Tell whether the run came to a step that says nothing itself."""
    if machine.start == step.name:
        return begun
    for way in machine.ways:
        if way.target != step.name or way.source == START:
            continue
        source = out[way.source]
        if way.kind == "catch":
            if source.progress == "caught" and _catches(machine, way, source.error):
                return True
        elif source.progress in _DONE and not any(
            other.target in out and _came(machine, other.target, out)
            for other in machine.ways
            if other.source == way.source and other.kind in ("choice", "default")
            and other.target != step.name
        ):  # fmt: skip
            return True
        elif source.progress == "" and way.kind in ("choice", "default"):
            owner = next(one for one in machine.steps if one.name == way.source)
            if owner.kind == "choice" and _only(machine, owner, step, out, begun):
                return True
    return False


def _only(
    machine: Machine, choice: Step, step: Step, out: dict[str, StepRun], begun: bool
) -> bool:
    """Tell whether a choice without events can only have led to a step that ends the steps."""
    targets = {way.target for way in machine.ways if way.source == choice.name}
    ends = [one for one in machine.steps if one.name in targets and one.kind in ("succeed", "fail")]
    return ends == [step] and _reached(machine, choice, out, begun) and not any(
        _came(machine, target, out) for target in targets
    )  # fmt: skip
