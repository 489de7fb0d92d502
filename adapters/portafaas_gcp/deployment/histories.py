"""What happened in a run, read off its step entries in the words of workflows.

An entry has a name, a routine, times and the entry around it; what was computed is not kept. So
what came of a step is read off the steps that came after it (``workflows/machine.py``), and
details, errors and causes are not known.
https://cloud.google.com/workflows/docs/reference/executions/rest/v1/projects.locations.workflows.executions.stepEntries
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from portafaas.deployment.workflows import StepEvent, What
from portafaas.plan.machines import every_step
from portafaas_gcp.runtime import workflow as runs

Entry = Mapping[str, Any]
#: Kinds of steps of which each attempt is told for itself, or that take no time.
_CALLS = ("task", "workflow")


def time_of(text: Any) -> float:
    """Return seconds since 1970, 0 for what is no time."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def events_of(machine: Mapping[str, Any], entries: Iterable[Entry]) -> list[StepEvent]:
    """Return what *entries* tell of the steps of *machine*, in the order of time."""
    reader = _Reader(machine)
    for entry in sorted(entries, key=lambda item: int(item["entryId"])):
        reader.read(entry)
    return reader.events


class _Reader:
    def __init__(self, machine: Mapping[str, Any]) -> None:
        self.steps = dict(every_step(machine))
        #: The loop by the name of a step right inside it.
        self.loops = {
            name: loop
            for loop, step in self.steps.items()
            if step["kind"] == "loop"
            for name in step["machine"]["steps"]
        }
        self.events: list[StepEvent] = []
        self.known: dict[str, Entry] = {}
        #: How often a place was entered; how often a call was made, by its entry.
        self.counts: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        #: Per routine that runs (the entry around its steps): the step that it is at, where a step
        #: is, and how often a loop has begun its steps.
        self.present: dict[str, tuple[str, str]] = {}
        self.places: dict[tuple[str, str], str] = {}
        self.rounds: dict[tuple[str, str], int] = {}
        #: Attempts at a sub-workflow, by place; places whose last attempt failed.
        self.tries: dict[str, int] = {}
        self.failed: set[str] = set()
        self.when = 0.0

    def read(self, entry: Entry) -> None:
        number = str(entry["entryId"])
        self.known[number] = entry
        routine, step = str(entry.get("routine", "")), str(entry.get("step", ""))
        self.when = time_of(entry.get("createTime"))
        if self._below(number):
            # A sub-workflow's own steps.
            return
        if routine == "portafaas_call":
            self._called(number, step)
        elif routine.startswith("steps_"):
            self._stepped(self._home(number), number, step)

    def _tell(self, what: What, step: str, place: str, attempt: int = 0) -> None:
        self.events.append(StepEvent(self.when, step, what, place, attempt))

    # Where an entry is.

    def _parent(self, number: str) -> str:
        return str((self.known[number].get("navigationInfo") or {}).get("parent", ""))

    def _around(self, number: str) -> Iterable[str]:
        """Yield the entries that an entry is within, the innermost first."""
        number = self._parent(number)
        while number in self.known:
            yield number
            number = self._parent(number)

    def _named(self, number: str) -> tuple[str, str]:
        """Return the step of the manifest that an entry is of, and what it is of it."""
        entry = self.known[number]
        step = str(entry.get("step", ""))
        if not str(entry.get("routine", "")).startswith("steps_") or not step.startswith("s_"):
            return "", ""
        name, _, part = step[2:].partition("__")
        return runs.decoded(name), part

    def _below(self, number: str) -> bool:
        for around in self._around(number):
            name, part = self._named(around)
            if part == "run" and self.steps.get(name, {}).get("kind") == "workflow":
                return True
        return False

    def _home(self, number: str) -> str:
        """Return the entry around all steps of the routine that an entry is in."""
        routine = self.known[number].get("routine")
        for around in self._around(number):
            entry = self.known[around]
            if entry.get("routine") != routine or entry.get("step") == "run":
                return around
        return ""

    def _outer(self, home: str) -> str:
        """Return the place that the places of a routine's steps begin with."""
        for around in (home, *self._around(home)) if home in self.known else ():
            name, part = self._named(around)
            if not part.startswith("call") or name not in self.steps:
                continue
            outer = self._home(around)
            place = self.places.get((outer, name), name)
            branches = self.steps[name].get("branches")
            if branches:
                return f"{place}/{branches[int(part.rpartition('_')[2])]['name']}/"
            index = self._index(around)
            return f"{place}/{index}/" if index else f"{place}/"
        return ""

    def _index(self, number: str) -> str:
        """Return the index of the iteration that an entry is in, "" if nobody says."""
        routine = self.known[number].get("routine")
        for one in (number, *self._around(number)):
            if self.known[one].get("routine") != routine:
                break
            progress = (self.known[one].get("stepEntryMetadata") or {}).get("progressNumber")
            if progress:
                return str(int(progress) - 1)
        return ""

    def _within(self, home: str, name: str) -> str:
        """Return what the place of a step begins with: what is around it, loops too."""
        loop = self.loops.get(name)
        if loop is None:
            return self._outer(home)
        return f"{self.places.get((home, loop), loop)}/{self.rounds.get((home, loop), 0)}/"

    # What an entry tells.

    def _called(self, number: str, step: str) -> None:
        around = self._around(number)
        caller = next((o for o in around if self.known[o]["routine"] != "portafaas_call"), "")
        inner = self.known.get(self._parent(number), {}).get("step")
        if step not in ("send", "failed", "done") or inner == step or not caller:
            return
        of = str(self.known[caller].get("step", ""))
        undo = of.startswith("u_")
        if undo:
            name = runs.decoded(of[2:])
            place = f"{name}~undo"
        else:
            name, part = self._named(caller)
            if part != "call":
                return
            place = self.places.get((self._home(caller), name), name)
        if step == "send":
            self.calls[caller] = self.calls.get(caller, 0) + 1
            self.failed.discard(place)
            self._tell("started", name, place, self.calls[caller])
        elif step == "failed":
            self.failed.add(place)
            self._tell("undo-failed" if undo else "failed", name, place, self.calls[caller])
        elif place not in self.failed:
            self._tell("undone" if undo else "succeeded", name, place, self.calls[caller])

    def _stepped(self, home: str, number: str, step: str) -> None:
        if step.startswith(runs.AWAIT):
            name, place = self.present.get(home, ("", ""))
            self._tell("waiting", name, place)
            return
        name, part = self._named(number)
        if name and not part:
            self._entered(home, name)
            return
        if home not in self.present:
            return
        present, place = self.present[home]
        if part == "while":
            self.rounds[home, name] = self.rounds.get((home, name), -1) + 1
            if name != present:
                self._over("succeeded", present, place)
                self.present[home] = (name, self.places.get((home, name), name))
        elif part == "sleep" and self.steps[present]["kind"] == "workflow":
            self._tell("failed", present, place, self.tries[place])
        elif part == "next" and self.steps[present]["kind"] == "workflow":
            self.tries[place] += 1
            self._tell("started", present, place, self.tries[place])
        elif step == "finished":
            self._over("succeeded", present, place)
            del self.present[home]
        elif step == "failed" or part == "failed":
            self._over("failed", present, place)
            if step == "failed":
                del self.present[home]
        elif "catch_" in part and not part.endswith("_put"):
            self._tell("caught", present, place)
            del self.present[home]

    def _entered(self, home: str, name: str) -> None:
        before = self.present.get(home)
        if before is not None and self.loops.get(name) != before[0]:
            self._over("succeeded", *before)
        path = self._within(home, name) + name
        count = self.counts[path] = self.counts.get(path, -1) + 1
        place = self.places[home, name] = f"{path}#{count}" if count else path
        self.present[home] = (name, place)
        self.rounds.pop((home, name), None)
        kind = self.steps.get(name, {}).get("kind", "")
        if kind == "workflow":
            self.tries[place] = 1
            self._tell("started", name, place, 1)
        elif kind == "wait":
            if "signal" not in self.steps[name]:
                self._tell("waiting", name, place)
        elif kind != "task":
            self._tell("started", name, place)

    def _over(self, what: What, name: str, place: str) -> None:
        """Tell how a step ended, unless its last call told."""
        kind = self.steps.get(name, {}).get("kind", "")
        if what == "failed":
            if place in self.failed:
                return
            self.failed.add(place)
        elif kind == "task":
            return
        self._tell(what, name, place, self.tries.get(place, 0))
