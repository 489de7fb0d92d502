"""Published workflows as cases: SeBS-Flow's benchmarks, and machines in the States Language.

They are in ``shared/cases`` beside the repository, when they are there. SeBS's own calls are its
cases' answers. Machines have no inputs: :func:`inputs` makes some of the paths that they name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.workflows.cases import Case, by, ok
from tests.workflows.scripts import machines as compiled
from tests.workflows.scripts import world
from tests.workflows.shared import shared
from tests.workflows.virtual import execute

SEBS, ASL = shared("sebs/workflows"), shared("workflows/asl")
ALL = os.environ.get("PORTAFAAS_FLOW_PUBLISHED") == "all"
_FUNCTIONS = ("one", "two", "three", "undo", "unmake")


def there() -> bool:
    """Tell whether the cases are here."""
    return SEBS.is_dir() and ASL.is_dir()


def sample(step: int = 1, first: int = 0) -> list[Case]:
    """Return every so many of the cases, or all with ``PORTAFAAS_FLOW_PUBLISHED=all``."""
    every = [*sebs(), *machines()]
    return every if ALL else every[first::step]


def translated(machine: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the steps of a machine of SeBS-Flow (its docs/workflows.md)."""
    out: dict[str, Any] = {}
    names = list(machine["states"])
    names.remove(machine["root"])
    for name in [machine["root"], *names]:
        state = machine["states"][name]
        here = prefix + name
        way = {"next": prefix + state["next"]} if "next" in state else {"end": True}
        match state["type"]:
            case "task":
                out[here] = {"task": state["func_name"], **way}
            case "map" | "loop":
                spec: dict[str, Any] = {
                    "items": f"$.{state['array']}", "most": 1000,
                    "concurrency": 40 if state["type"] == "map" else 1,
                    "steps": translated(state, f"{here}-"),
                }  # fmt: skip
                if "common_params" in state:
                    names_ = state["common_params"].split(",")
                    spec["each"] = {"array_element": "$$.Map.Item.Value"}
                    spec["each"] |= {one: f"$.{one}" for one in names_}
                out[here] = {"map": spec, "result": f"$.{state['array']}", **way}
            case "repeat":
                # A task so many times, each on what the one before it returned.
                for number in range(state["count"]):
                    last = number + 1 == state["count"]
                    following = way if last else {"next": f"{here}-{number + 1}"}
                    mine = f"{here}-{number}" if number else here
                    out[mine] = {"task": state["func_name"], **following}
            case "switch":
                out[here] = {
                    "choice": [
                        {"when": {f"$.{one['var']}": {one["op"]: one["val"]}}, "next": one["next"]}
                        for one in state["cases"]
                    ],
                    "default": state["default"],
                }
            case "parallel":
                branches = {
                    f"b{number}": {"steps": translated(one, f"{here}-{number}-")}
                    for number, one in enumerate(state["parallel_functions"])
                }
                out[here] = {"parallel": branches, **way}
            case other:
                raise AssertionError(other)
    return out


def functions(machine: Any) -> set[str]:
    """Return the functions of a machine of SeBS-Flow."""
    found = set()
    if isinstance(machine, dict):
        found |= {machine["func_name"]} if "func_name" in machine else set()
        machine = list(machine.values())
    for one in machine if isinstance(machine, list) else ():
        found |= functions(one)
    return found


def definitions() -> list[Path]:
    return sorted(SEBS.glob("*/definition.json"))


