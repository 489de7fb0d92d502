"""Steps of a machine of the normal form as a routine of a workflow's source.

A routine never raises: it returns ``{"ok", "log"}`` or ``{"error", "cause", "log"}``, where the log
is what may have to be undone. In a routine ``document`` is the run's document, ``answer`` what the
last step came to, ``entry`` counts entries into steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portafaas.plan.machines import inner
from portafaas_gcp.workflows import names
from portafaas_gcp.workflows.calling import LONGEST_CALL
from portafaas_gcp.workflows.expressions import Step, expression
from portafaas_gcp.workflows.kinds import Kinds
from portafaas_gcp.workflows.routines import Routine
from portafaas_gcp.workflows.steps import DEEPEST, FAILED, FINISHED, is_parallel

#: Seconds between a function's own timeout and that of the call.
GRACE = 10


class Writer:
    """Writes the routines of one workflow.

    *url* returns the address of a function, *timeout* its timeout in seconds, *nested* how many
    parallel steps are within one another in an execution of a workflow.
    """

    def __init__(
        self,
        workflow: str,
        url: Callable[[str], str],
        timeout: Callable[[str], float],
        nested: Callable[[str], int],
    ) -> None:
        self.workflow = workflow
        self.routines: dict[str, Routine] = {}
        #: How to undo each step, by its name.
        self.undo: dict[str, dict[str, Any]] = {}
        #: Routines that run in executions of their own, and the steps that they do.
        self.apart: dict[str, tuple[str, Mapping[str, Any] | None]] = {}
        self.nested = nested
        self._url = url
        self._timeout = timeout

    def call(self, function: str, seconds: float | None = None) -> dict[str, Any]:
        """Return what ``portafaas_call`` has to know of a function."""
        most = self._timeout(function) + GRACE if seconds is None else seconds
        return {"url": self._url(function), "timeout": min(most, LONGEST_CALL)}

    def depth(self, machine: Mapping[str, Any]) -> int:
        """Return how many parallel steps are within one another in an execution; 0, 1 or 2."""
        deepest = 0
        for step in machine["steps"].values():
            if step["kind"] == "workflow":
                deepest = max(deepest, self.nested(step["workflow"]))
            for one in inner(step):
                deepest = max(deepest, self.depth(one) + is_parallel(step))
        return min(deepest, DEEPEST)

    def machine(self, machine: Mapping[str, Any], *within: str, around: int = 0) -> str:
        """Add the routine of a machine, and return its name.

        *around*: how many parallel steps it is within, in its execution.
        """
        name = names.steps(self.workflow, *within)
        writer = Kinds(self, within, around)
        writer.steps_of(machine, FINISHED)
        begin = {
            "begin": {
                "assign": [
                    {"log": []},
                    {"entry": 0},
                    {"answer": {}},
                    *({variable: 0} for variable in writer.counters),
                ]
            }
        }
        run = {
            "run": {
                "try": {
                    "steps": [
                        *writer.out,
                        {
                            FINISHED: {
                                "return": {
                                    "ok": expression("document"),
                                    "log": expression("log"),
                                }
                            }
                        },
                        {FAILED: _failure()},
                    ]
                },
                "except": {
                    "as": "error",
                    "steps": [
                        {
                            "broken": {
                                "call": "portafaas_broken",
                                "args": {"error": expression("error")},
                                "result": "answer",
                            }
                        },
                        {"over": _failure()},
                    ],
                },
            }
        }
        self.routines[name] = {"params": ["document", "context", "place"], "steps": [begin, run]}
        return name


def _failure() -> Step:
    return {
        "return": {
            "error": expression('answer["error"]'),
            "cause": expression('answer["cause"]'),
            "log": expression("log"),
        }
    }
