"""Functions as the target's package in the vendor's own runtime, delivered to by its rules.

The package is built once a session, and its runtimes go on from test to test, as warm instances
do; only what a test changes of a function's variables or secrets makes a cold start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from portafaas.adapter import HttpStimulus, NativeRequest, Stimulus
from portafaas.adapter.delivery import DeliveryRules
from portafaas.adapter.neutral import http_outcome_from_json, stimulus_to_json
from portafaas.emulation import emulated
from portafaas.local.deliveries import Item
from portafaas.local.place import Place
from portafaas.local.resources import secret_file
from portafaas.local.worker import order_of
from portafaas.plan import FunctionPlan
from portafaas.testing.executor import RUN, Answer, Executor
from portafaas.testing.files import INSIDE, error_of, read_faults, read_log, write_faults
from portafaas.testing.inside import portafaas_testing_faults as inside
from portafaas.testing.session import Setting
from portafaas.vendor import NativeError, NativeResult


class _Place(Place):
    """An execution environment that keeps what its runtime wrote.

    Its memory has no limit: the processes of all functions are this process' own.
    """

    def __init__(
        self, file: Path, name: str, variables: Mapping[str, str], scratch: Path
    ) -> None:
        super().__init__(file, name, variables, scratch)
        self.logs: list[str] = []
        self.error: NativeError | None = None

    def invoke(self, request: NativeRequest, function: str = "") -> NativeResult:
        """See Place."""
        result = self.ready().invoke(request.payload, function=function or None)
        self.logs.append(result.logs)
        if result.error is not None and self.error is None:
            self.error = result.error
        return result


class Packages(Executor):
    """The package of one manifest, stage and target."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self._stack = ExitStack()
        self._vendor = self._stack.enter_context(
            emulated(setting.manifest, setting.stage, setting.target, _told)
        )
        # Processes outlive a test, and have one place to go by: it leads to the test's own.
        self._link = folder / "home"
        self._scratch = folder
        super().__init__(self._vendor.plan, setting.manifest.parent, self._link)
        self._places: dict[str, tuple[Any, _Place]] = {}

    def begin(self, home: Path) -> None:
        """See Executor."""
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(home)
        super().begin(self._link)

    def rules(self) -> Mapping[str, DeliveryRules]:
        """See Executor."""
        return self._vendor.rules()

    def request(self, function: FunctionPlan, stimulus: HttpStimulus) -> Answer:
        """See Executor."""
        answer = self.invoke(function, stimulus)
        answer.value = http_outcome_from_json(answer.value)
        return answer

    def deliver(self, function: FunctionPlan, items: Sequence[Item]) -> Answer:
        """See Executor."""
        place = self._place(function)
        return self._told(place, place.items(order_of(items)))

    def call(self, function: FunctionPlan, task: Mapping[str, Any]) -> Answer:
        """See Executor."""
        place = self._place(function)
        return self._told(place, place.task(task))

    def invoke(self, function: FunctionPlan, stimulus: Stimulus) -> Answer:
        """See Executor."""
        place = self._place(function)
        return self._told(place, place.event(stimulus_to_json(stimulus)))

    def faults(self, waiting: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """See Executor."""
        write_faults(self._link / "faults.json", waiting)

    def left(self) -> dict[str, list[Any]]:
        """See Executor."""
        return read_faults(self._link / "faults.json")

    def _place(self, function: FunctionPlan) -> _Place:
        """Return a function's environment; a new one when what it was given has changed."""
        own = self.variables.get("", {}) | self.variables.get(function.name, {})
        own[inside.FAULTS] = str(self._link / "faults.json")
        variables = self._vendor.variables(function, self._link, own)
        variables["PYTHONPATH"] = os.pathsep.join((variables["PYTHONPATH"], str(INSIDE)))
        given = (variables, self._secrets(function))
        found = self._places.get(function.name)
        if found is not None and found[0] != given:
            found[1].close()
            found = None
        if found is None:
            place = _Place(self._vendor.file, function.name, variables, self._scratch)
            found = self._places[function.name] = given, place
        place = found[1]
        place.logs, place.error = [], None
        place.begin(RUN)
        return place

    def _secrets(self, function: FunctionPlan) -> list[bytes]:
        files = [
            secret_file(self._link, self.plan.stage, use.name)
            for use in function.uses
            if use.kind == "secret"
        ]
        return [file.read_bytes() if file.exists() else b"" for file in files]

    def _told(self, place: _Place, value: Any) -> Answer:
        sys.stderr.write("".join(place.logs))
        logs = read_log(self._link / "faults.json")
        answer = Answer(value, logs=logs, error=error_of(logs))
        error = place.error
        if error is not None and error.kind in ("exit", "timeout"):
            answer.ended = "crash" if error.kind == "exit" else "timeout"
            answer.why = f"{error.type}: {error.message}"
        elif error is not None and not answer.error:
            answer.error = f"{error.type}: {error.message}"
        return answer

    def close(self) -> None:
        """End the runtimes, and remove the package."""
        places, self._places = self._places, {}
        for _, place in places.values():
            place.close()
        self._stack.close()


def _told(text: str) -> None:
    sys.stderr.write(f"{text}\n")
