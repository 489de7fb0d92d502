"""Pictures of workflows and of their runs."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.cli import cli, workflow_picture
from portafaas.deployment.workflows import RunState, StepEvent, Workflows
from portafaas.errors import DeploymentError, Diagnostic
from portafaas.graph.layout import Area
from portafaas.graph.machine import every, machine_of, machines
from portafaas.graph.machine_html import machine_html
from portafaas.graph.machine_layout import placed
from portafaas.graph.machine_run import steps_of
from portafaas.graph.machine_svg import machine_svg
from portafaas.graph.machine_text import machine_document, machine_mermaid
from portafaas.graph.machine_words import condition, length, wrapped
from portafaas.graph.svg import identifier
from portafaas.graph.text import width
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan, WorkflowPlan
from portafaas.plan.build import build_plan

SVG = "{http://www.w3.org/2000/svg}"
START = 1_800_000_000.0

MANIFEST = """\
portafaas: 1
name: small
functions:
  check: {handler: "m:f", trigger: {task: {}}}
  pay: {handler: "m:f", trigger: {task: {}}}
  pay-back: {handler: "m:f", trigger: {task: {}}}
  take: {handler: "m:f", trigger: {task: {}}}
  give-back: {handler: "m:f", trigger: {task: {}}}
  tell: {handler: "m:f", trigger: {task: {}}}
workflows:
  sell:
    steps:
      check: {task: check}
      charge:
        task: pay
        retry: {attempts: 3, initial: 1s, factor: 2, max: 60s}
        catch: [{errors: [Declined, NoCard], next: refused, result: null}]
        compensate: {task: pay-back}
      large:
        choice: [{when: {$.cents: {">": 100}}, next: approval}]
        default: reserve
      approval: {wait: {signal: approved, timeout: 1d}, result: null}
      reserve:
        map: {items: $.lines, most: 9, steps: {take: {task: take, compensate: {task: give-back}}}}
      say:
        parallel:
          customer: {steps: {mail: {task: tell}}}
          depot: {steps: {pack: {task: tell}, note: {set: {}}}}
      done: {succeed: true}
      refused: {fail: {error: Refused, cause: no money}}
  count:
    steps:
      round: {loop: {while: {$.n: {"<": 3}}, most: 5, steps: {up: {task: check, catch: [{next: up}]}}}}
"""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildPlan:
    (tmp_path / "m.py").write_text("def f(task, context):\n    return None\n")
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    return build_plan(load_manifest(tmp_path / "portafaas.yaml"))


def event(after: float, step: str, what: Any, place: str = "", **more: Any) -> StepEvent:
    return StepEvent(START + after, step, what, place or step, **more)


def call(step: str, begun: float, ended: float, place: str = "", attempt: int = 1, error: str = "") -> list[StepEvent]:
    what = "failed" if error else "succeeded"
    return [
        event(begun, step, "started", place, attempt=attempt),
        event(ended, step, what, place, attempt=attempt, error=error, cause="so it is" if error else ""),
    ]


def run_of(state: Any, ended: float = 0.0, error: str = "", waiting: Sequence[str] = ()) -> RunState:
    return RunState("sell", "r-1", state, START, START + ended if ended else 0.0, error=error, waiting=tuple(waiting))


PAID = [*call("check", 0, 0.1), *call("charge", 0.1, 1, attempt=1, error="Busy"), *call("charge", 2, 2.5, attempt=2)]
SENT = [*call("take", 4, 4.2, "reserve/0/take"), *call("take", 4, 5, "reserve/1/take"), *call("mail", 5, 6, "say/customer/mail"), *call("pack", 5, 5.5, "say/depot/pack")]


def states(plan: BuildPlan, run: RunState, events: list[StepEvent]) -> dict[str, str]:
    workflow = plan.workflow("sell")
    found = steps_of(workflow, machine_of(workflow), run, events)
    return {name: one.progress for name, one in found.items()}


def went(text: str) -> set[tuple[str, str]]:
    """Return the ends of the lines that a run's picture shows as gone."""
    out = set()
    for g in ElementTree.fromstring(text).iter(f"{SVG}g"):
        if "went" in g.attrib.get("class", "").split():
            out.add((g.attrib.get("data-from", "")[3:], g.attrib.get("data-to", "")[3:]))
    return out