def answers(calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what functions answer, by their input, of calls that SeBS wrote down."""
    found: dict[str, list[tuple[Any, list[Any]]]] = {}
    for call in calls:
        rules = found.setdefault(call["func"], [])
        for input, outputs in rules:
            if input == call["input"]:
                outputs.append(ok(call["output"]))
                break
        else:
            rules.append((call["input"], [ok(call["output"])]))
    return {name: by(*rules) for name, rules in found.items()}


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: names[one] if key == "task" else _renamed(one, names) for key, one in value.items()
        }
    return [_renamed(one, names) for one in value] if isinstance(value, list) else value


@cache
def sebs() -> tuple[Case, ...]:
    """Return a case for each of SeBS's."""
    return tuple(_sebs())


def _sebs() -> Iterator[Case]:
    """Yield SeBS's cases; for a definition without any, one whose functions answer all it names."""
    for file in definitions():
        definition = json.loads(file.read_text())
        names = dict(zip(sorted(functions(definition)), _FUNCTIONS, strict=False))
        steps = _renamed(translated(definition), names)
        title = "sebs-" + re.sub(r"[^a-z0-9]+", "-", file.parent.name.lower())
        given = file.parent / "cases.json"
        if given.exists():
            for number, one in enumerate(json.loads(given.read_text())):
                told = {names[name]: rule for name, rule in answers(one["calls"]).items()}
                yield Case(f"{title}-{number}", steps, one["input"], told)
        else:
            document = _named(definition)
            # Every call gets the same, in whatever order they come.
            told = {name: [ok(document)] * 99 for name in names.values()}
            yield Case(title, steps, document, told)


def _named(value: Any) -> dict[str, Any]:
    """Return a document with all that a machine of SeBS-Flow names."""
    found: dict[str, Any] = {}
    if isinstance(value, dict):
        if "array" in value:
            found[value["array"]] = [{"n": 1}, {"n": 2}, {"n": 3}]
        for name in value.get("common_params", "").split(","):
            found |= {name: f"the {name}"} if name else {}
        if "var" in value:
            found[value["var"]] = value["val"]
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        found = {**_named(one), **found}
    return found


def inputs(machine: Any) -> list[Any]:
    """Return inputs for a States Language machine: nothing, and what its rules and paths name."""
    first: dict[str, Any] = {}
    for path, value in [*_ruled(machine), *((path, None) for path in _paths(machine))]:
        _put(first, path, _VALUE if value is None else value)
    found = [{}, first] if first else [{}]
    start = machine["States"].get(machine["StartAt"], {})
    return [*found, [{"n": 1}, 2]] if start.get("Type") == "Map" else found


_VALUE = {"value": 1}


def _ruled(value: Any, below: str = "$") -> Iterator[tuple[str, Any]]:
    """Yield what makes rules of a machine true, and lists, numbers and times where it needs them."""
    if isinstance(value, dict):
        if isinstance(value.get("Variable"), str):
            other = next(
                (one for key, one in value.items() if key.endswith(("Equals", "Than", "Matches"))), 1
            )
            yield below + value["Variable"][1:], other
        if isinstance(value.get("InputPath"), str):
            below = value["InputPath"]
        for key, given in (
            ("ItemsPath", [1, {"a": 2}]), ("SecondsPath", 2), ("TimestampPath", "2026-03-01T00:00:00Z"),
        ):  # fmt: skip
            if isinstance(value.get(key), str):
                yield below + value[key][1:], given
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from _ruled(one, below)


def _paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, str) and (key.endswith(".$") or key in ("InputPath", "OutputPath")):
                yield re.sub(r"^\$\$\.Execution\.Input", "$", one)
            else:
                yield from _paths(one)
    elif isinstance(value, list):
        for one in value:
            yield from _paths(one)


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a path of plain names, unless something is there."""
    names = re.fullmatch(r"\$((?:\.[\w-]+)+)", path)
    if names is None:
        return
    *outer, last = names[1][1:].split(".")
    for name in outer:
        inner = document.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        document = inner
    document.setdefault(last, value)


@cache
def machines() -> tuple[Case, ...]:
    """Return a case for each input of each machine that can be taken over."""
    found = []
    for place, file in enumerate(sorted(ASL.glob("*/*.json"))):
        text = file.read_text()
        if "$$.Execution.Id" in text:
            # Its output is another one in every run.
            continue
        title = f"asl-{place}-" + re.sub(r"[^a-z0-9]+", "-", file.name[:-5].lower())[:26].strip("-")
        try:
            compiled(Case(title, {}, machine=text))
        except Exception:
            continue
        for number, input in enumerate(inputs(json.loads(text))):
            # A machine that polls gets, one after the other, what each of its rules asks for.
            told = [ok({**(input if isinstance(input, dict) else {}), **one}) for one in _asked(json.loads(text))]
            case = Case(f"{title}-{number}", {}, input, {"one": told}, machine=text)
            if _ends(case):
                found.append(case)
    return tuple(found)


def _asked(machine: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path, value in _ruled(machine):
        one: dict[str, Any] = {}
        _put(one, path, value)
        if one and one not in found:
            found.append(one)
    return found


def _ends(case: Case) -> bool:
    """Tell whether a run ends, and soon."""
    answer, calls = world(case), 0

    def bounded(call: Any) -> tuple[float, dict[str, Any]]:
        nonlocal calls
        calls += 1
        if calls > 40:
            raise TimeoutError
        return answer(call)

    made = compiled(case)
    try:
        execute(made[case.name], case.input, bounded, made)
    except TimeoutError:
        return False
    return True
