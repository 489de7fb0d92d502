"""What an adapter offers to operate workflows: ``portafaas workflow`` on every target.

The same words as ``docs/spec/workflows.md`` (W-14, W-19); every method raises DeploymentError with
PF80xx for what the platform says, PF8040 for a run that is not there, PF8041 for a signal that it
does not wait for, PF8042 for what cannot be done to one that has ended (or not ended yet).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from portafaas.errors import DeploymentError, Diagnostic
from portafaas.record import dataclass

State = Literal["running", "succeeded", "failed", "canceled"]
#: What became of one entry into a step, one attempt at a call, or one compensation.
What = Literal["started", "succeeded", "failed", "waiting", "caught", "undone", "undo-failed"]


@dataclass(frozen=True, slots=True)
class RunState:
    """One run; times are seconds since 1970, 0 for one that is not known or not yet.

    ``waiting`` holds the names of the signals that it waits for.
    """

    workflow: str
    run: str
    state: State
    started: float = 0.0
    ended: float = 0.0
    input: Any = None
    output: Any = None
    error: str = ""
    cause: str = ""
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One thing that happened in a run, in the order of time.

    ``place`` tells entries into one step apart: ``reserve/3/take``, ``take~undo`` for what undoes.
    ``attempt`` is of a call, from 1; 0 of anything else. ``detail`` is the input of what started,
    the output of what succeeded; None where the platform does not keep it. ``docs/workflows.md``
    has which steps tell what.
    """

    time: float
    step: str
    what: What
    place: str = ""
    attempt: int = 0
    detail: Any = None
    error: str = ""
    cause: str = ""


def refused(code: str, text: str, hint: str | None = None) -> DeploymentError:
    """Return the error for what was not done."""
    # Who only looks does not ask what was changed.
    summary = "not found:" if code == "PF8040" else "nothing was changed:"
    return DeploymentError(summary, [Diagnostic(code, text, hint=hint)])


class Workflows(ABC):
    """The workflows of one service and stage on one platform."""

    @abstractmethod
    def start(self, workflow: str, input: Any) -> str:
        """Start a run; return its id."""

    @abstractmethod
    def runs(self, workflow: str, limit: int) -> Sequence[RunState]:
        """Return at most *limit* runs, the latest first; input and output may be left out."""

    @abstractmethod
    def status(self, workflow: str, run: str) -> RunState:
        """Return one run."""

    @abstractmethod
    def history(self, workflow: str, run: str) -> Sequence[StepEvent]:
        """Return what happened in a run."""

    @abstractmethod
    def signal(self, workflow: str, run: str, name: str, payload: Any) -> None:
        """Hand a JSON value to a run that waits for the signal *name*."""

    @abstractmethod
    def cancel(self, workflow: str, run: str) -> None:
        """Stop a run."""

    def retry(self, workflow: str, run: str) -> str:
        """Start a new run with the input of one that has ended; return its id."""
        found = self.status(workflow, run)
        if found.state == "running":
            problem = Diagnostic("PF8042", f"run {run} has not ended", hint="cancel it first")
            raise DeploymentError("cannot retry:", [problem])
        return self.start(workflow, found.input)