def test_a_run_that_succeeded(plan: BuildPlan) -> None:
    run, events = run_of("succeeded", 6), [*PAID, *SENT]
    assert states(plan, run, events) == {
        "check": "succeeded", "charge": "succeeded", "large": "passed", "approval": "",
        "reserve": "passed", "take": "succeeded", "say": "passed", "mail": "succeeded",
        "pack": "succeeded", "note": "passed", "done": "passed", "refused": "",
    }  # fmt: skip
    text = machine_svg(plan.workflow("sell"), run, events)
    assert went(text) == {
        ("", "check"), ("check", "charge"), ("charge", "large"), ("large", "reserve"),
        ("reserve", "say"), ("pack", "note"), ("say", "done"),
    }  # fmt: skip
    assert ">succeeded · 2 attempts · 2.4\u00a0s<" in text
    assert ">succeeded · 2 of 2 done · 1\u00a0s<" in text
    assert ">succeeded · started 2027-01-15 08:00:00 UTC · took 6\u00a0s<" in text
    # The same in any order of reading.
    assert machine_svg(plan.workflow("sell"), run, events[::-1]) != "" and text == machine_svg(
        plan.workflow("sell"), run, events
    )


def test_a_run_that_waits_or_tries_again(plan: BuildPlan) -> None:
    waiting = [*PAID, event(3, "approval", "waiting")]
    found = states(plan, run_of("running", waiting=["approved"]), waiting)
    assert found["approval"] == "waiting" and found["large"] == "passed" and found["reserve"] == ""
    text = machine_svg(plan.workflow("sell"), run_of("running", waiting=["approved"]), waiting)
    assert "waits for approved" in text and ("large", "approval") in went(text)
    assert ("large", "reserve") not in went(text)
    assert states(plan, run_of("running"), PAID[:4])["charge"] == "retrying"
    assert states(plan, run_of("running"), PAID[:5])["charge"] == "running"
    assert states(plan, run_of("canceled", 3), PAID[:5])["charge"] == "stopped"
    last = [*PAID[:4], *call("charge", 9, 9, attempt=3, error="Busy")]
    assert states(plan, run_of("failed", 9, "Busy"), last)["charge"] == "failed"
    assert states(plan, run_of("succeeded", 9), [*waiting, event(8, "approval", "succeeded"), *SENT])["approval"] == "succeeded"


def test_a_run_that_was_caught(plan: BuildPlan) -> None:
    events = [*call("check", 0, 1), *call("charge", 1, 2, error="Declined")]
    run = run_of("failed", 2, "Refused")
    for more in ([], [event(2, "charge", "caught", error="Declined")]):
        found = states(plan, run, [*events, *more])
        assert found["charge"] == "caught" and found["refused"] == "failed" and found["large"] == ""
        text = machine_svg(plan.workflow("sell"), run, [*events, *more])
        assert went(text) == {("", "check"), ("check", "charge"), ("charge", "refused")}
        assert ">failed, caught" in text and ">Declined" in text


@pytest.mark.parametrize("words", ["undone", "calls"])
def test_a_run_that_was_compensated(plan: BuildPlan, words: str) -> None:
    events = [*PAID, *call("take", 4, 4.2, "reserve/0/take"), *call("take", 4, 5, "reserve/1/take", error="Gone")]
    if words == "undone":
        events += [event(6, "take", "undone", "reserve/0/take"), event(7, "charge", "undo-failed")]
    else:
        events += call("take", 5, 6, "reserve/0/take~undo!1")
        events += call("charge", 6, 7, "charge~undo!1", error="Busy")
    run = run_of("failed", 7, "Compensation.Failed")
    workflow = plan.workflow("sell")
    found = steps_of(workflow, machine_of(workflow), run, events)
    assert (found["take"].progress, found["take"].done, found["take"].undone) == ("failed", 1, 1)
    assert (found["charge"].progress, found["charge"].undo_failed) == ("succeeded", 1)
    assert found["reserve"].progress == "failed" and found["reserve"].error == "Gone"
    assert found["say"].progress == found["done"].progress == found["refused"].progress == ""
    text = machine_svg(workflow, run, events)
    assert ">compensated<" in text and ">its compensation failed<" in text
    made = machine_document(workflow, run, events)
    (take,) = made["machines"][1]["steps"]
    assert take["run"]["compensated"] == 1 and take["undo"] == "give-back"
    assert made["run"]["error"] == "Compensation.Failed"


