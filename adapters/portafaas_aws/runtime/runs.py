"""Runs of workflows in Step Functions. Ships; loads boto3 lazily.

A run's id is its execution's name. Where it waits for a signal, and by which token it goes on, is
in its history alone: nothing else is kept.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html
"""

from __future__ import annotations

from portafaas.runtime.resources import NotFound, NotWaiting
from portafaas_aws.runtime.calls import call, client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, Literal

    from portafaas.runtime.workflows import RunStatus

    State = Literal["running", "succeeded", "failed", "canceled"]

#: Errors of the service when a path leads nowhere, or a result has no place.
#: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
BROKEN = (
    "States.IntrinsicFailure", "States.ItemReaderFailed", "States.ParameterPathFailure",
    "States.QueryEvaluationError", "States.ResultPathMatchFailure",
)  # fmt: skip
#: What a wait for a signal calls, as the history has it.
RESOURCE = "publish.waitForTaskToken"
_GONE = {"ExecutionDoesNotExist": NotFound, "InvalidArn": NotFound}
_LATE = {"TaskTimedOut": NotWaiting, "TaskDoesNotExist": NotWaiting, "InvalidToken": NotWaiting}
_STATES: dict[str, State] = {
    "RUNNING": "running", "SUCCEEDED": "succeeded", "ABORTED": "canceled", "FAILED": "failed",
    "TIMED_OUT": "failed",
}  # fmt: skip


def execution(machine: str, run: str) -> str:
    """Return the ARN of a run of the machine with the ARN *machine*."""
    return machine.replace(":stateMachine:", ":execution:", 1) + f":{run}"


def start(machine: str, input: Any) -> str:
    """Start a run on a JSON value; return its id."""
    import json
    from uuid import uuid4

    run = str(uuid4())
    call(
        client("stepfunctions").start_execution,
        stateMachineArn=machine,
        name=run,
        input=json.dumps(input, ensure_ascii=False, separators=(",", ":")),
    )
    return run


def status(machine: str, run: str) -> RunStatus:
    """Return how a run is; raises NotFound."""
    import json

    from portafaas.runtime.workflows import RunStatus

    facts = describe(machine, run)
    state, error, cause = ended(facts)
    output = json.loads(facts["output"]) if state == "succeeded" else None
    names = []
    if state == "running":
        names = list(dict.fromkeys(name for name, _ in waiting(history(machine, run))))
    return RunStatus(run, state, output, error, cause, names)


def signal(machine: str, run: str, name: str, payload: Any) -> None:
    """Hand a JSON value to the wait for the signal *name* that began first.

    Raises NotFound when there is no such run, NotWaiting when it does not wait for it.
    """
    import json

    if describe(machine, run)["status"] == "RUNNING":
        output = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        for found, token in waiting(history(machine, run)):
            if found != name:
                continue
            try:
                call(
                    client("stepfunctions").send_task_success, _LATE,
                    taskToken=token, output=output,
                )  # fmt: skip
            except NotWaiting:
                # It has ended since; another may wait for the same.
                continue
            return
    raise NotWaiting(f"run {run} does not wait for {name!r}")


def describe(machine: str, run: str) -> Mapping[str, Any]:
    """Return what DescribeExecution says; raises NotFound."""
    found: Mapping[str, Any] = call(
        client("stepfunctions").describe_execution, _GONE, executionArn=execution(machine, run)
    )
    return found


def history(machine: str, run: str) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a run, the first first."""
    token: dict[str, str] = {}
    while True:
        page = call(
            client("stepfunctions").get_execution_history, _GONE,
            executionArn=execution(machine, run), maxResults=1000, **token,
        )  # fmt: skip
        yield from page["events"]
        if not page.get("nextToken"):
            return
        token = {"nextToken": page["nextToken"]}


def ended(facts: Mapping[str, Any]) -> tuple[State, str, str]:
    """Return state, error and cause of what DescribeExecution says."""
    state = _STATES.get(facts["status"], "failed")
    if state != "failed":
        return state, "", ""
    if facts["status"] == "TIMED_OUT":
        return state, "States.Timeout", ""
    error = str(facts.get("error") or "States.TaskFailed")
    return state, "States.Runtime" if error in BROKEN else error, str(facts.get("cause") or "")


def waiting(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return names and tokens of the signals that a running run waits for, the oldest first."""
    import json

    found: dict[int, tuple[str, str]] = {}
    #: The wait that an event belongs to.
    own: dict[int, int] = {}
    for event in events:
        id, kind = event["id"], event["type"]
        if kind == "TaskScheduled":
            facts = event["taskScheduledEventDetails"]
            if facts["resource"] == RESOURCE:
                message = json.loads(facts["parameters"])["Message"]
                if isinstance(message, str):
                    message = json.loads(message)
                found[id] = message["signal"], message["token"]
                own[id] = id
            continue
        begun = own.get(event.get("previousEventId", 0))
        if begun is None:
            continue
        own[id] = begun
        if kind not in ("TaskStarted", "TaskSubmitted"):
            found.pop(begun, None)
    return list(found.values())
