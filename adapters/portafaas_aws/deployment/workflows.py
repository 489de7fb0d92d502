"""Runs of the deployed workflows, over the API of Step Functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from portafaas.deployment.workflows import RunState, StepEvent, Workflows, refused
from portafaas_aws.deployment.cloud import Cloud, speaking
from portafaas_aws.deployment.faults import code_of
from portafaas_aws.deployment.histories import events_of
from portafaas_aws.names import machine_name
from portafaas_aws.runtime import runs

_ABSENT = ("StateMachineDoesNotExist", "StateMachineDeleting")
_UNKNOWN = ("ExecutionDoesNotExist", "InvalidArn")
_LATE = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


class AwsWorkflows(Workflows):
    """The machines of one service and stage; a run's id is its execution's name."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    @property
    def _client(self) -> Any:
        return self.cloud.client("stepfunctions")

    def _machine(self, workflow: str) -> str:
        cloud = self.cloud
        name = machine_name(cloud.plan, workflow)
        return f"arn:{cloud.partition}:states:{cloud.region}:{cloud.account}:stateMachine:{name}"

    @speaking("no run was started:")
    def start(self, workflow: str, input: Any) -> str:
        """Start a run; return its id."""
        run = str(uuid4())
        text = json.dumps(input, ensure_ascii=False, separators=(",", ":"))
        self._ask(
            "start_execution", workflow, run,
            stateMachineArn=self._machine(workflow), name=run, input=text,
        )  # fmt: skip
        return run

    @speaking("AWS does not say which runs there are:")
    def runs(self, workflow: str, limit: int) -> Sequence[RunState]:
        """Return runs, the latest first, without input and output."""
        found: list[RunState] = []
        token: dict[str, str] = {}
        while len(found) < limit:
            page = self._ask(
                "list_executions", workflow, "",
                stateMachineArn=self._machine(workflow),
                maxResults=min(1000, limit - len(found)), **token,
            )  # fmt: skip
            for item in page["executions"]:
                state, error, cause = runs.ended(item)
                if state == "failed":
                    # Why is not in the list.
                    error = cause = ""
                times = _time(item, "startDate"), _time(item, "stopDate")
                made = RunState(workflow, item["name"], state, *times, error=error, cause=cause)
                found.append(made)
            if not page.get("nextToken"):
                break
            token = {"nextToken": page["nextToken"]}
        return found[:limit]

    @speaking("AWS does not say how the run is:")
    def status(self, workflow: str, run: str) -> RunState:
        """Return one run."""
        facts = self._describe(workflow, run)
        state, error, cause = runs.ended(facts)
        waiting: tuple[str, ...] = ()
        if state == "running":
            names = [name for name, _ in runs.waiting(self._history(workflow, run))]
            waiting = tuple(dict.fromkeys(names))
        return RunState(
            workflow, run, state, _time(facts, "startDate"), _time(facts, "stopDate"),
            _json(facts.get("input")), _json(facts.get("output")) if state == "succeeded" else None,
            error, cause, waiting,
        )  # fmt: skip

    @speaking("AWS does not say what has happened:")
    def history(self, workflow: str, run: str) -> Sequence[StepEvent]:
        """Return what happened in a run."""
        machine = self.cloud.plan.workflow(workflow).machine
        return events_of(machine, self._history(workflow, run))

    @speaking("the signal was not given:")
    def signal(self, workflow: str, run: str, name: str, payload: Any) -> None:
        """Hand a JSON value to the wait for *name* that began first."""
        state = runs.ended(self._describe(workflow, run))[0]
        waiting = []
        if state == "running":
            waiting = runs.waiting(self._history(workflow, run))
        output = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        for found, token in waiting:
            if found != name:
                continue
            try:
                self._client.send_task_success(taskToken=token, output=output)
            except Exception as exc:
                if code_of(exc) in _LATE:
                    continue
                raise
            return
        names = sorted({found for found, _ in waiting})
        raise refused(
            "PF8041", f"run {run} does not wait for {name!r}: it is {state}",
            f"it waits for: {', '.join(names)}" if names else None,
        )  # fmt: skip

    @speaking("the run was not stopped:")
    def cancel(self, workflow: str, run: str) -> None:
        """Stop a run, and those that it waits for."""
        state = runs.ended(self._describe(workflow, run))[0]
        if state != "running":
            raise refused("PF8042", f"run {run} has ended: it is {state}")
        self._client.stop_execution(executionArn=runs.execution(self._machine(workflow), run))

    def _describe(self, workflow: str, run: str) -> Mapping[str, Any]:
        arn = runs.execution(self._machine(workflow), run)
        found: Mapping[str, Any] = self._ask("describe_execution", workflow, run, executionArn=arn)
        return found

    def _history(self, workflow: str, run: str) -> Iterator[Mapping[str, Any]]:
        arn = runs.execution(self._machine(workflow), run)
        token: dict[str, str] = {}
        while True:
            page = self._ask(
                "get_execution_history", workflow, run, executionArn=arn, maxResults=1000, **token
            )
            yield from page["events"]
            if not page.get("nextToken"):
                return
            token = {"nextToken": page["nextToken"]}

    def _ask(self, operation: str, workflow: str, run: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(**arguments)
        except Exception as exc:
            if code_of(exc) in _ABSENT:
                raise refused(
                    "PF8010", f"workflow {workflow!r} is not deployed", "portafaas deploy"
                ) from exc
            if code_of(exc) in _UNKNOWN and run:
                text = f"workflow {workflow!r} has no run {run!r}"
                raise refused("PF8040", text) from exc
            raise


def _time(facts: Mapping[str, Any], key: str) -> float:
    found = facts.get(key)
    return 0.0 if found is None else float(found.timestamp())


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
