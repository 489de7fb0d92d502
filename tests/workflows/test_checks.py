"""What is wrong with a workflow is said when it is planned: code, line and path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portafaas.errors import Diagnostic, PlanError
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from tests.workflows.cases import CASES, Case
from tests.workflows.scripts import FUNCTIONS, HERE, project

HEAD = (HERE / "portafaas.yaml").read_text() + "workflows:\n  w:\n"


def planned(tmp_path: Path, text: str) -> list[Diagnostic]:
    """Return the problems of a manifest whose workflow ``w`` is *text*, with lines from 1 of it."""
    (tmp_path / "scripted.py").write_text((HERE / "scripted.py").read_text())
    file = tmp_path / "portafaas.yaml"
    file.write_text(HEAD + "".join(f"    {line}\n" for line in text.strip("\n").splitlines()))
    try:
        build_plan(load_manifest(file))
    except PlanError as exc:
        return list(exc.diagnostics)
    return []


#: code, line of the text, path within the workflow, a word of the message; the text.
BAD: list[tuple[str, int, str, str, str]] = [
    ("PF2219", 2, "input.unevaluatedProperties", "'unevaluatedProperties' is not evaluated on all engines", """
input:
  unevaluatedProperties: false
steps:
  a: {task: one}
"""),
    ("PF2219", 1, "output", "calls no function, whose code could check it", """
output: {type: object}
steps:
  a: {set: {n: 1}}
"""),
    ("PF2213", 2, "steps.a.catch[0].errors", "there is no error 'Schema.InvalidInputs'", """
steps:
  a: {task: one, catch: [{errors: [Schema.InvalidInputs], next: b}]}
  b: {task: two}
"""),
    ("PF2207", 3, "steps.b", "no step leads to 'b'", """
steps:
  a: {task: one, end: true}
  b: {task: two}
"""),
    ("PF2207", 6, "steps.p.parallel.x.steps.c", "no step leads to 'c'", """
steps:
  p:
    parallel:
      x: {steps: {
        b: {succeed: true},
        c: {task: two}}}
"""),
    ("PF2208", 3, "steps.b", "from 'b' no way leads to an end: b, c", """
steps:
  a: {task: one}
  b: {task: two}
  c: {task: one, next: b}
"""),
    ("PF2208", 2, "steps.a", "nothing is called or waited for: a, b", """
steps:
  a: {choice: [{when: {$.x: {is: present}}, next: c}], default: b}
  b: {set: "$.y", next: a}
  c: {task: one}
"""),
    ("PF2209", 2, "steps.a.input", "a name is missing", """
steps:
  a: {task: one, input: "$..x"}
"""),
    ("PF2209", 2, "steps.a.input.k[1]", "an index is missing", """
steps:
  a: {task: one, input: {k: [1, "$[x]"]}}
"""),
    ("PF2209", 2, "steps.a.result", "nothing can be put at $.x[0]", """
steps:
  a: {task: one, result: "$.x[0]"}
"""),
    ("PF2209", 3, "steps.a.catch[0].result", "nothing can be put at $$.Execution.Id", """
steps:
  a: {task: one, catch: [
       {next: b, result: $$.Execution.Id}]}
  b: {succeed: true}
"""),
    ("PF2209", 2, "steps.a.choice[0].when['$.x y']", "nothing may be ' '", """
steps:
  a: {choice: [{when: {"$.x y": {"==": 1}}, next: b}], default: b}
  b: {succeed: true}
"""),
    ("PF2210", 2, "steps.a.input", "the context has no $$.Map.Item.Index", """
steps:
  a: {task: one, input: $$.Map.Item.Index}
"""),
    ("PF2210", 3, "steps.b.input.x", "there is never anything at $.m", """
steps:
  a: {set: {n: 1}}
  b: {task: one, input: {x: $.m}}
"""),
    ("PF2210", 3, "steps.a.input", "there is never anything at $.totl", """
input: {schema: 1, type: object, properties: {total: {type: number}}}
steps:
  a: {task: one, input: $.totl}
"""),
    ("PF2210", 3, "steps.a.map.items", "$.total that is a list", """
input: {type: object, properties: {total: {type: number}}}
steps:
  a: {map: {items: $.total, most: 3, steps: {b: {task: one}}}}
"""),
    ("PF2210", 3, "steps.a.map.steps.b.input", "there is never anything at $.skuu", """
input: {type: object, properties: {lines: {type: array, items: {type: object, properties: {sku: {type: string}}}}}}
steps:
  a: {map: {items: $.lines, most: 3, steps: {b: {task: one, input: $.skuu}}}}
"""),
    ("PF2210", 3, "steps.a.map.steps.b.input", "there is never anything at $.e.error", """
steps:
  a: {map: {items: $$.Execution.Input, most: 3, each: {n: 1}, steps: {
       x: {task: one, result: null, catch: [{next: b, result: $.e}], end: true}, b: {task: one, input: $.e.error}}}}
"""),
    ("PF2210", 3, "steps.l.loop.steps.b.input", "there is never anything at $.q", """
