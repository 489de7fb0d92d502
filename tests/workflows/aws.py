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

from portafaas.pipeline import build
from portafaas.plan.model import WorkflowPlan
from portafaas.vendor.environment import prepare
from portafaas_aws.infrastructure.document import logical_id
from portafaas_aws.infrastructure.workflows import SIGNALS, text_of
from portafaas_aws.runtime import resources
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


def _resolved(text: str) -> str:
    """Return a definition with its addresses, as CloudFormation puts them in."""

    def address(found: re.Match[str]) -> str:
        name = found[1]
        if name == SIGNALS:
            return f"arn:aws:sns:{REGION}:{ACCOUNT}:signals"
        for case in NAMES:
            if logical_id(case, "Workflow") == name:
                return _arn(case)
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name.removesuffix('.Arn')}"

    return re.sub(r"\$\{([^}]+)\}", address, text)


#: Workflows by their names.
NAMES: set[str] = set()


def _arn(workflow: str) -> str:
    return f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{workflow}"


class Machines:
    """Machines of *cases* in a moto of this process; a context manager."""

    def __init__(self, folder: Path, cases: Iterable[Case]) -> None:
        self.cases = list(cases)
        self.folder = folder

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
        manifest = scripts.project(self.folder / "project", [])
        build(manifest, ["aws"])
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
        NAMES.update(name for case in self.cases for name in scripts.names(case).values())
        for case in self.cases:
            if "slow" in case.needs:
                aws_moto.SLOW.update(scripts.names(case).values())
            for name, machine in scripts.machines(case).items():
                self.client.create_state_machine(
                    name=name,
                    definition=_resolved(text_of(WorkflowPlan(name, machine))),
                    roleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}",
                )

    def _invoke(self, parameters: Any, region: str, state_credentials: Any) -> Any:
        name = parameters["FunctionName"].rpartition(":")[2].removesuffix("Function").lower()
        ok, value = self.functions.invoke(name, json.loads(parameters["Payload"]))
        return {"Payload": value} if ok else {"Payload": value, "FunctionError": "Unhandled"}

    def run(self, case: Case) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Run a case; return its outcome and ledger."""
        arn = _arn(case.name)
        started = self.client.start_execution(
            stateMachineArn=arn, name=f"run-{case.name}-{time.time_ns()}",
            input=json.dumps(case.input),
        )["executionArn"]  # fmt: skip
        waiting = dict(case.signals)
        end = time.monotonic() + 30
        while True:
            found = self.client.describe_execution(executionArn=started)
            if found["status"] != "RUNNING":
                break
            if time.monotonic() > end:
                raise TimeoutError(f"{case.name} runs and runs")
            for name, (_, payload) in list(waiting.items()):
                if self._signal(arn, started.rpartition(":")[2], name, payload):
                    del waiting[name]
            time.sleep(0.02)
        if found["status"] == "SUCCEEDED":
            outcome = {"ok": json.loads(found["output"])}
        else:
            outcome = {"error": found.get("error"), "cause": found.get("cause", "")}
        return outcome, scripts.ledger(self.plan, case)

    def _signal(self, arn: str, run: str, name: str, payload: Any) -> bool:
        from portafaas.runtime.resources import NotWaiting

        try:
            resources.signal_run(arn, run, name, payload)
        except NotWaiting:
            return False
        return True


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
