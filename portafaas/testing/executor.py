"""What runs a test's functions, whatever it is: in the test's own process, or in others.

An executor is told what a function gets, and says what came of it, in the words of the local
broker (``portafaas.local.worker``). They are ``in_process``, ``processes`` and, of a target's
package, ``packages``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portafaas.adapter import HttpStimulus, Stimulus
from portafaas.adapter.delivery import DeliveryRules
from portafaas.local.boxes import letters_to
from portafaas.local.deliveries import Item, Settled, unanswered
from portafaas.local.resources import environment
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec
from portafaas.testing.records import Line

#: What marks the effects of tests.
RUN = "test"


@dataclass
class Answer:
    """What came of a call: ``value`` as the caller's method says, or why there is none."""

    value: Any = None
    #: ``crash`` or ``timeout``: the process ended without an answer, or was ended.
    ended: str = ""
    why: str = ""
    error: str = ""
    exception: BaseException | None = None
    logs: list[Line] = field(default_factory=list)


class Executor(ABC):
    """Runs the functions of one project for one test after another."""

    def __init__(self, plan: BuildPlan, root: Path, home: Path) -> None:
        self.plan = plan
        self.root = root
        self.home = home
        #: Variables that the test sets: of all functions (""), and of one.
        self.variables: dict[str, dict[str, str]] = {}

    def environment(self, function: FunctionPlan, *, packaged: bool = False) -> dict[str, str]:
        """Return the variables of a function's process."""
        found = {} if packaged else dict(function.environment)
        found |= environment(self.plan, function, self.home, RUN, packaged=packaged)
        found |= letters_to(self.plan, function)
        return found | self.variables.get("", {}) | self.variables.get(function.name, {})

    @abstractmethod
    def request(self, function: FunctionPlan, stimulus: HttpStimulus) -> Answer:
        """Have an http function answer; ``value`` is an HttpOutcome."""

    @abstractmethod
    def deliver(self, function: FunctionPlan, items: Sequence[Item]) -> Answer:
        """Deliver what is leased; ``value`` is as of ``portafaas.local.worker.attempt``."""

    @abstractmethod
    def call(self, function: FunctionPlan, task: Mapping[str, Any]) -> Answer:
        """Do a workflow's call; ``value`` is ``{"ok"}`` or ``{"error", "cause"}``."""

    @abstractmethod
    def invoke(self, function: FunctionPlan, stimulus: Stimulus) -> Answer:
        """Call it with *stimulus* and nothing around; ``value`` is the neutral outcome's JSON."""

    @abstractmethod
    def faults(self, waiting: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Take the faults that are still to come; :meth:`left` tells what became of them."""

    @abstractmethod
    def left(self) -> dict[str, list[Any]]:
        """Return the faults that have not come yet."""

    def rules(self) -> Mapping[str, DeliveryRules] | None:
        """Return how the target delivers to each function; None for this machine's way."""
        return None

    def gone(self, function: FunctionPlan, items: Sequence[Item]) -> Settled:
        """Return what becomes of deliveries that got no answer."""
        rules = self.rules()
        own = None if rules is None else rules[function.name]
        return unanswered(items, function_spec(self.plan, function).get("retry"), own)

    def renew(self) -> None:  # noqa: B027 (nothing to do where nothing is kept)
        """Forget what processes keep: the next call is a cold start."""

    def begin(self, home: Path) -> None:
        """Get ready for a test that has *home*."""
        self.home = home
        self.variables = {}

    def end(self) -> None:  # noqa: B027 (nothing to do where nothing is kept)
        """Free what belongs to one test."""

    def close(self) -> None:
        """Free everything."""
        self.end()
