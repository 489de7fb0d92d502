"""Sources of workflows, what is refused, and what is around them; nothing runs here."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas_gcp.adapter import ADAPTER
from portafaas_gcp.infrastructure.verify import verify
from portafaas_gcp.runtime.workflow import decoded, encoded
from portafaas_gcp.workflows import source
from portafaas_gcp.workflows.conditions import program
from portafaas_gcp.workflows.expressions import Rendering, every_expression, literal
from tests.workflows.cases import CASES
from tests.workflows.generated import FAMILIES, generate
from tests.workflows.scripts import project

SHARED = Path(__file__).parents[4] / "shared"
SCHEMA = SHARED / "cases/workflows/google/jsonschema-workflows.json"


def _plan(tmp_path: Path, workflows: Any, **more: Any) -> BuildPlan:
    import yaml

    file = project(tmp_path / "p", [])
    document = yaml.safe_load(file.read_text())
    document |= {"workflows": {name: {"steps": steps} for name, steps in workflows.items()}}
    document["functions"] |= more
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return build_plan(load_manifest(file), "gcp")


def _source(plan: BuildPlan, name: str) -> Any:
    return source(plan, plan.workflow(name), "https://{}.example".format)


def _messages(plan: BuildPlan) -> list[str]:
    found = ADAPTER.check(plan)
    assert {one.code for one in found} <= {"PF3002"}
    return [one.message for one in found if one.severity == "error"]


TASK = {"a": {"task": "one"}}


def _nested(depth: int, inside: Any) -> Any:
    for level in range(depth):
        inside = {f"p{level}": {"parallel": {"b": {"steps": inside}}}}
    return inside


@pytest.mark.parametrize("name", ["a", "a-b", "a_b", "_d", "-u", "x--__y_d-u", "A9"])
def test_names_go_and_come_back(name: str) -> None:
    assert decoded(encoded(name)) == name
    assert "__" not in encoded(name) and encoded(name).replace("_", "a").isalnum()


def test_texts_stand_for_themselves() -> None:
    assert literal("plain {$}") == "plain {$}"
    assert literal('a ${b} "\\') == r'${"a " + "$" + "{" + "b} \"\\"}'
    assert literal({"x": ["${", 1, None]}) == {"x": ['${"" + "$" + "{" + ""}', 1, None]}


def test_templates() -> None:
    rendering = Rendering("s")
    template = {"a": "$.x['y z']", "b": "$$.Execution.Id", "c": {"$literal": "$.x"}, "d": "$"}
    assert rendering.value(template) == {
        "a": '${document["x"]["y z"]}',
        "b": '${context["Execution"]["Id"]}',
        "c": "$.x",
        "d": "${document}",
    }
    assert not rendering.steps
    # What an index of a text is, nobody says: it is looked up.
    assert rendering.value("$.list[0]") == "${found_0}"
    assert rendering.value("$['${']") == "${found_1}"
    (step,) = rendering.steps[0].values()
    assert (step["call"], step["args"]["path"]) == ("portafaas_at", ["list", 0])
    assert rendering.steps[1]["s__at_1"]["args"]["path"] == ['${"" + "$" + "{" + ""}']


def test_conditions_compare_no_more_than_they_must() -> None:
    one, two, three = ({f"$.{name}": {"==": 1}} for name in "abc")
    found = program([{"or": [{"and": [one, {"not": two}]}, three]}, two])
    jumps = [(leaf["path"], leaf["yes"], leaf["no"]) for leaf in found]
    # -1 and -2 are the rules, -3 is that none holds.
    assert jumps == [(["a"], 1, 2), (["b"], 2, -1), (["c"], -1, 3), (["b"], -2, -3)]


def _checked(made: Any) -> None:
    assert all(len(code) <= 400 for code in every_expression(made))
    assert len(json.dumps(made, separators=(",", ":"))) <= 131_072
    for routine, body in made.items():
        steps: list[str] = []
        targets: list[str] = []
        _walk(body["steps"], steps, targets)
        assert len(steps) == len(set(steps)), routine
        assert set(targets) <= set(steps), routine


def _walk(value: Any, steps: list[str], targets: list[str]) -> None:
    """Collect names of steps and where they go."""
    for step in value:
        ((name, body),) = step.items()
        assert name.replace("_", "a").isalnum() and name.isascii()
        steps.append(name)
        assert len(body.get("assign", ())) <= 50 and len(body.get("switch", ())) <= 50
        assert len(body.get("parallel", {}).get("branches", ())) <= 10
        targets += [body["next"]] if "next" in body else []
        targets += [rule["next"] for rule in body.get("switch", ()) if "next" in rule]
        parts = [body.get("try", {}), body.get("except", {}), body.get("for", {})]
        parts += body.get("switch", ())
        parallel = body.get("parallel", {})
        parts += [parallel.get("for", {})]
        parts += [next(iter(branch.values())) for branch in parallel.get("branches", ())]
        for part in parts:
            if isinstance(part, dict) and "steps" in part:
                _walk(part["steps"], steps, targets)


def test_sources_keep_the_platform_s_rules(tmp_path: Path) -> None:
    for case in [*CASES, *(generate(family, seed) for family in FAMILIES for seed in range(3))]:
        plan = build_plan(load_manifest(project(tmp_path / "p", [case])), "gcp")
        _checked(_source(plan, case.name))


def test_sources_fit_google_s_schema(tmp_path: Path) -> None:
    if not SCHEMA.exists():
        pytest.skip("shared/cases is not beside the repository")
    from jsonschema import Draft7Validator

    schema = json.loads(SCHEMA.read_text())
    # It knows expressions for an address, but not for a timeout; the reference knows them for all:
    # https://cloud.google.com/workflows/docs/reference/syntax/expressions
    arguments = schema["definitions"]["args"]["properties"]
    arguments["timeout"] = {"anyOf": [arguments["timeout"], arguments["url"]["anyOf"][1]]}
    validator = Draft7Validator(schema)
    assert list(validator.iter_errors({"main": {"steps": [{"a": {"call": 3}}]}}))
    for case in CASES[::3]:
        plan = build_plan(load_manifest(project(tmp_path / "p", [case])), "gcp")
        for error in validator.iter_errors(_source(plan, case.name)):
            raise AssertionError(f"{case.name}: {list(error.path)}: {error.message[:300]}")


def test_more_branches_than_the_platform_has_are_iterations(tmp_path: Path) -> None:
    branches = {f"b{i}": {"steps": {f"t{i}": {"task": "one"}}} for i in range(60)}
    plan = _plan(tmp_path, {"wide": {"p": {"parallel": branches}}})
    made = _source(plan, "wide")
    _checked(made)
    text = json.dumps(made)
    assert '"range": [0, 59]' in text and '"branches"' not in text
    assert not _messages(plan)


def test_what_one_execution_cannot_nest_has_its_own(tmp_path: Path) -> None:
    flat = _source(_plan(tmp_path, {"w": _nested(2, TASK)}), "w")
    assert "portafaas_apart" not in flat
    deep = _source(_plan(tmp_path, {"w": _nested(3, TASK)}), "w")
    assert "portafaas_apart" in deep
    _checked(deep)
    late = {"w": {"c": {"workflow": "child", "timeout": "5s"}}, "child": TASK}
    assert "portafaas_apart" in _source(_plan(tmp_path, late), "w")
    # A child that is called from within two parallel steps, and has one.
    mixed = {"w": _nested(2, {"c": {"workflow": "child"}}), "child": _nested(1, TASK)}
    assert "portafaas_apart" in _source(_plan(tmp_path, mixed), "w")


def test_what_is_refused(tmp_path: Path) -> None:
    signal = {"s": {"wait": {"signal": "go"}}}
    long = {f"s{i}": {"task": "one", "input": {"text": "x" * 200}} for i in range(400)}
    loops: Any = TASK
    for level in range(3):
        loops = {f"l{level}": {"loop": {"while": {"$.n": {"==": 1}}, "most": 1000, "steps": loops}}}
    for steps, wanted in (
        ({"a": {"task": "one", "timeout": "1h"}}, "over the 1800 s of a call"),
        ({"a": {"wait": {"signal": "go", "timeout": "400d"}}}, "over a year"),
        (_nested(3, signal), "No signal gets there"),
        (long, "its source would have"),
        ({"a": {"task": "one", "input": {"${x}": 1}}}, "which an expression begins with"),
        ({"a": {"task": "one", "input": "${" + "x" * 400}}, "an expression would have"),
    ):
        (message,) = _messages(_plan(tmp_path, {"w": steps}))
        assert wanted in message
    deep = {"w": _nested(9, {"c": {"workflow": "child"}}), "child": _nested(5, TASK)}
    (message,) = _messages(_plan(tmp_path, deep))
    assert "calls would be within one another" in message
    plan = _plan(tmp_path, {"w": loops})
    assert not _messages(plan)
    assert any("of Google's steps" in one.message for one in ADAPTER.check(plan))
    slow = {"handler": "scripted:slow", "timeout": "31m", "trigger": {"task": {}}}
    assert any("1800 s of task" in one for one in _messages(_plan(tmp_path, {}, slow=slow)))
    with pytest.raises(AssertionError):
        # The check above is what keeps such a source from being written down.
        _checked(_source(_plan(tmp_path, {"w": long}), "w"))


STARTS = {
    "handler": "scripted:one", "trigger": {"task": {}}, "uses": [{"start": "w"}],
}  # fmt: skip


def _document(plan: BuildPlan) -> Any:
    (document,) = ADAPTER.infrastructure(plan).documents.values()
    return document


def test_infrastructure(tmp_path: Path) -> None:
    # A function of the workflow that starts it: no circle.
    plan = _plan(tmp_path, {"w": {**TASK, "b": {"task": "three"}}}, three=STARTS)
    document = _document(plan)
    resources = document["resource"]
    body = resources["google_workflows_workflow"]["w"]
    assert body["name"] == "flow-w" and body["region"] == "${var.region}"
    assert body["service_account"] == "${google_service_account._workflow__w.id}"
    text = body["source_contents"]
    assert "$${document}" in text and "portafaas.invalid" not in text
    assert '"url":"${google_cloudfunctions2_function.one.service_config[0].uri}"' in text
    invokers = resources["google_cloud_run_service_iam_member"]
    # Nobody else may call a task; the others are not called.
    assert set(invokers) == {"one__workflow__w", "three__workflow__w"}
    assert {one["member"] for one in invokers.values()} == {
        "${google_service_account._workflow__w.member}"
    }
    config = resources["google_cloudfunctions2_function"]["three"]["service_config"]
    assert config["ingress_settings"] == "ALLOW_INTERNAL_ONLY"
    place = "projects/${var.project}/locations/${var.region}/workflows/flow-w"
    assert config["environment_variables"]["PORTAFAAS_WORKFLOW_W"] == place
    project_roles = {
        (one["role"], one["member"]) for one in resources["google_project_iam_member"].values()
    }
    assert (
        "roles/workflows.invoker",
        "${google_service_account.three.member}",
    ) in project_roles
    made = ADAPTER.infrastructure(plan)
    granted = {(one.function, one.grant, one.scope) for one in made.permissions}
    assert ("workflow w", "roles/run.invoker", "flow-one") in granted
    assert ("three", "roles/workflows.invoker", "projects/${var.project}") in granted
    assert any(note.code == "PF3010" and "workflow" in note.message for note in made.notes)
    assert not verify(document)


def test_mistakes_are_caught(tmp_path: Path) -> None:
    plan = _plan(tmp_path, {"w": {**TASK, "b": {"task": "three"}}}, three=STARTS)
    sound = _document(plan)
    workflow = lambda d: d["resource"]["google_workflows_workflow"]["w"]  # noqa: E731
    grants = lambda d: d["resource"]["google_cloud_run_service_iam_member"]  # noqa: E731
    roles = lambda d: d["resource"]["google_project_iam_member"]  # noqa: E731

    def spoil_text(document: Any) -> None:
        body = workflow(document)
        body["source_contents"] = body["source_contents"].replace(
            "_function.one.", "_function.two."
        )

    mistakes: list[tuple[Any, str]] = [
        (spoil_text, "calls ${google_cloudfunctions2_function.two.name}, but may not"),
        (lambda d: workflow(d).update(service_account="${google_service_account.one.id}"),
         "which is not its own"),
        (lambda d: workflow(d).update(name="other"), "which the document does not make"),
        (lambda d: workflow(d).pop("source_contents"), "source_contents is missing"),
        (lambda d: workflow(d).update(source_contents="{" + "x" * 140_000), "is not like"),
        (lambda d: grants(d)["one__workflow__w"].update(
            member="${google_service_account.two.member}"), "is not the function's own account"),
        (lambda d: grants(d)["one__workflow__w"].update(member="allUsers"), "does not go with"),
        (lambda d: roles(d).pop("_workflow__w__logs"), "on the project, not"),
        (lambda d: roles(d).pop("three__start__workflows"), "or the reverse"),
        (lambda d: roles(d)["_workflow__w__logs"].update(role="roles/workflows.invoker"),
         "on the project, not"),
    ]  # fmt: skip
    for spoil, wanted in mistakes:
        document = copy.deepcopy(sound)
        spoil(document)
        assert any(wanted in problem for problem in verify(document)), wanted


def test_parts_need_the_right_to_start(tmp_path: Path) -> None:
    document = _document(_plan(tmp_path, {"w": _nested(3, TASK)}))
    roles = document["resource"]["google_project_iam_member"]
    assert roles["_workflow__w__starts"]["role"] == "roles/workflows.invoker"
    assert not verify(document)
    del roles["_workflow__w__starts"]
    workflow = document["resource"]["google_workflows_workflow"]["w"]
    workflow["depends_on"].remove("google_project_iam_member._workflow__w__starts")
    assert any("on the project" in problem for problem in verify(document))