def test_what_a_definition_shows(plan: BuildPlan) -> None:
    text = machine_svg(plan.workflow("sell"))
    assert len(re.findall("undone by", text)) == 4  # as text and in the title
    assert "$.cents &gt; 100" in text and ">otherwise<" in text and ">Declined, NoCard<" in text
    assert "tries 3 times" in text and ">for the signal approved<" in text and ">timeout 1\u00a0d<" in text
    for word in ("customer", "depot", "for each of $.lines", "10 at once, at most 9"):
        assert f">{word}<" in text
    catch = [g for g in ElementTree.fromstring(text).iter(f"{SVG}g") if "catch" in g.get("class", "").split()]
    assert [(g.get("data-from"), g.get("data-to")) for g in catch] == [("pf-charge", "pf-refused")]
    assert re.search(r"\.pf \.catch \.wire\{[^}]*stroke-dasharray", text)
    check(plan.workflow("sell"), text)
    check(plan.workflow("count"), machine_svg(plan.workflow("count")))


def check(workflow: WorkflowPlan, text: str) -> None:
    """Demand a well-formed picture in which everything is where it belongs."""
    root = ElementTree.fromstring(text)
    assert not re.search(r"<script|href=|url\(|@import|javascript:", text)
    named = {child.attrib["id"]: child.text for child in root if "id" in child.attrib}
    assert root.attrib["aria-labelledby"].split() == list(named) == ["pf-title", "pf-desc"]
    assert all(named.values()) and root.attrib["role"] == "img"
    machine = machine_of(workflow)
    nodes = {g.attrib["id"]: g for g in root.iter(f"{SVG}g") if "id" in g.attrib}
    assert set(nodes) == {identifier(step.name) for step in every(machine)}
    areas: dict[str, Area] = {}
    for step in every(machine):
        g = nodes[identifier(step.name)]
        areas[step.name] = area = area_of(g)
        for line in g.iter(f"{SVG}text"):
            x, y = float(line.attrib["x"]), float(line.attrib["y"])
            size = 13 if line.attrib["class"] == "name" else 10.5
            assert area.x < x and x + width(line.text or "", size) <= area.x + area.width + 0.1
            assert area.y < y - size * 0.7 and y + 2 < area.y + area.height
    for one in machines(machine):
        for place, step in enumerate(one.steps):
            for other in one.steps[:place]:
                assert apart(areas[step.name], areas[other.name]), (step.name, other.name)
            for inner in step.machines:
                for within in inner.steps:
                    assert holds(areas[step.name], areas[within.name])
    total = Area(0, 0, float(root.attrib["width"]), float(root.attrib["height"]))
    assert all(holds(total, area) for area in areas.values())
    plain = [areas[step.name] for step in every(machine) if not step.machines]
    lines = 0
    for g in root.iter(f"{SVG}g"):
        if "way" not in g.attrib.get("class", "").split():
            continue
        lines += 1
        assert len(list(g.iter(f"{SVG}path"))) == 2 and g.find(f"{SVG}title") is not None
        for label in g.iter(f"{SVG}text"):
            x, y = float(label.attrib["x"]), float(label.attrib["y"])
            across = width(label.text or "", 10.5)
            assert across and all(apart(Area(x, y - 9, across, 11), area) for area in plain)
    shown = [
        way for one in machines(machine) for way in one.ways
        if one is machine or (way.source[0] != "$" and way.target[0] != "$")
    ]  # fmt: skip
    assert lines == len(shown)


