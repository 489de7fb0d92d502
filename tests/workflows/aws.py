"""Runs cases on moto's interpreter of the States Language, with tasks in AWS's runtime client.

All in this process but the functions: each is a process of ``awslambdaric`` with the built package,
as many of one function as are called at once.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import boto3
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils

from portafaas.errors import DeploymentError
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build
from portafaas.plan.build import build_plan
from portafaas.vendor.environment import prepare
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.workflows import AwsWorkflows
from portafaas_aws.infrastructure.document import logical_id
from portafaas_aws.infrastructure.workflows import SIGNALS, text_of
from portafaas_aws.names import machine_name
from portafaas_aws.runtime import resources
from portafaas_aws.runtime.runs import execution
from portafaas_aws.vendor import AwsVendorSession, runtime
from tests.workflows import aws_moto, scripts
from tests.workflows.cases import Case

REGION, ACCOUNT = "eu-central-1", "123456789012"
_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Functions:
    """The package's functions, each in as many environments as are needed at once."""

    def __init__(self, folder: Path, package: Path) -> None:
        self._package = package
        self._plan = folder
        self._python = prepare("aws", runtime(), _VERSION)
        self._idle: dict[str, list[AwsVendorSession]] = {}
        self._all: list[AwsVendorSession] = []
        self._lock = threading.Lock()

    def invoke(self, name: str, event: Any) -> tuple[bool, Any]:
        with self._lock:
            idle = self._idle.setdefault(name, [])
            session = idle.pop() if idle else None
        if session is None:
            session = runtime().start(
                self._package, entry=f"_portafaas.{name}", function=name, python=self._python,
                env={"PORTAFAAS_FLOW_PLAN": str(self._plan)}, timeout=10, memory=512,
                settings={"region": REGION, "account": ACCOUNT},
            )  # fmt: skip
            with self._lock:
                self._all.append(session)
        result = session.invoke(event)
        with self._lock:
            idle.append(session)
        return result.ok, result.value

    def close(self) -> None:
        for session in self._all:
            session.close()


class Machines:
    """Machines of *cases* in a moto of this process; a context manager."""

    def __init__(self, folder: Path, cases: Iterable[Case]) -> None:
        self.cases = list(cases)
        self.folder = folder
        #: The last run of each case.
        self.runs: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self) -> None:
        plan = self.folder / "plan"
        scripts.prepare(plan, self.cases)
        build(scripts.project(self.folder / "project", []), ["aws"])
        every = scripts.project(self.folder / "every", self.cases)
        self.built = build_plan(load_manifest(every))
        self.workflows = AwsWorkflows(Cloud(self.built))
        package = self.folder / "package"
        with zipfile.ZipFile(self.folder / "project" / "out" / "aws" / "flow.zip") as archive:
            archive.extractall(package)
        self.functions = Functions(plan, package)
        self._stack.callback(self.functions.close)
        old = {name: os.environ.get(name) for name in ("AWS_ENDPOINT_URL",)}
        os.environ.pop("AWS_ENDPOINT_URL", None)
        self._stack.callback(lambda: os.environ.update({k: v for k, v in old.items() if v}))
        self._stack.enter_context(
            mock_aws(config={"stepfunctions": {"execute_state_machine": True}})
        )
        self._stack.enter_context(aws_moto.patched())
        original = lambda_eval_utils._invoke_lambda_function
        lambda_eval_utils._invoke_lambda_function = self._invoke
        self._stack.callback(
            lambda: setattr(lambda_eval_utils, "_invoke_lambda_function", original)
        )
        self.client = boto3.client("stepfunctions", region_name=REGION)
        boto3.client("sns", region_name=REGION).create_topic(Name="signals")
        self.plan = plan
        for case in self.cases:
            if "slow" in case.needs:
                aws_moto.SLOW.update(machine_name(self.built, n) for n in _names(case))
        for workflow in self.built.workflows:
            self.client.create_state_machine(
                name=machine_name(self.built, workflow.name),
                definition=self.resolved(text_of(workflow)),
                roleArn=f"arn:aws:iam::{ACCOUNT}:role/flow",
            )

    def resolved(self, text: str) -> str:
        """Return a definition with its addresses, as CloudFormation puts them in."""
        known = {"AWS::Partition": "aws", SIGNALS: f"arn:aws:sns:{REGION}:{ACCOUNT}:signals"}
        for workflow in self.built.workflows:
            known[logical_id(workflow.name, "Workflow")] = self.arn(workflow.name)
        for name in scripts.FUNCTIONS:
            arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
            known[f"{logical_id(name, 'Function')}.Arn"] = arn
        return re.sub(r"\$\{([^}]+)\}", lambda found: known[found[1]], text)

    def arn(self, workflow: str) -> str:
        """Return the ARN of a machine."""
        name = machine_name(self.built, workflow)
        return f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}"

    def _invoke(self, parameters: Any, region: str, state_credentials: Any) -> Any:
        name = parameters["FunctionName"].rpartition(":")[2]
        ok, value = self.functions.invoke(name, json.loads(parameters["Payload"]))
        return {"Payload": value} if ok else {"Payload": value, "FunctionError": "Unhandled"}

    def run(self, case: Case) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Run a case; return its outcome and ledger."""
        run = self.workflows.start(case.name, case.input)
        self.runs[case.name] = run
        arn = execution(self.arn(case.name), run)
        since: dict[str, float] = {}
        end = time.monotonic() + 30
        while self.client.describe_execution(executionArn=arn)["status"] == "RUNNING":
            if time.monotonic() > end:
                raise TimeoutError(f"{case.name} runs and runs")
            there = self.workflows.status(case.name, run).waiting if case.signals else ()
            for name, (seconds, payload) in case.signals.items():
                if name not in there:
                    since.pop(name, None)
                elif time.monotonic() >= since.setdefault(name, time.monotonic()) + seconds:
                    self._signal(case, run, name, payload)
                    # It may be waited for again: by a loop, or when what is around is retried.
                    since[name] = time.monotonic() + 1.0
            time.sleep(0.05)
        found = self.workflows.status(case.name, run)
        if found.state == "succeeded":
            outcome = {"ok": found.output}
        else:
            outcome = {"error": found.error, "cause": found.cause}
        return outcome, scripts.ledger(self.plan, case)

    def _signal(self, case: Case, run: str, name: str, payload: Any) -> None:
        seen = list(self.workflows._history(case.name, run))
        # By a function's client, and by the command.
        if payload is None or isinstance(payload, int):
            resources.signal_run(self.arn(case.name), run, name, payload)
        else:
            self.workflows.signal(case.name, run, name, payload)
        # Another sender has seen the run wait, too.
        late = AwsWorkflows(Cloud(self.built))
        late._history = lambda *_: iter(seen)  # type: ignore[method-assign]
        try:
            late.signal(case.name, run, name, "late")
        except DeploymentError as exc:
            assert [one.code for one in exc.diagnostics] == ["PF8041"]
        else:
            raise AssertionError(f"{case.name} took {name} twice")


def _names(case: Case) -> list[str]:
    return list(scripts.names(case).values())


def each(cases: Iterable[Case], do: Callable[[Case], Any], at_once: int = 4) -> dict[str, Any]:
    """Return what *do* returns, or raises, for each case, by name; several at once."""

    def safely(case: Case) -> Any:
        try:
            return do(case)
        except Exception as exc:
            return exc

    cases = list(cases)
    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip((case.name for case in cases), pool.map(safely, cases), strict=True))
