"""A run of a workflow, as a test sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portafaas.local.history import history
from portafaas.local.runs import Runs
from portafaas.testing.records import Found

if TYPE_CHECKING:
    from portafaas.deployment.workflows import StepEvent
    from portafaas.testing.app import App


class Run:
    """One run; each attribute is read when it is asked for.

    Attributes:
        workflow, id: its workflow's name, and its own.
        state: ``running``, ``succeeded``, ``failed`` or ``canceled``.
        output, error, cause: what came of it.
        waiting: names of the signals that it waits for.
        history: what happened, ``StepEvent`` each (``step``, ``what``, ``attempt``, ``detail``).
    """

    def __init__(self, app: App, workflow: str, id: str) -> None:
        self._app = app
        self.workflow = workflow
        self.id = id

    def _status(self) -> Any:
        return self._app.workflow(self.workflow).status(self.id)

    @property
    def state(self) -> str:
        """How it is."""
        return str(self._status().state)

    @property
    def output(self) -> Any:
        """What it returned; None until then."""
        return self._status().output

    @property
    def error(self) -> str:
        """Name of the error that it failed with, or ""."""
        return str(self._status().error)

    @property
    def cause(self) -> str:
        """Text of that error."""
        return str(self._status().cause)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Names of the signals that it waits for."""
        return tuple(self._status().waiting)

    @property
    def history(self) -> Found[StepEvent]:
        """What happened, in the order of time."""
        runs = Runs(self._app.folder)
        try:
            found = runs.run(self.id)
            events = history(found, runs.steps(self.id)) if found is not None else []
        finally:
            runs.close()
        return Found(list(events), f"events of run {self.id}")

    def steps(self, what: str = "succeeded") -> list[str]:
        """Return the names of the steps that *what* happened to, in the order of time."""
        return [event.step for event in self.history if event.what == what]

    def signal(self, name: str, payload: Any = None) -> None:
        """Hand a value to it; raises NotWaiting when it does not wait for the signal."""
        self._app.workflow(self.workflow).signal(self.id, name, payload)

    def cancel(self) -> None:
        """Stop it, and those that it waits for."""
        runs = Runs(self._app.folder)
        try:
            with runs.transaction():
                found = runs.run(self.id)
                assert found is not None
                if found.state != "running":
                    raise AssertionError(f"it has ended: {self!r}")
                runs.cancel(found, self._app.clock.now.timestamp())
        finally:
            runs.close()

    def __repr__(self) -> str:
        status = self._status()
        if status.state == "failed":
            rest = f": {status.error}: {status.cause}"
        elif status.state == "running" and status.waiting:
            rest = f", waits for {', '.join(status.waiting)}"
        else:
            rest = f": {status.output!r}" if status.state == "succeeded" else ""
        return f"<Run of {self.workflow} {status.state}{rest}>"