def area_of(g: ElementTree.Element) -> Area:
    boxes = [r for r in g.iter(f"{SVG}rect") if r.attrib["class"] == "box"]
    if boxes:
        (box,) = boxes
        return Area(*(float(box.attrib[word]) for word in ("x", "y", "width", "height")))
    (path,) = [p for p in g.iter(f"{SVG}path") if p.attrib["class"] == "box"]
    numbers = [float(word) for word in re.findall(r"-?[0-9.]+", path.attrib["d"])]
    left, top, right, lower = numbers[8], numbers[1], numbers[3], numbers[6]
    return Area(left, top, right - left, lower - top)


def apart(one: Area, other: Area) -> bool:
    return (
        one.x >= other.x + other.width - 0.3 or other.x >= one.x + one.width - 0.3
        or one.y >= other.y + other.height - 0.3 or other.y >= one.y + one.height - 0.3
    )  # fmt: skip


def holds(outer: Area, inner: Area) -> bool:
    return (
        outer.x <= inner.x + 0.1 and inner.x + inner.width <= outer.x + outer.width + 0.1
        and outer.y <= inner.y + 0.1 and inner.y + inner.height <= outer.y + outer.height + 0.1
    )  # fmt: skip


@st.composite
def workflows(draw: Callable[..., Any]) -> WorkflowPlan:
    """Draw any normal form: steps lead anywhere among their like, also back and to themselves."""
    count = 0

    def machine(deep: int) -> dict[str, Any]:
        nonlocal count
        names = []
        for _ in range(draw(st.integers(1, 5 if deep == 0 else 3))):
            count += 1
            names.append(f"s{count}" + draw(st.sampled_from(["", "-a-rather-long-name-of-a-step"])))
        somewhere = st.sampled_from(names)
        steps = {}
        for name in names:
            kinds = ["task", "workflow", "choice", "wait", "set", "succeed", "fail"]
            kind = draw(st.sampled_from(kinds + ["map", "loop", "parallel"] * (deep < 2)))
            step: dict[str, Any] = {"kind": kind}
            if kind not in ("choice", "succeed", "fail"):
                step["next"] = draw(st.one_of(st.none(), somewhere))
                if kind not in ("set", "loop") and draw(st.booleans()):
                    errors = draw(st.sampled_from([["States.ALL"], ["A", "B" * 40, "C & <d>"]]))
                    step["catch"] = [{"errors": errors, "next": draw(somewhere), "result": "$"}]
            if kind in ("task", "workflow"):
                step["function" if kind == "task" else "workflow"] = draw(st.sampled_from([name, "f&<"]))
                if draw(st.booleans()):
                    step["compensate"] = {"function": "undo-it"}
                    step["retry"] = [{"errors": ["X"], "attempts": 2, "initial": 0.5, "factor": 2, "jitter": True}]
            elif kind == "choice":
                when = draw(st.sampled_from([{"$.a": {"==": "b < c"}}, {"not": {"$.a": {"is": "present"}}}]))
                step["rules"] = [{"when": when, "next": draw(somewhere)} for _ in range(draw(st.integers(1, 3)))]
                if draw(st.booleans()):
                    step["default"] = draw(somewhere)
            elif kind == "wait":
                step |= draw(st.sampled_from([{"seconds": 5}, {"until": "$.when"}, {"signal": "go", "timeout": 9}]))
            elif kind == "set":
                step["input"] = {}
            elif kind == "fail":
                step |= {"error": "E", "cause": ""}
            elif kind == "map":
                step |= {"items": "$.l", "machine": machine(deep + 1), "concurrency": 2, "most": 5}
            elif kind == "loop":
                step |= {"while": {"$.n": {"<": 3}}, "machine": machine(deep + 1), "most": 5}
            elif kind == "parallel":
                step["branches"] = [
                    {"name": branch, "machine": machine(deep + 1)}
                    for branch in ["left", "a-branch-with-a-long-name"][: draw(st.integers(1, 2))]
                ]
            steps[name] = step
        return {"start": names[0], "steps": steps}

    return WorkflowPlan("flow", machine(0))


