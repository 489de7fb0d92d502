"""One call of a task: what the workflow gets of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from portafaas.runtime.context import Context
from portafaas.runtime.task import LONGEST, Task, run_task, task_of
from portafaas.runtime.taxonomy import Permanent


class Declined(Exception):
    pass


def play(make: Any, handle: Any, timeout: float = 5) -> dict[str, Any]:
    function = make(handle, "task", timeout=timeout)
    task = Task({"n": 1}, workflow="w", run="r", step="s", attempt=2, key="k")
    context = Context(function, "i")
    answer = run_task(function, task, context)
    assert context.attempt == 2
    assert context.payload is task
    return answer


def test_what_is_json_is_as_platforms_hand_it_on(make: Any) -> None:
    answer = play(make, lambda task, context: {1: (task.input, None), "k": task.key, "id": task.id})
    assert answer == {"ok": {"1": [{"n": 1}, None], "k": "k", "id": "k"}}


@pytest.mark.parametrize("value", [object(), float("nan"), {"a": {1, 2}}, b"x"])
def test_what_is_no_json(make: Any, value: Any) -> None:
    assert play(make, lambda task, context: value)["error"] == "States.Runtime"


def test_errors_go_by_their_names(make: Any) -> None:
    def raises(error: BaseException) -> Any:
        def handle(task: Task, context: Context) -> None:
            raise error

        return play(make, handle)

    assert raises(Declined("no money: ü")) == {"error": "Declined", "cause": "no money: ü"}
    assert raises(Permanent("never"))["error"] == "Permanent"
    assert raises(KeyError("x")) == {"error": "KeyError", "cause": "'x'"}
    assert raises(SystemExit(3)) == {"error": "SystemExit", "cause": "3"}
    assert len(raises(Declined("x" * 9000))["cause"]) == LONGEST

    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    assert "ValueError" in raises(Odd())["cause"]


def test_a_timeout_has_its_name(make: Any) -> None:
    def handle(task: Task, context: Context) -> None:
        time.sleep(5)

    answer = play(make, handle, timeout=0.05)
    assert answer["error"] == "States.Timeout"
    assert "took over" in answer["cause"]


def test_async_handlers(make: Any) -> None:
    async def handle(task: Task, context: Context) -> Any:
        return task.step

    assert play(make, handle) == {"ok": "s"}


def test_of_a_document() -> None:
    task = task_of(
        {"input": [1], "workflow": "w", "run": "r", "step": "s", "attempt": 3, "key": "k"}
    )
    assert (task.input, task.workflow, task.run, task.step, task.attempt, task.key) == (
        [1], "w", "r", "s", 3, "k",
    )  # fmt: skip
    assert task_of({}).input is None
