"""The workflows on this machine, for ``portafaas workflow``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from portafaas.deployment.workflows import RunState, StepEvent, Workflows, refused
from portafaas.local import resources
from portafaas.local.driver.portafaas_local_resources import now
from portafaas.local.history import history
from portafaas.local.resources import store
from portafaas.local.runs import Run, Runs
from portafaas.local.store import explained
from portafaas.plan import BuildPlan
from portafaas.runtime.resources import NotFound, NotWaiting, ResourceError


class LocalWorkflows(Workflows):
    """The runs of a project's stage on this machine; ``portafaas deliver`` works on them.

    *root* is the project's folder. Times are those of the store's clock, which ``--fast`` sets
    forward.
    """

    def __init__(self, root: Path, plan: BuildPlan) -> None:
        self._folder = store(root, plan.stage)

    @contextmanager
    def _runs(self) -> Iterator[Runs]:
        with explained(self._folder):
            runs = Runs(self._folder)
            try:
                yield runs
            finally:
                runs.close()

    def _address(self, workflow: str) -> str:
        return str(self._folder / "workflow" / workflow)

    def _found(self, runs: Runs, workflow: str, run: str) -> Run:
        found = runs.run(run)
        if found is None or found.workflow != workflow:
            raise refused("PF8040", f"workflow {workflow!r} has no run {run!r}")
        return found

    def start(self, workflow: str, input: Any) -> str:
        """Start a run; it waits until ``portafaas deliver`` takes it up."""
        with explained(self._folder, (ResourceError,)):
            return resources.start_run(self._address(workflow), input)

    def runs(self, workflow: str, limit: int) -> Sequence[RunState]:
        """Return runs, the latest first, those of other workflows' steps too."""
        with self._runs() as runs:
            return [_state(runs, run) for run in runs.latest(workflow, limit)]

    def status(self, workflow: str, run: str) -> RunState:
        """Return one run."""
        with self._runs() as runs:
            return _state(runs, self._found(runs, workflow, run))

    def at_rest(self, run: str) -> bool:
        """Tell whether a run has ended, or cannot go on before it gets a signal."""
        with self._runs() as runs:
            found = runs.run(run)
            if found is None or found.state != "running":
                return True
            return runs.held(run, now(runs.connection))

    def history(self, workflow: str, run: str) -> Sequence[StepEvent]:
        """Return what happened in a run."""
        with self._runs() as runs:
            return history(self._found(runs, workflow, run), runs.steps(run))

    def signal(self, workflow: str, run: str, name: str, payload: Any) -> None:
        """Hand a value to a run that waits for the signal."""
        with explained(self._folder, (ResourceError,)):
            try:
                resources.signal_run(self._address(workflow), run, name, payload)
            except NotFound as exc:
                raise refused("PF8040", str(exc)) from None
            except NotWaiting as exc:
                waiting = self.status(workflow, run).waiting
                hint = f"it waits for: {', '.join(waiting)}" if waiting else None
                raise refused("PF8041", str(exc), hint) from None

    def cancel(self, workflow: str, run: str) -> None:
        """Stop a run and those that it waits for; what is being called is not kept."""
        with self._runs() as runs, runs.transaction():
            found = self._found(runs, workflow, run)
            if found.state != "running":
                raise refused("PF8042", f"run {run} has ended: it is {found.state}")
            runs.cancel(found, now(runs.connection))


def _state(runs: Runs, run: Run) -> RunState:
    outcome = run.outcome or {}
    return RunState(
        run.workflow, run.id, run.state, run.started, run.ended or 0.0, run.input,  # type: ignore[arg-type]
        outcome.get("ok"), outcome.get("error", ""), outcome.get("cause", ""),
        runs.waiting(run.id) if run.state == "running" else (),
    )  # fmt: skip