steps:
  a: {set: {n: 1}}
  l: {loop: {while: {$.n: {"<": 3}}, most: 3, steps: {b: {task: one, input: $.q, result: $.n}}}}
"""),
    ("PF2210", 3, "steps.b.result", "its place is in no object", """
steps:
  a: {set: {n: 1}}
  b: {task: one, result: $.n.x}
"""),
    ("PF2211", 2, "steps.a.choice[0].when['$.x']['=']", "no operator '='", """
steps:
  a: {choice: [{when: {$.x: {"=": 1}}, next: b}], default: b}
  b: {succeed: true}
"""),
    ("PF2211", 2, "steps.a.choice[0].when['$.x']['<']", "takes a number", """
steps:
  a: {choice: [{when: {$.x: {"<": true}}, next: b}], default: b}
  b: {succeed: true}
"""),
    ("PF2211", 2, "steps.a.choice[0].when.total", "neither a path", """
steps:
  a: {choice: [{when: {total: {"<": 1}}, next: b}], default: b}
  b: {succeed: true}
"""),
    ("PF2211", 2, "steps.a.choice[0].when['$.x'].matches", "before no *", """
steps:
  a: {choice: [{when: {$.x: {matches: 'a\\b*\\*'}}, next: b}], default: b}
  b: {succeed: true}
"""),
    ("PF2211", 2, "steps.a.choice[0].when['$.x'].is", "nothing is 'integer'", """
steps:
  a: {choice: [{when: {$.x: {is: integer}}, next: b}], default: b}
  b: {succeed: true}
"""),
    ("PF2211", 2, "steps.a.loop.while.not.and[0]['$.x']", "compared with one thing", """
steps:
  a: {loop: {while: {not: {and: [{$.x: {"<": 1, ">": 0}}]}}, most: 3, steps: {b: {task: one}}}}
"""),
    ("PF2211", 2, "steps.a.choice[0].when['$.x']['==']", "equal to nothing", """
steps:
  a: {choice: [{when: {$.x: {"==": []}}, next: b}], default: b}
  b: {succeed: true}
"""),
    ("PF2211", 2, "steps.a.choice[0].when.or", "has a list", """
steps:
  a: {choice: [{when: {or: {$.x: {"<": 1}}}, next: b}], default: b}
  b: {succeed: true}
"""),
    ("PF2212", 2, "steps.a.input", "a list in a template", """
steps:
  a: {task: one, input: [{x: $.y}, 1]}
"""),
    ("PF2212", 2, "steps.a.input", "$literal stands alone", """
steps:
  a: {task: one, input: {$literal: 1, x: 2}}
"""),
    ("PF2213", 2, "steps.a.retry.errors", "no error 'States.Timeot'", """
steps:
  a: {task: one, retry: {errors: [States.Timeot]}}
"""),
    ("PF2213", 2, "steps.a.catch[0].errors", "nobody catches or retries States.Runtime", """
steps:
  a: {task: one, catch: [{errors: [States.Runtime], next: b}]}
  b: {succeed: true}
"""),
    ("PF2213", 2, "steps.a.fail.error", "an error that engines make", """
steps:
  a: {fail: {error: States.Timeout}}
"""),
    ("PF2214", 3, "steps.a.retry[1]", "take Busy already", """
steps:
  a: {task: one, retry: [{attempts: 2},
       {errors: [Busy]}]}
"""),
    ("PF2214", 2, "steps.a.catch[0].errors", "States.ALL stands alone", """
steps:
  a: {task: one, catch: [{errors: [States.ALL, Busy], next: b}]}
  b: {succeed: true}
"""),
    ("PF2214", 3, "steps.a.compensate.retry[1]", "take Busy already", """
steps:
  a: {task: one, compensate: {task: undo, retry: [{errors: [States.TaskFailed]},
       {errors: [Busy]}]}}
"""),
    ("PF2216", 2, "steps.m", "signal 'go' may be waited for twice", """
steps:
  m: {map: {items: $.x, most: 3, steps: {w: {wait: {signal: go}}}}}
"""),
    ("PF2216", 2, "steps.p", "signal 'go' may be waited for twice", """
steps:
  p: {parallel: {x: {steps: {v: {wait: {signal: go}}}}, y: {steps: {w: {wait: {signal: go}}}}}}
"""),
    ("PF2217", 2, "steps.a.wait.until", "no time in UTC", """
steps:
  a: {wait: {until: tomorrow}}
"""),
    ("PF2225", 3, "steps.a.input.t[1]", "the intrinsic function States.Format", """
steps:
  a: {task: one, input: {t: [x,
    "States.Format('{}', $.a)"]}}
"""),
    ("PF2225", 2, "steps.a.select", "JSONata", """
steps:
  a: {task: one, select: "{% $states.result %}"}
"""),
    ("PF2225", 2, "steps.a.set.k", "a variable of Step Functions", """
steps:
  a: {set: {k: $states.input.a}}
"""),
    ("PF2225", 2, "steps.a.compensate.input['x.$']", "a key of the States Language", """
steps:
  a: {task: one, compensate: {task: undo, input: {x.$: $.a}}}
"""),
    ("PF2225", 2, "steps.a.fail.cause", "States.JsonToString", """