@settings(max_examples=60, deadline=None)
@given(workflows(), st.data())
def test_any_workflow(workflow: WorkflowPlan, data: st.DataObject) -> None:
    text = machine_svg(workflow)
    check(workflow, text)
    assert text == machine_svg(workflow)
    names = [step.name for step in every(machine_of(workflow))]
    whats = ["started", "succeeded", "failed", "waiting", "caught", "undone", "undo-failed"]
    events = data.draw(
        st.lists(
            st.builds(
                StepEvent, st.floats(START, START + 1e6), st.sampled_from([*names, "unknown"]),
                st.sampled_from(whats), st.sampled_from(["", "a/0/b!2", "x~undo!1"]),
                st.integers(0, 3), error=st.sampled_from(["", "A", "E & <f>"]),
            ),
            max_size=12,
        )
    )  # fmt: skip
    state: Any = data.draw(st.sampled_from(["running", "succeeded", "failed", "canceled"]))
    run = RunState("flow", "r<1>", state, START, START + 9, error="E" if state == "failed" else "")
    check(workflow, machine_svg(workflow, run, events))
    page = machine_html(workflow, run, events)
    assert page.count("<tr>") == len(names) + 1
    made = json.loads(json.dumps(machine_document(workflow, run, events)))
    assert sum(len(one["steps"]) for one in made["machines"]) == len(names)
    chart = machine_mermaid(workflow, run, events)
    assert chart.count("\n  subgraph") + len(re.findall(r"^ +s\d+[(\[{>]", chart, re.M)) >= 1
    assert chart.count("subgraph") == len(re.findall(r"^ +end$", chart, re.M))


def test_platforms_that_keep_less(plan: BuildPlan) -> None:
    # Compensations that begin under the place of their step, and no word of what was caught.
    events = [
        *PAID, *call("take", 4, 5, "reserve/0/take", error="Gone"),
        event(6, "charge", "started", attempt=1), event(7, "charge", "undone", attempt=1),
    ]  # fmt: skip
    run = run_of("failed", 7, "Gone")
    workflow = plan.workflow("sell")
    found = steps_of(workflow, machine_of(workflow), run, events)
    assert (found["charge"].progress, found["charge"].undone) == ("succeeded", 1)
    assert (found["reserve"].progress, found["reserve"].error) == ("failed", "Gone")
    assert found["approval"].progress == found["say"].progress == ""
    # What the run came to and left no word of, when it failed there.
    found = steps_of(workflow, machine_of(workflow), run_of("failed", 3, "X"), PAID[:2])
    assert found["charge"].progress == "failed" and found["large"].progress == ""
    # A wait that was over, when only what came of that is told.
    timed = {
        "start": "w", "steps": {
            "w": {"kind": "wait", "signal": "go", "timeout": 5.0, "next": None,
                  "catch": [{"errors": ["States.Timeout"], "next": "late", "result": "$"}]},
            "late": {"kind": "task", "function": "f", "next": None},
        },
    }  # fmt: skip
    flow = WorkflowPlan("sell", timed)
    found = steps_of(flow, machine_of(flow), run_of("succeeded", 9), call("late", 5, 6))
    assert found["w"].progress == "caught"
    assert went(machine_svg(flow, run_of("succeeded", 9), call("late", 5, 6))) == {
        ("", "w"), ("w", "late"), ("late", ""),
    }  # fmt: skip


def test_the_first_rule_that_names_the_error_is_the_way(plan: BuildPlan) -> None:
    task = {"kind": "task", "function": "f", "next": None}
    rules = [{"errors": ["A"], "next": "b"}, {"errors": ["States.ALL"], "next": "c"}]
    machine = {"start": "a", "steps": {"a": {**task, "catch": rules}, "b": task, "c": task}}
    flow = WorkflowPlan("sell", machine)
    events = [*call("a", 0, 1, error="Other"), *call("c", 1, 2)]
    found = steps_of(flow, machine_of(flow), run_of("succeeded", 2), events)
    assert {name: one.progress for name, one in found.items()} == {"a": "caught", "b": "", "c": "succeeded"}


