"""Functions with a task trigger, and workflows, in a plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from portafaas.errors import Diagnostic, PortafaasError
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.plan.model import TaskTrigger

HEAD = """\
portafaas: 1
name: shop
functions:
  web: {handler: "m:f", trigger: {http: {path: /}}, uses: [{start: w}]}
  pay: {handler: "m:f", trigger: {task: {}}}
"""
Planned = Callable[[str], BuildPlan]


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    def plan(more: str) -> BuildPlan:
        (tmp_path / "m.py").write_text(
            "from portafaas.runtime import QueueHandler, TaskHandler\n\n"
            "def f(task, context): ...\n\n"
            "class T(TaskHandler):\n    def handle(self, task, context): ...\n\n"
            "class Q(QueueHandler):\n    def handle(self, message, context): ...\n"
        )
        (tmp_path / "portafaas.yaml").write_text(HEAD + more)
        return build_plan(load_manifest(tmp_path / "portafaas.yaml"))

    return plan


def problems(planned: Planned, more: str) -> list[Diagnostic]:
    with pytest.raises(PortafaasError) as info:
        planned(more)
    return list(getattr(info.value, "diagnostics", ()))


def test_a_task_and_who_starts_it(planned: Planned) -> None:
    plan = planned("workflows: {w: {input: {type: object}, steps: {a: {task: pay}}}}\n")
    web, pay = plan.functions
    assert pay.trigger == TaskTrigger()
    assert pay.kind == "task"
    assert [(use.verb, use.kind, use.name) for use in web.uses] == [("start", "workflow", "w")]
    (workflow,) = plan.workflows
    assert workflow is plan.workflow("w")
    assert workflow.input.document == {"type": "object"}
    assert workflow.machine == {
        "start": "a", "steps": {"a": {"kind": "task", "function": "pay", "next": None}},
        "input": {"type": "object"}, "check": "pay",
    }  # fmt: skip


def test_the_class_of_a_handler_fits(planned: Planned) -> None:
    rest = "workflows: {w: {steps: {a: {task: b}}}}\n"
    planned('  b: {handler: "m:T", trigger: {task: {}}}\n' + rest)
    (problem,) = problems(planned, '  b: {handler: "m:Q", trigger: {task: {}}}\n' + rest)
    assert (problem.code, problem.line) == ("PF2012", 6)


@pytest.mark.parametrize(
    ("steps", "code", "line", "path"),
    [
        ("{}", "PF1001", 7, "w.steps"),
        ("{a: {task: pai}}", "PF2002", 7, "w.steps.a.task"),
        ("{a: {task: web}}", "PF2205", 7, "w.steps.a.task"),
        ("{a: {workflow: x}}", "PF2002", 7, "w.steps.a.workflow"),
        ("{a: {workflow: w}}", "PF2206", 7, "w"),
        ("{a: {task: pay, compensate: {task: web}}}", "PF2205", 7, "w.steps.a.compensate.task"),
        ("{a: {input: $.x}}", "PF2202", 7, "w.steps.a"),
        ("{a: {task: pay, workflow: w}}", "PF2202", 7, "w.steps.a"),
        ("{a: {wait: {seconds: 1, signal: x}}}", "PF2202", 7, "w.steps.a.wait"),
        ("{a: {wait: {seconds: 1}, result: $.x}}", "PF2203", 7, "w.steps.a"),
        ("{a: {set: 1, retry: {}}}", "PF2203", 7, "w.steps.a.retry"),
        ("{a: {task: pay, next: b, end: true}, b: {succeed: true}}", "PF2203", 7, "w.steps.a.end"),
        ("{a: {task: pay, next: c}}", "PF2204", 7, "w.steps.a.next"),
        ("{a: {choice: [{when: {$: {is: present}}, next: b}]}}", "PF2204", 7,
         "w.steps.a.choice[0].next"),
        ("{a: {choice: [{when: {$: {is: present}}, next: b}], default: c}, b: {succeed: true}}",
         "PF2204", 7, "w.steps.a.default"),
        ("{a: {task: pay, catch: [{next: z}]}}", "PF2204", 7, "w.steps.a.catch[0].next"),
        ("{a: {loop: {while: {$: {is: present}}, most: 1, steps: {a: {task: pay}}}}}", "PF2201", 7,
         "w.steps.a.loop.steps.a"),
        ("{a: {map: {items: $.x, steps: {b: {task: pay}}}}}", "PF1004", 7, "w.steps.a.map"),
        ("{a: {loop: {while: {$: {is: present}}, steps: {b: {task: pay}}}}}", "PF1004", 7,
         "w.steps.a.loop"),
    ],
)  # fmt: skip
def test_bad_steps(planned: Planned, steps: str, code: str, line: int, path: str) -> None:
    found = problems(planned, f"workflows:\n  w: {{steps: {steps}}}\n")
    (problem,) = [one for one in found if one.code == code]
    assert problem.line == line
    assert problem.path == f"$.workflows.{path}", problem


def test_no_steps(planned: Planned) -> None:
    (problem,) = problems(planned, "workflows: {w: {}}\n")
    assert (problem.code, problem.path) == ("PF2200", "$.workflows.w")
    (problem,) = problems(
        planned, "workflows: {w: {steps: {a: {task: pay}}, functions: {x: pay}}}\n"
    )
    assert (problem.code, problem.path) == ("PF2203", "$.workflows.w.functions")


def test_workflows_that_run_each_other(planned: Planned) -> None:
    found = problems(
        planned, "workflows:\n  w: {steps: {a: {workflow: v}}}\n  v: {steps: {b: {workflow: w}}}\n"
    )
    assert [(one.code, one.line) for one in found] == [("PF2206", 7), ("PF2206", 8)]


def test_what_another_runs_waits_for_no_signal(planned: Planned) -> None:
    """Google's engine has one run for both, AWS's two: nobody could say whose signal it is."""
    text = "workflows:\n  w: {steps: {a: {workflow: v}}}\n  v: {steps: {b: {wait: {signal: go}}}}\n"
    found = problems(planned, text)
    assert [(one.code, one.line, one.path) for one in found] == [("PF2218", 8, "$.workflows.v")]
