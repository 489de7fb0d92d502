"""Calls functions: from their sources, or as a built package inside the vendor's own runtime."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from portafaas.adapter import (
    Adapter,
    DeliveryOutcome,
    NativeRequest,
    Outcome,
    QueueStimulus,
    Stimulus,
)
from portafaas.errors import InvocationError
from portafaas.local.children import Children
from portafaas.local.process import Child
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger
from portafaas.vendor import NativeResult, VendorRuntime, VendorSession


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of one stimulus; ``logs`` is what the function's process wrote meanwhile."""

    outcome: Outcome
    logs: str
    results: tuple[NativeResult, ...]


def interpreter(
    target: str, runtime: VendorRuntime, version: str, package: Path
) -> tuple[Path, str]:
    """Return a Python that has a vendor's *runtime*, and what is to be noted of it, or "".

    Of Python *version*, or of this one where that is not installed and the unpacked *package* has
    nothing compiled for it; else raises InvocationError.
    """
    from portafaas.vendor.environment import find_interpreter, prepare

    note = ""
    if find_interpreter(version) is None:
        if any(package.rglob("*.so")):
            raise InvocationError(
                f"the package holds modules compiled for Python {version}, and no "
                f"Python {version} is installed",
                hint=f"install Python {version}, or put python{version} on PATH",
            )
        own = f"{sys.version_info[0]}.{sys.version_info[1]}"
        note, version = f"no Python {version} found; ran on Python {own}", own
    return prepare(target, runtime, version), note


class LocalRunner(Children):
    """Runs functions from their sources in child processes; a context manager.

    A child has the project as working folder and first on its import path, as a package has. What
    functions log goes to the descriptor *errors* (default: this process' own).
    """

    def __init__(
        self,
        plan: BuildPlan,
        root: Path,
        environment: Mapping[str, str],
        errors: int | None = None,
    ) -> None:
        super().__init__()
        self._errors = errors
        self._plan = plan
        self._root = root
        self._environment = dict(environment)

    def start(self, function: FunctionPlan) -> Child:
        """Start a process of *function*."""
        # What handlers print stays apart from what the command prints.
        variables = {**function.environment, **self._environment}
        return Child(self._root, variables, output=2, errors=self._errors)

    def deliver(self, function: FunctionPlan, stimulus: Stimulus) -> dict[str, Any]:
        """Return the outcome as JSON values; raises InvocationError when the process ends."""
        from portafaas.adapter.neutral import stimulus_to_json
        from portafaas.plan.entry import function_spec

        spec = function_spec(self._plan, function)
        return self.ask(function, {"spec": spec, "event": stimulus_to_json(stimulus)})


class PackageRunner:
    """Runs the functions of a built package in the vendor's runtime; a context manager.

    *package* is the zip, *folder* an empty folder to unpack it in. *environment* is added to what
    the deployment description says. Each function has a session of its own, started on first use
    and kept, as each is deployed on its own.
    """

    def __init__(
        self,
        adapter: Adapter,
        plan: BuildPlan,
        package: Path,
        deployment: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        from portafaas.artifact import unpack

        self._adapter = adapter
        self._plan = plan
        self._folder = folder
        self._environment = dict(environment or {})
        self._descriptor = json.loads(deployment.read_text(encoding="utf-8"))
        self._runtime = adapter.vendor_runtime()
        self._sessions: dict[str, VendorSession] = {}
        self._python: Path | None = None
        #: What the caller should know about how the package runs.
        self.notes: list[str] = []
        unpack(package, folder)

    def deliver(self, function: FunctionPlan, stimulus: Stimulus) -> Delivery:
        """Deliver *stimulus* as the platform would and return what its sender concludes."""
        trigger = function.trigger
        if (
            isinstance(stimulus, QueueStimulus)
            and isinstance(trigger, QueueTrigger)
            and self._plan.queue(trigger.queue).ordered
        ):
            return self._deliver_in_order(function, stimulus, trigger.batch)
        requests = self._adapter.encode(self._plan, function, stimulus)
        return self._send(function, stimulus, requests)

    def _send(
        self, function: FunctionPlan, stimulus: Stimulus, requests: Sequence[NativeRequest]
    ) -> Delivery:
        session = self.session(function)
        results = [session.invoke(request.payload) for request in requests]
        answers = [{"ok": result.ok, "value": result.value} for result in results]
        outcome = self._adapter.decode(
            self._plan, function, stimulus, list(zip(requests, answers, strict=True))
        )
        return Delivery(outcome, "".join(result.logs for result in results), tuple(results))

    def _deliver_in_order(
        self, function: FunctionPlan, stimulus: QueueStimulus, batch: int
    ) -> Delivery:
        """Deliver as an ordered queue does: nothing behind a failed message of the same key."""
        waiting = list(stimulus.messages)
        failed: set[str] = set()
        done: list[Delivery] = []
        while waiting:
            part = QueueStimulus(tuple(waiting[:batch]))
            requests = self._adapter.encode(self._plan, function, part)
            if len(requests) > 1:
                # This platform delivers one at a time.
                batch = 1
                continue
            delivery = self._send(function, part, requests)
            done.append(delivery)
            assert isinstance(delivery.outcome, DeliveryOutcome)
            failed.update(delivery.outcome.failed)
            blocked = {m.key for m in stimulus.messages if m.id in failed}
            failed.update(m.id for m in waiting[batch:] if m.key in blocked)
            waiting = [m for m in waiting[batch:] if m.key not in blocked]
        return Delivery(
            DeliveryOutcome(tuple(m.id for m in stimulus.messages if m.id in failed)),
            "".join(delivery.logs for delivery in done),
            tuple(result for delivery in done for result in delivery.results),
        )

    def native(self, function: FunctionPlan, payload: Mapping[str, Any]) -> NativeResult:
        """Deliver one native request as it is."""
        return self.session(function).invoke(payload)

    def session(self, function: FunctionPlan) -> VendorSession:
        """Return the running session of *function*."""
        session = self._sessions.get(function.name)
        if session is None:
            facts = self._descriptor["functions"][function.name]
            session = self._sessions[function.name] = self._runtime.start(
                self._folder,
                entry=facts["entry"],
                function=function.entry,
                python=self._interpreter(),
                env={**facts["environment"], **self._environment},
                timeout=facts["timeout"],
                memory=facts["memory"],
                settings={"init_timeout": 60.0},
            )
        return session

    def _interpreter(self) -> Path:
        if self._python is None:
            self._python, note = interpreter(
                self._adapter.target, self._runtime, self._plan.python, self._folder
            )
            if note:
                self.notes.append(note)
        return self._python

    def close(self) -> None:
        """End all sessions."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
