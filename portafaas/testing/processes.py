"""Functions in processes of their own, from the sources."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portafaas.adapter import HttpStimulus, Stimulus
from portafaas.adapter.neutral import http_outcome_from_json, stimulus_to_json
from portafaas.local.deliveries import Item
from portafaas.local.process import Child, ending
from portafaas.local.worker import order_of
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec
from portafaas.testing.executor import RUN, Answer, Executor
from portafaas.testing.files import INSIDE, error_of, read_faults, read_log, write_faults
from portafaas.testing.inside import portafaas_testing_faults as inside


class Processes(Executor):
    """Runs each function in a process of its own, from the sources, as ``portafaas deliver``."""

    def __init__(self, plan: BuildPlan, root: Path, home: Path) -> None:
        super().__init__(plan, root, home)
        self._children: dict[str, Child] = {}
        self._printed: list[str] = []

    def request(self, function: FunctionPlan, stimulus: HttpStimulus) -> Answer:
        """See Executor."""
        answer = self.invoke(function, stimulus)
        if answer.value is not None:
            answer.value = http_outcome_from_json(answer.value)
        return answer

    def deliver(self, function: FunctionPlan, items: Sequence[Item]) -> Answer:
        """See Executor."""
        return self._ask(function, {"items": order_of(items)})

    def call(self, function: FunctionPlan, task: Mapping[str, Any]) -> Answer:
        """See Executor."""
        return self._ask(function, {"task": dict(task)})

    def invoke(self, function: FunctionPlan, stimulus: Stimulus) -> Answer:
        """See Executor."""
        return self._ask(function, {"event": stimulus_to_json(stimulus)})

    def faults(self, waiting: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """See Executor."""
        write_faults(self.home / "faults.json", waiting)

    def left(self) -> dict[str, list[Any]]:
        """See Executor."""
        return read_faults(self.home / "faults.json")

    def _ask(self, function: FunctionPlan, order: Mapping[str, Any]) -> Answer:
        child = self._children.get(function.name)
        if child is None:
            variables = self.environment(function) | {
                inside.FAULTS: str(self.home / "faults.json"),
                "PYTHONPATH": os.pathsep.join(
                    filter(None, (str(INSIDE), os.environ.get("PYTHONPATH")))
                ),
            }
            child = self._children[function.name] = Child(self.root, variables, observed=self._hear)
        self._printed = []
        found = child.ask({"spec": function_spec(self.plan, function), **order, "run": RUN})
        answer = Answer(found)
        if found is None:
            del self._children[function.name]
            answer.ended = "crash"
            answer.why = ending(child.close())
        sys.stderr.write("".join(self._printed))
        answer.logs = read_log(self.home / "faults.json")
        answer.error = error_of(answer.logs)
        return answer

    def _hear(self, facts: Mapping[str, Any]) -> None:
        if facts["observed"] == "log":
            self._printed.append(facts["text"])

    def begin(self, home: Path) -> None:
        """See Executor."""
        super().begin(home)
        self.renew()

    def renew(self) -> None:
        """End the processes."""
        self.end()

    def end(self) -> None:
        """End the processes."""
        children, self._children = self._children, {}
        for child in children.values():
            child.close()