def test_branches_stand_beside_one_another(plan: BuildPlan) -> None:
    machine = machine_of(plan.workflow("sell"))
    sizes = {step.name: (100.0, 42.0) for step in every(machine)}
    made = placed(machine, sizes, {})
    assert [name for name, _ in made.frames] == ["customer", "depot"]
    (_, left), (_, right) = made.frames
    assert holds(left, made.steps["mail"]) and holds(right, made.steps["note"])
    assert apart(left, right) and left.height == right.height


def test_words() -> None:
    when = {"and": [{"$.a": {"==": "x"}}, {"or": [{"$.b": {"matches": "y*"}}, {"not": {"$.c": {"is": "null"}}}]}, {"$.d": {"<": "$.e"}}]}
    assert condition(when) == '$.a == "x" and ($.b matches "y*" or not ($.c is null)) and $.d < $.e'
    assert [length(n).replace("\u00a0", " ") for n in (0, 0.0004, 0.25, 1, 59.9, 59.96, 61, 3600, 90_061, 86_399.9)] == [
        "0 s", "0 ms", "250 ms", "1 s", "59.9 s", "1 min", "1 min 1 s", "1 h", "1 d 1 h", "1 d",
    ]  # fmt: skip
    assert wrapped("one two three four", 9, 2) == ("one two", "three fo…")
    assert wrapped("", 9, 2) == ()


def command(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["graph", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_graph_of_a_workflow(plan: BuildPlan, tmp_path: Path) -> None:
    sell = plan.workflow("sell")
    assert command("--workflow", "sell", "--format", "svg") == (0, machine_svg(sell), "")
    assert command("--workflow", "sell")[1] == machine_mermaid(sell)
    assert json.loads(command("--workflow", "sell", "--format", "json")[1]) == machine_document(sell)
    assert command("--workflow", "count", "-o", "c.html") == (0, "c.html\n", "")
    assert (tmp_path / "c.html").read_text() == machine_html(plan.workflow("count"))
    code, out, err = command("--workflow", "sel")
    assert (code, out) == (2, "") and "no workflow is called 'sel': did you mean 'sell'?" in err.lower()
    assert command("--workflow", "sell", "--all")[0] == 2


class _Known(Workflows):
    """Knows one run of ``sell``."""

    def __init__(self, run: RunState, events: Sequence[StepEvent], code: str = "PF8040") -> None:
        self.run, self.events, self.code = run, events, code

    def status(self, workflow: str, run: str) -> RunState:
        if (workflow, run) != ("sell", self.run.run):
            raise DeploymentError("no:", [Diagnostic(self.code, "there is no such run")])
        return self.run

    def history(self, workflow: str, run: str) -> Sequence[StepEvent]:
        return self.events

    def start(self, workflow: str, input: Any) -> str:
        raise NotImplementedError

    def runs(self, workflow: str, limit: int) -> Sequence[RunState]:
        raise NotImplementedError

    def signal(self, workflow: str, run: str, name: str, payload: Any) -> None:
        raise NotImplementedError

    def cancel(self, workflow: str, run: str) -> None:
        raise NotImplementedError


def test_picture_of_a_run(plan: BuildPlan, tmp_path: Path) -> None:
    known = _Known(run_of("succeeded", 6), [*PAID, *SENT])

    def picture(*arguments: str) -> Any:
        @click.group()
        def group() -> None:
            """Stand for 'workflow'."""

        workflow_picture.register(group, lambda manifest, target, stage: (plan, known))
        return CliRunner().invoke(group, ["picture", *arguments])

    text = machine_svg(plan.workflow("sell"), known.run, known.events)
    assert picture("r-1", "--format", "svg").stdout == text
    assert picture("r-1", "--workflow", "sell", "-o", "r.svg").stdout == "r.svg\n"
    assert (tmp_path / "r.svg").read_text() == text
    error = picture("r-2").exception
    assert isinstance(error, DeploymentError) and error.diagnostics[0].code == "PF8040"
    assert isinstance(picture("r-1", "--workflow", "count").exception, DeploymentError)
    assert picture("r-1", "--workflow", "nothing").exit_code == 2
    known.code = "PF8001"
    error = picture("r-2").exception
    assert isinstance(error, DeploymentError) and error.diagnostics[0].code == "PF8001"