steps:
  a: {fail: {error: E, cause: States.JsonToString($)}}
"""),
    ("PF2225", 2, "steps.a.choice[0].when['$.x']['==']", "JSONata", """
steps:
  a: {choice: [{when: {$.x: {==: "{% $y %}"}}, next: b}], default: b}
  b: {succeed: true}
"""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "line", "path", "word", "text"), BAD, ids=[f"{b[0]}-{i}" for i, b in enumerate(BAD)]
)
def test_bad(tmp_path: Path, code: str, line: int, path: str, word: str, text: str) -> None:
    text = text.replace("schema: 1, ", "")
    (problem,) = planned(tmp_path, text)
    assert (problem.code, problem.path) == (code, f"$.workflows.w.{path}"), str(problem)
    assert word in problem.message
    assert problem.line == HEAD.count("\n") + line
    assert problem.hint or code == "PF2211"


def test_all_at_once(tmp_path: Path) -> None:
    found = planned(
        tmp_path,
        """
steps:
  a: {task: one, input: $..x, retry: {errors: [States.Nope]}, end: true}
  b: {choice: [{when: {$.x: {like: 1}}, next: a}]}
""",
    )
    assert [one.code for one in found] == ["PF2207", "PF2209", "PF2213", "PF2211"]


def test_depth_and_number_of_steps(tmp_path: Path) -> None:
    steps: dict[str, Any] = {"last": {"task": "one"}}
    for level in range(10):
        steps = {f"p{level}": {"parallel": {"x": {"steps": steps}}}}
    case = Case("deep", steps)
    with pytest.raises(PlanError) as info:
        build_plan(load_manifest(project(tmp_path, [case])))
    assert [one.code for one in info.value.diagnostics] == ["PF2215"]
    case = Case("deep", steps["p9"]["parallel"]["x"]["steps"])
    build_plan(load_manifest(project(tmp_path, [case])))
    case = Case("wide", {f"s{number}": {"task": "one"} for number in range(1001)})
    with pytest.raises(PlanError, match="PF2215"):
        build_plan(load_manifest(project(tmp_path, [case])))


@pytest.mark.parametrize(
    "text",
    [
        # Perhaps there: not certain.
        "input: {type: object, properties: {a: {type: string}}, additionalProperties: true}\n"
        "steps: {x: {task: one, input: $.b}}",
        "steps: {x: {task: one, catch: [{next: y, result: $.e}]}, y: {task: two, input: $.e.Error}}",
        "steps:\n  x: {choice: [{when: {$.gone: {is: present}}, next: y}], default: z}\n"
        "  y: {set: {a: 1}}\n  z: {task: one, input: $.a}",
        "steps:\n  x: {set: {n: 0}}\n  l: {loop: {while: {$.n: {'<': 2}}, most: 2, steps:\n"
        "      {a: {task: one, result: $.k}}}}\n  z: {task: one, input: $.k.x}",
        # A circle with a way out and a task.
        "steps:\n  a: {task: one}\n"
        "  b: {choice: [{when: {$.n: {'<': 2}}, next: a}], default: c}\n  c: {succeed: true}",
        # Texts that look like paths a little; constant lists of lists.
        "steps: {a: {task: one, input: {a: $5, b: $x, c: [[1], [2]], d: [{$literal: {x: $.y}}]}}}",
        # What Step Functions would evaluate, meant as it stands; and what only looks like it.
        "steps: {a: {task: one, input: {a: {$literal: {x.$: 'States.UUID()'}}, b: States.UUID, c: '{%'}}}",
        # One after the other.
        "steps:\n  a: {wait: {signal: go}}\n  b: {wait: {signal: go}}",
    ],
)  # fmt: skip
def test_right(tmp_path: Path, text: str) -> None:
    assert planned(tmp_path, text) == []


def test_all_cases_in_one_project(tmp_path: Path) -> None:
    plan = build_plan(load_manifest(project(tmp_path, CASES)))
    assert {function.name for function in plan.functions} == set(FUNCTIONS)
    assert len(plan.workflows) > len(CASES)


def test_what_certainly_is_no_input_of_a_sub_workflow(tmp_path: Path) -> None:
    inner = {"t": {"task": "one"}}
    schema = {"inner": {"input": {"required": ["id"]}}}
    wrong = {"a": {"parallel": {"b": {"steps": {"c": {"workflow": "inner", "input": {"n": {"$literal": "$"}}}}}}}}
    case = Case("w", wrong, workflows={"inner": inner}, schemas=schema)
    with pytest.raises(PlanError) as found:
        build_plan(load_manifest(project(tmp_path, [case])))
    (problem,) = found.value.diagnostics
    assert (problem.code, problem.path) == ("PF2224", "$.workflows.w.steps.a.parallel.b.steps.c.input")
    assert problem.message == "this is no input of workflow 'w-inner': $: \"id\" is missing"
    for input in ({"id": 1}, {"n": "$.x"}, "$"):
        right = {"c": {"workflow": "inner", "input": input}}
        build_plan(load_manifest(project(tmp_path, [Case("w", right, workflows={"inner": inner}, schemas=schema)])))
