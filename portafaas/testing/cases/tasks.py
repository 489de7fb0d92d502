"""Calls of a workflow's tasks: what the handler sees, and what the workflow gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from portafaas.adapter import TaskStimulus
from portafaas.testing.cases.model import Case


def _tasks() -> Iterator[Case]:
    def case(
        name: str, input: Any, answer: dict[str, Any], function: str = "on-task", **given: Any
    ) -> Case:
        stimulus = TaskStimulus(input, **given)
        seen = {
            "class": "Task", "input": input, "workflow": stimulus.workflow, "run": stimulus.run,
            "step": stimulus.step, "attempt": stimulus.attempt, "key": stimulus.key,
        }  # fmt: skip
        return Case(
            name=f"task-{name}", function=function, stimulus=stimulus, answer=answer, seen=(seen,)
        )

    for name, value in {
        "object": {"id": "7", "sum": 12.5, "lines": [1, "zwei", None, True]},
        "text": "Grüße, 世界 🎉", "number": 3, "null": None, "list": [[], {}], "empty": {},
        "large": 2**53, "deep": {"a": {"b": {"c": [{"d": ""}]}}},
    }.items():  # fmt: skip
        yield case(name, value, {"output": {"echo": value}})
        yield case(f"async-{name}", value, {"output": {"echo": value}}, "on-task-async")
    yield case("again", {"n": 1}, {"output": {"echo": {"n": 1}}}, attempt=3, key="run-9/charge")
    yield case("where", 1, {"output": {"echo": 1}}, workflow="fulfil", run="r-1", step="charge")
    for function in ("on-task", "on-task-async"):
        add = "" if function == "on-task" else "-async"
        yield case(
            f"raise{add}", {"do": "raise"}, {"error": "RuntimeError", "cause": "handler failed"},
            function,
        )  # fmt: skip
        yield case(
            f"own-error{add}", {"do": "decline"},
            {"error": "PaymentDeclined", "cause": "no \"money\"\nfür heute"}, function,
        )  # fmt: skip
        yield case(f"exit{add}", {"do": "exit"}, {"error": "SystemExit", "cause": "3"}, function)
        yield case(f"no-json{add}", {"do": "no-json"}, {"error": "States.Runtime"}, function)
        yield case(f"nan{add}", {"do": "nan"}, {"error": "States.Runtime"}, function)
        yield case(f"tuple{add}", {"do": "tuple"}, {"output": [1, {"2": None}]}, function)
    yield case(
        "hang", {"do": "hang"},
        {"error": "States.Timeout", "cause": "on-task-slow took over 1 s"}, "on-task-slow",
    )  # fmt: skip


TASK_CASES: tuple[Case, ...] = tuple(_tasks())
