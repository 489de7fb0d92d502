"""Functions in the test's own process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from portafaas.adapter import HttpOutcome, HttpStimulus, Stimulus
from portafaas.local.deliveries import Item
from portafaas.local.process import ending
from portafaas.local.worker import order_of
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec
from portafaas.runtime import config, resources
from portafaas.runtime.context import Context, HandlerTimeout, endings
from portafaas.runtime.function import Function
from portafaas.testing.executor import Answer, Executor
from portafaas.testing.inside import portafaas_testing_faults as inside
from portafaas.testing.surroundings import (
    Collector,
    logging_to,
    patched,
    timer,
    variables,
    working_folder,
)


class _Function(Function):
    """A function of a test: its shutdown is that of the test."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        self.shutdowns: list[Callable[[], Any]] = []

    def _load(self) -> None:
        inside.load(self, Function._load)

    def _register(self, shutdown: Callable[[], Any]) -> None:  # type: ignore[override]
        self.shutdowns.append(shutdown)


class InProcess(Executor):
    """Runs functions in this process: coverage, debuggers and monkeypatches see them.

    Modules stay loaded; handlers are made anew for each test.
    """

    def __init__(self, plan: BuildPlan, root: Path, home: Path) -> None:
        super().__init__(plan, root, home)
        self._functions: dict[str, _Function] = {}
        self._faults: dict[str, list[Any]] = {}
        self._crashed = False

    def request(self, function: FunctionPlan, stimulus: HttpStimulus) -> Answer:
        """See Executor."""
        from portafaas.local import runner

        def do(made: Function) -> Any:
            outcome = runner.deliver(made, stimulus)
            assert isinstance(outcome, HttpOutcome)
            return outcome

        return self._run(function, do)

    def deliver(self, function: FunctionPlan, items: Sequence[Item]) -> Answer:
        """See Executor."""
        from portafaas.local.worker import attempt

        return self._run(function, lambda made: attempt(made, order_of(items)))

    def call(self, function: FunctionPlan, task: Mapping[str, Any]) -> Answer:
        """See Executor."""
        from portafaas.local import worker

        return self._run(function, lambda made: worker.task(made, task))

    def invoke(self, function: FunctionPlan, stimulus: Stimulus) -> Answer:
        """See Executor."""
        from portafaas.adapter.neutral import outcome_to_json
        from portafaas.local import runner

        return self._run(function, lambda made: outcome_to_json(runner.deliver(made, stimulus)))

    def faults(self, waiting: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """See Executor."""
        self._faults = {name: list(each) for name, each in waiting.items()}

    def left(self) -> dict[str, list[Any]]:
        """See Executor."""
        return self._faults

    def begin(self, home: Path) -> None:
        """See Executor."""
        super().begin(home)
        self.renew()

    def renew(self) -> None:
        """See Executor."""
        from portafaas.runtime import secrets

        secrets.forget()
        secrets.redacted.clear()
        self.end()

    def end(self) -> None:
        """Shut handlers down."""
        functions, self._functions = self._functions, {}
        for function in functions.values():
            for shutdown in function.shutdowns:
                result = shutdown()
                if hasattr(result, "__await__"):
                    from portafaas.runtime.aio import run

                    run(result)

    def _run(self, function: FunctionPlan, do: Callable[[Function], Any]) -> Answer:
        if _in_a_loop():
            # A test that is a coroutine: its loop is busy with the test.
            found: list[Any] = []

            def work() -> None:
                try:
                    found.append((self._inside(function, do), None))
                except BaseException as exc:
                    found.append((None, exc))

            thread = threading.Thread(target=work, name=f"portafaas-{function.name}")
            thread.start()
            thread.join()
            answer, error = found[0]
            if error is not None:
                raise error
            assert isinstance(answer, Answer)
            return answer
        return self._inside(function, do)

    def _inside(self, function: FunctionPlan, do: Callable[[Function], Any]) -> Answer:
        made = self._functions.get(function.name)
        if made is None:
            spec = function_spec(self.plan, function)
            made = self._functions[function.name] = _Function(spec)
        answer = Answer()
        collector = Collector()
        self._crashed = False

        def ended(context: Context, payload: Any, result: Any, error: BaseException | None) -> None:
            if error is not None and answer.exception is None:
                answer.exception = error

        def crash() -> None:
            self._crashed = True
            collector.over = True
            raise inside.Crash

        with (
            variables(self.environment(function)),
            logging_to(collector),
            timer(),
            working_folder(self.root),
            patched(inside, crash=crash, source=self._next),
            patched(resources, driver=self._driver(resources.driver)),
            patched(config, _settings=None),
        ):
            endings.append(ended)
            try:
                answer.value = do(made)
            except inside.Crash:
                self._crashed = True
            finally:
                endings.remove(ended)
        answer.logs = collector.lines
        if self._crashed:
            answer.value, answer.exception, answer.ended = None, None, "crash"
            answer.why = ending(inside.STATUS)
            # What it had made is gone with it.
            self._functions.pop(function.name, None)
        elif isinstance(answer.exception, HandlerTimeout):
            answer.error = f"handler exceeded its timeout of {function.timeout} s"
        elif answer.exception is not None:
            from portafaas.runtime.recovery import described

            answer.error = described(answer.exception)
        return answer

    def _next(self, function: str) -> Any:
        waiting = self._faults.get(function)
        return waiting.pop(0) if waiting else None

    def _driver(self, real: Callable[[str], Any]) -> Callable[[str], Any]:
        def driver(target: str) -> Any:
            if self._crashed:
                # Nothing that is done on the way out of a process that has ended, is.
                raise resources.ResourceError("the process has ended")
            return real(target)

        return driver


def _in_a_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
