"""What the states of one scope share: a machine, a branch, or the steps for an item.

A scope ends with its document, or with an error that no step of it catches. A branch or item tells
its outcome as ``{"ok": document}`` or ``{"bad": {"Error", "Cause"}}``, with ``log`` beside it where
something may be compensated, and never fails: so its parent waits for all (W-11).

Variables have the number of their scope or step, since an inner scope may not use a name of an
outer one. https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html

| variable | |
|---|---|
| ``raw<n>``, ``at<n>`` | what a catcher got, and the step that failed |
| ``err<n>`` | the error as the workflow sees it |
| ``read<n>`` | a cause, parsed |
| ``log<n>`` | what can be undone, in order; the first entry is none |
| ``item<n>`` | the item of a map: index and value |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.runtime import states as rules
from portafaas_aws.machines.words import Condition, Context, every, some, variable
from portafaas_aws.runtime.runs import BROKEN
from portafaas_aws.runtime.task import OWN, RESERVED

#: How names of errors begin that are Lambda's and not the handler's: its process died.
DIED = ("Extension.*", "Function.*", "Lambda.*", "Runtime.*", "Sandbox.*")
#: The one of these that says that time was over, where nothing but Lambda could end the handler.
#: https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html#troubleshooting-timeouts
LATE = "Sandbox.Timedout"
#: First in a log, so that it is never empty; undone by nothing.
NOTHING = {"undo": ""}

State = dict[str, Any]


class Scope:
    """States of one scope; ``keeps`` tells whether something in the run may be compensated."""

    __slots__ = (
        "context", "following", "indices", "keeps", "number", "states", "top", "verified",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        keeps: bool,
        context: Context,
        indices: Sequence[str],
        top: bool,
        routed: bool,
    ) -> None:
        self.number = number
        self.keeps = keeps
        self.context = context
        #: Paths to the indices of all maps around, which tell entries into one step apart.
        self.indices = tuple(indices)
        self.top = top
        self.states: dict[str, State] = {}
        #: Parameters, address and retriers of what checks the document at the end, if anything.
        self.verified: State | None = None
        #: Where an error goes that has been read.
        self.following = self.name("route" if routed else "caught")

    def name(self, word: str) -> str:
        """Return the name of a state of the scope itself; those of steps begin with a letter."""
        return f"{self.number}.{word}"

    def var(self, word: str) -> str:
        """Return the name of a variable of the scope."""
        return f"{word}{self.number}"

    def add(self, name: str, state: State) -> str:
        """Add a state and return its name."""
        if name in self.states:
            raise AssertionError(f"two states are called {name!r}")
        self.states[name] = state
        return name

    # How it ends.

    def ends(self) -> str:
        """Return the name of the state that ends the scope with its document."""
        name = self.name("ok")
        if name not in self.states:
            self.add(name, self.ending())
        return name

    def ending(self) -> State:
        """Return a state that ends the scope with its document."""
        if self.verified is not None:
            return {**self.verified, "End": True}
        if self.top:
            return {"Type": "Succeed"}
        log = {"log.$": f"${self.var('log')}"} if self.keeps else {}
        return {"Type": "Pass", "Parameters": {"ok.$": "$", **log}, "End": True}

    def bad(self) -> str:
        """Return the name of the state that ends the scope with ``err``."""
        name = self.name("bad")
        err = f"${self.var('err')}"
        error = {"Error.$": f"{err}.Error", "Cause.$": f"{err}.Cause"}
        if name in self.states:
            return name
        if not self.top:
            log = {"log.$": f"${self.var('log')}"} if self.keeps else {}
            return self.add(
                name, {"Type": "Pass", "Parameters": {"bad": error, **log}, "End": True}
            )
        if self.keeps:
            return self.add(
                name,
                {
                    "Type": "Pass",
                    "Assign": {
                        "own.$": err,
                        "failed": False,
                        "left.$": f"States.MathAdd(States.ArrayLength(${self.var('log')}), -1)",
                    },
                    "Next": self.name("undo"),
                },
            )
        return self.add(name, {"Type": "Pass", "Parameters": error, "Next": self.failed()})

    def failed(self) -> str:
        """Return the name of the state that fails with the state's input."""
        name = self.name("failed")
        if name not in self.states:
            self.add(name, {"Type": "Fail", "ErrorPath": "$.Error", "CausePath": "$.Cause"})
        return name

    # How errors are read.

    def catcher(self, step: str, entry: str) -> dict[str, Any]:
        """Return a catcher of everything, which leads to *entry* with the document as it was."""
        return {
            "ErrorEquals": [rules.ALL],
            "ResultPath": None,
            "Assign": {f"{self.var('raw')}.$": "$", self.var("at"): step},
            "Next": entry,
        }

    def error(self) -> str:
        """Return the name of the state that reads an error of a task; it leads to ``following``."""
        name = self.name("error")
        if name in self.states:
            return name
        raw, read = f"${self.var('raw')}", f"${self.var('read')}"
        told = f"{read}.errorMessage"
        self.states[name] = {
            "Type": "Choice",
            "Choices": [
                {**variable(f"{raw}.Cause", "IsPresent", False), "Next": self._read("bare", "")},
                {
                    # What Lambda says of a function's error.
                    **variable(f"{raw}.Cause", "StringMatches", '{"error*}'),
                    "Next": self.name("error.read"),
                },
                {**self._own(), "Next": self._read("other", f"{raw}.Cause")},
            ],
            # A service's: ``Lambda.Unknown``.
            "Default": self._read("lost", f"{raw}.Cause", rules.TASK_FAILED),
        }
        self.states[self.name("error.read")] = {
            "Type": "Pass",
            "Assign": {f"{self.var('read')}.$": f"States.StringToJson({raw}.Cause)"},
            "Next": self.name("error.name"),
        }
        self.states[self.name("error.name")] = {
            "Type": "Choice",
            "Choices": [
                {**variable(told, "IsPresent", False), "Next": self._read("bare", "")},
                {
                    **variable(f"{raw}.Error", "StringEquals", LATE),
                    "Next": self._read("late", told, rules.TIMEOUT),
                },
                {**self._died(), "Next": self._read("died", told, rules.TASK_FAILED)},
                {
                    **variable(f"{raw}.Error", "StringMatches", f"{OWN}*"),
                    "Next": self.name("error.own"),
                },
            ],
            "Default": self._read("told", told),
        }
        parts = f"${self.var('parts')}"
        self.states[self.name("error.own")] = {
            "Type": "Pass",
            "Assign": {f"{self.var('parts')}.$": f"States.StringSplit({raw}.Error, '.')"},
            "Next": self.name("error.named"),
        }
        named = {"Error.$": f"States.Format('{RESERVED}{{}}', {parts}[1])", "Cause.$": told}
        self.states[self.name("error.named")] = {
            "Type": "Pass", "Assign": {self.var("err"): named}, "Next": self.following,
        }  # fmt: skip
        return name

    def child(self) -> str:
        """Return the name of the state that reads an error of a sub-workflow.

        The cause is what DescribeExecution says of its run.
        https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
        """
        name = self.name("child")
        if name in self.states:
            return name
        raw, read = f"${self.var('raw')}", f"${self.var('read')}"
        whole = every(
            variable(f"{raw}.Cause", "IsPresent", True),
            variable(f"{raw}.Error", "StringEquals", rules.TASK_FAILED),
            variable(f"{raw}.Cause", "StringMatches", "{*}"),
        )
        self.states[name] = {
            "Type": "Choice",
            "Choices": [
                {**variable(f"{raw}.Cause", "IsPresent", False), "Next": self._read("bare", "")},
                {**whole, "Next": self.name("child.read")},
                {**self._own(), "Next": self._read("other", f"{raw}.Cause")},
            ],
            # A service's: ``Lambda.Unknown``.
            "Default": self._read("lost", f"{raw}.Cause", rules.TASK_FAILED),
        }
        self.states[self.name("child.read")] = {
            "Type": "Pass",
            "Assign": {f"{self.var('read')}.$": f"States.StringToJson({raw}.Cause)"},
            "Next": self.name("child.name"),
        }
        named = variable(f"{read}.Error", "IsPresent", True)
        caused = every(named, variable(f"{read}.Cause", "IsPresent", True))
        self.states[self.name("child.name")] = {
            "Type": "Choice",
            "Choices": [
                {**caused, "Next": self._read("child.told", f"{read}.Cause", f"{read}.Error")},
                {**named, "Next": self._read("child.bare", "", f"{read}.Error")},
            ],
            # It was stopped.
            "Default": self._read("child.gone", "", rules.TASK_FAILED),
        }
        return name

    def _own(self) -> Condition:
        return variable(f"${self.var('raw')}.Error", "StringMatches", f"{RESERVED}*")

    def _died(self) -> Condition:
        raw = f"${self.var('raw')}.Error"
        return some(*(variable(raw, "StringMatches", pattern) for pattern in DIED))

    def _read(self, word: str, cause: str, error: str = "") -> str:
        """Return the name of a state that sets ``err``; *cause* and *error* are paths or texts."""
        name = self.name(f"error.{word}")
        if name not in self.states:
            named = error or f"${self.var('raw')}.Error"
            self.states[name] = {
                "Type": "Pass",
                "Assign": {self.var("err"): {**_said("Error", named), **_said("Cause", cause)}},
                "Next": self.following,
            }
        return name

    def fault(
        self, name: str, error: dict[str, Any], step: str, following: str | None = None
    ) -> str:
        """Add a state that sets ``err`` to *error*, a template, and ``at``; return its name."""
        values = {self.var("err"): error, self.var("at"): step}
        return self.add(
            name, {"Type": "Pass", "Assign": values, "Next": following or self.name("caught")}
        )

    def dispatch(
        self, catches: Mapping[str, list[tuple[Condition | None, str]]], again: Mapping[str, str]
    ) -> None:
        """Add the states that lead an error to what catches it.

        *catches*: by step the conditions (None: any error) and where they lead. *again*: by step
        the state that decides on another try.
        """
        err, at = f"${self.var('err')}", f"${self.var('at')}"
        caught = self.name("caught")
        if again:
            first = [
                {**variable(at, "StringEquals", step), "Next": name} for step, name in again.items()
            ]
            self.add(self.name("route"), {"Type": "Choice", "Choices": first, "Default": caught})
        found = [
            {**self.fatal(), "Next": self.name("fatal")},
            {**_one_of(f"{err}.Error", BROKEN), "Next": self.name("broken")},
        ]
        for step, targets in catches.items():
            for condition, target in targets:
                own = variable(at, "StringEquals", step)
                found.append({**(every(own, condition) if condition else own), "Next": target})
        self.add(caught, {"Type": "Choice", "Choices": found, "Default": self.bad()})
        for name, error in (("fatal", f"{err}.Error"), ("broken", rules.RUNTIME)):
            facts = {**_said("Error", error), "Cause.$": f"{err}.Cause"}
            self.add(self.name(name), {"Type": "Pass", "Parameters": facts, "Next": self.failed()})

    def fatal(self) -> Condition:
        """Return the condition that ``err`` is one that nobody catches."""
        return _one_of(f"${self.var('err')}.Error", rules.FATAL)

    def names(self, errors: Sequence[str]) -> Condition | None:
        """Return the condition that ``err`` is one of *errors*; None for any."""
        if rules.ALL in errors:
            return None
        err = f"${self.var('err')}.Error"
        found = [variable(err, "StringEquals", error) for error in errors]
        if rules.TASK_FAILED in errors:
            found.append({"Not": variable(err, "StringEquals", rules.TIMEOUT)})
        return some(*found)


def _said(name: str, value: str) -> dict[str, str]:
    return {f"{name}.$": value} if value.startswith("$") else {name: value}


def _one_of(path: str, values: Sequence[str]) -> Condition:
    return some(*(variable(path, "StringEquals", value) for value in values))
