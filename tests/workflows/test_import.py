"""``portafaas workflow import``: what is written compiles to what the machine is when it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from portafaas.cli import cli
from portafaas.errors import PlanError
from portafaas.manifest.load import load_manifest
from portafaas.manifest.text import parse
from portafaas.plan.machine_import import imported_machine
from portafaas.plan.machine_yaml import shorter, written
from tests.workflows.scripts import mapped
from tests.workflows.test_asl import ARN, FOLDER, _published, machine_of, planned

WAIT = {"Type": "Wait", "Seconds": 1.5, "End": True}
#: One of everything, with names and texts that YAML takes for something else.
MACHINE = {
    "Comment": "All of it,\nand more: # yes\u2028\u0007", "StartAt": "No", "States": {
        "No": {"Type": "Task", "Resource": ARN + "OneFn:live", "Comment": "first", "TimeoutSeconds": 30,
               "Parameters": {"yes": "no", "n": "1e5", "o": "0o7", "e": "", "p.$": "$.a['b c'][0]", "q": "$.kept", "null": None,
                              "t": "a: b # c", "u": "\U0001f600\u0085\ufeff\"\\\t", "-": "- x", "l": [1, "~", "1.0", 2.5]},
               "ResultSelector": {"k.$": "$.n"}, "ResultPath": "$.one",
               "Retry": [{"ErrorEquals": ["Busy"], "MaxDelaySeconds": 9, "JitterStrategy": "FULL"},
                         {"ErrorEquals": ["States.ALL"], "MaxAttempts": 0, "BackoffRate": 1.5}],
               "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "2nd"}],
               "OutputPath": "$.one", "Next": "Which"},
        "2nd": {"Type": "Fail", "Error": "E", "Cause": "true"},
        "Which": {"Type": "Choice", "Comment": "the way", "Default": "Both", "Choices": [
            {"And": [{"Variable": "$.n", "NumericGreaterThan": 1}, {"Not": {"Variable": "$.s", "StringMatches": "a*:b"}}],
             "Comment": "much", "Next": "2nd"}]},
        "Both": {"Type": "Parallel", "ResultPath": "$.both", "Next": "Each", "Branches": [
            {"StartAt": "L", "Comment": "left", "States": {"L": {"Type": "Pass", "Result": {"l": "$.x", "y": [{}, []]}, "End": True}}},
            {"StartAt": "R", "States": {"R": WAIT}}]},
        "Each": {"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 3, "Next": "Sub",
                 "ItemSelector": {"v.$": "$$.Map.Item.Value"}, "ItemProcessor": {
                     "Comment": "each", "StartAt": "Item", "States": {"Item": {"Type": "Task", "Resource": ARN + "two", "End": True}}}},
        "Sub": {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2",
                "Parameters": {"StateMachineArn": "${Inner}", "Input.$": "$"}, "Next": "Last"},
        "Last": {"Type": "Succeed", "OutputPath": "$.Output"},
    },
}  # fmt: skip
NAMES = {"OneFn": "one", "Inner": "inner"}


def same(tmp_path: Path, text: str, mapping: dict[str, str], name: str = "flow.asl.json") -> bool:
    """Import a machine; tell whether it could be, and compare it with the one that is read."""
    plan, problems = planned(tmp_path, text, mapping, name)
    manifest = load_manifest(tmp_path / "portafaas.yaml")
    try:
        steps, comments = imported_machine(text, name, mapping, manifest)
    except PlanError as exc:
        assert plan is None
        told = [(one.code, one.line, one.path) for one in exc.diagnostics]
        # A file that is no machine at all is none of either.
        assert told == [(one.code, one.line, one.path) for one in problems] or problems[0].code == "PF2220"
        return False
    for out, kind in (
        (written(shorter(steps), comments), "yaml"), (json.dumps({"steps": shorter(steps)}), "json"),
    ):  # fmt: skip
        again, wrong = planned(tmp_path, out, name=f"steps.{kind}")
        assert not wrong, [str(one) for one in wrong]
        assert machine_of(again) == machine_of(plan), name
    return True


@pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/cases is not here")
def test_published_machines(tmp_path: Path) -> None:
    files = _published()
    assert sum(same(tmp_path, file.read_text(), mapped(file.read_text())) for file in files) == 45


def test_a_machine_with_everything(tmp_path: Path) -> None:
    inner = "\n  inner: {steps: {last: {task: two}}}\n"
    project(tmp_path, inner)
    text = json.dumps(MACHINE)
    (tmp_path / "flow.asl.json").write_text(text)
    made = run(tmp_path, "flow.asl.json", *options(NAMES))
    assert made.exit_code == 0, made.output
    (tmp_path / "flow.yaml").write_text(made.stdout)
    assert run(tmp_path, "flow.asl.json", *options(NAMES)).stdout == made.stdout
    functions = ", ".join(f"{name}: {to}" for name, to in NAMES.items())
    project(tmp_path, f"{inner}  asl: {{file: flow.asl.json, functions: {{{functions}}}}}\n  yaml: {{file: flow.yaml}}\n")
    from portafaas.plan.build import build_plan

    plan = build_plan(load_manifest(tmp_path / "portafaas.yaml"))
    assert plan.workflow("yaml").machine == plan.workflow("asl").machine
    # The manifest says already what is what.
    assert run(tmp_path, "flow.asl.json").stdout == made.stdout
    for line in (
        "# All of it,", "# and more: # yes", "  # first", "    timeout: 30s", "  # 2nd:", "      # much",
        "      # left", "    # each", "    catch: [{next: s-2nd, result: null}]", '  s-2nd: {fail: {error: E, cause: "true"}}',
        "      - {errors: [Busy], attempts: 4, initial: 1s, factor: 2, max: 9s, jitter: true}",
        "  Sub: {workflow: inner, input: $, select: {Output: $}}", "  Last: {set: $.Output}",
    ):  # fmt: skip
        assert line in made.stdout.split("\n"), made.stdout
    assert "next: Both" not in made.stdout and max(map(len, made.stdout.split("\n"))) < 140


def project(tmp_path: Path, workflows: str = "") -> None:
    functions = "".join(f"  {one}: {{handler: 'h:x', trigger: {{task: {{}}}}}}\n" for one in ("one", "two"))
    text = f"portafaas: 1\nname: flow\nfunctions:\n{functions}  web: {{handler: 'h:x', trigger: {{http: {{path: /}}}}}}\n"
    (tmp_path / "h.py").write_text("def x(*_):\n    return None\n")
    (tmp_path / "portafaas.yaml").write_text(text + (f"workflows:{workflows}" if workflows else ""))


def options(names: dict[str, str]) -> list[str]:
    return [word for name, to in names.items() for word in ("--functions", f"{name}={to}")]


def run(tmp_path: Path, *words: str, given: str | None = None) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        return CliRunner().invoke(cli, ["workflow", "import", *words], input=given, prog_name="portafaas")


def machine(**states: Any) -> str:
    return json.dumps({"StartAt": next(iter(states)), "States": states}, indent=1)


def task(resource: str, **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": resource, **({} if "Next" in more else {"End": True}), **more}


def test_without_a_manifest(tmp_path: Path) -> None:
    text = machine(A=task(ARN + "one", Next="B"), B=task("${Other}"))
    made = run(tmp_path, "-", "--functions", "Other=far-away", given=text)
    assert made.stdout == "steps:\n  A: {task: one}\n  B: {task: far-away}\n"
    assert made.stderr == "its functions, with 'trigger: {task: {}}': far-away, one\n"
    made = run(tmp_path, "-", "--format", "json", "-o", "out/f.json", "--functions", "Other=b", given=text)
    assert made.exit_code == 0 and json.loads((tmp_path / "out/f.json").read_text()) == {
        "steps": {"A": {"task": "one"}, "B": {"task": "b"}}
    }
    wrong = run(tmp_path, "-", "-o", "g.yaml", given=text)
    assert (wrong.exit_code, wrong.stdout) == (2, "") and not (tmp_path / "g.yaml").exists()
    assert "stdin:11:16: PF2223 $.States.B.Resource: no function is called 'Other'" in wrong.stderr
    assert "--functions Other=" in wrong.stderr
    # One that is named has to be there.
    assert "PF1000" in run(tmp_path, "-", "-m", "portafaas.yaml", given=text).stderr
    assert run(tmp_path, "-", "--functions", "Other", given=text).exit_code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (machine(A=task(ARN + "nobody", Next="B", HeartbeatSeconds=1), B={"Type": "Pass", "Assign": {}, "Nexd": "A", "End": True}),
         [("PF2221", "$.States.A.HeartbeatSeconds"), ("PF2223", "$.States.A.Resource"), ("PF2221", "$.States.B.Assign"),
          ("PF2222", "$.States.B.Nexd")]),
        (machine(A=task(ARN + "web")), [("PF2205", "$.States.A")]),
        (machine(A=task(ARN + "one", Retry=[{"ErrorEquals": ["A", "A"]}])), [("PF2221", "$.States.A")]),
        (machine(A=task(ARN + "one", Parameters={"k": "\ud800"})), [("PF2221", "$.States.A")]),
        (machine(A={"Type": "Succeed"}, B={"Type": "Succeed"}), [("PF2207", "$.States.B")]),
        ('{"StartAt": "A"\n}}', [("PF1005", None)]),
        ('{"steps": {"a": {"task": "one"}}}', [("PF2222", "$.steps")]),
        ("[]", [("PF2222", "$")]),
        ("", [("PF1005", None)]),
    ],
)  # fmt: skip
def test_what_is_not_imported(tmp_path: Path, text: str, told: list[Any]) -> None:
    project(tmp_path)
    (tmp_path / "m.json").write_text(text)
    wrong = run(tmp_path, "m.json", "--format", "json", "-o", "out.yaml")
    assert (wrong.exit_code, wrong.output.count("Traceback")) == (2, 0)
    found = json.loads(wrong.output)["diagnostics"]
    assert [(one["code"], one.get("path")) for one in found] == told
    assert all(one["file"] == "m.json" and (one.get("line") or not text) for one in found)
    assert not (tmp_path / "out.yaml").exists()


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
    | st.sampled_from(["yes", "1e5", ".5", "0x1f", "- a", "a: b", "a #b", "? a", "~", "1.", "30s", "a,b", "<<", "=", "a:", "---", "a b  c"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=25,
)  # fmt: skip


@given(VALUES, TEXTS)
def test_what_is_written_is_what_is_read(value: Any, comment: str) -> None:
    steps = {"a": {"set": value, "end": True}, "b": {"parallel": {"x": {"steps": {"c": {"set": [value, value]}}}}}}
    comments: dict[Any, list[str]] = {(): [comment], ("steps", "a"): [comment], ("steps", "b", "parallel", "x"): [comment]}
    found, _, problems = parse(written(steps, comments), "w.yaml")
    assert not problems, written(steps, comments)
    assert json.dumps(found) == json.dumps({"steps": steps})
