"""moto's interpreter of the States Language, where it is not what the documentation says.

moto has LocalStack's interpreter. What is replaced, and what says otherwise, is in
``docs/vendor-runtimes.md``; each function below is one line of the table there.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails, TaskTimedOut
from moto.stepfunctions.parser.asl.component.common.assign.assign_decl import AssignDecl
from moto.stepfunctions.parser.asl.component.common.error_name import custom_error_name
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import (
    ErrorEqualsDecl,
)
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import (
    StatesErrorName,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.state.choice.comparison.comparison_func import (
    ComparisonFuncValue,
)
from moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.factory import (
    OperatorFactory,
)
from moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations import (
    string_operators,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service,
    state_task_service_callback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task_lambda import (
    StateTaskLambda,
)
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.component.state.wait.wait_function import wait_function
from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackPoolManager
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for
from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from portafaas.runtime.states import _matches

#: Parts of a second that a second of waiting takes, of retries and waits.
HASTE = 50
#: Machines whose waits take their time.
SLOW: set[str] = set()
_PART = re.compile(r"\.([\w-]+)|\['((?:[^'\\]|\\.)*)'\]|\[(\d+)\]|\[(\*)\]")


def parts(path: str) -> list[str | int | None]:
    """Return names, indices and None for ``[*]`` of a path without its beginning."""
    out: list[str | int | None] = []
    at = 0
    while at < len(path):
        found = _PART.match(path, at)
        if found is None:
            raise NotImplementedError(f"path {path!r}")
        dotted, name, index, _ = found.groups()
        out.append(
            dotted if dotted is not None else name if name is not None
            else int(index) if index is not None else None
        )  # fmt: skip
        at = found.end()
    return out


def extract(path: str, data: Any) -> Any:
    """Evaluate a path: one value, or with ``[*]`` the list of all that there are, none included."""
    steps = parts(path[1:])
    values = [data]
    for step in steps:
        following = []
        for value in values:
            if step is None and isinstance(value, list):
                following += value
            elif isinstance(step, str) and isinstance(value, dict) and step in value:
                following.append(value[step])
            elif isinstance(step, int) and isinstance(value, list) and step < len(value):
                following.append(value[step])
        values = following
    if None in steps:
        return values
    if not values:
        raise NoSuchJsonPathError(json_path=path, data=data)
    return values[0]


def _variable(self: Any, env: Any) -> None:
    name, rest = re.fullmatch(r"\$(\w+)(.*)", self.expression, re.S).groups()  # type: ignore[union-attr]
    env.stack.append(copy.deepcopy(extract("$" + rest, env.variable_store.get(name))))


class Mismatch(Exception):
    """A result cannot be put where it belongs."""


def _result_path(self: Any, env: Any) -> None:
    document = env.states.get_input()
    if self.result_path_src is None:
        env.stack.clear()
        env.stack.append(document)
        return
    value = copy.deepcopy(env.stack.pop())
    steps = parts(self.result_path_src[1:])
    if not steps:
        env.stack.append(value)
        return
    inner = document
    for number, step in enumerate(steps):
        if not (isinstance(inner, dict) and isinstance(step, str)):
            raise Mismatch(f"{self.result_path_src} does not fit the input")
        if number == len(steps) - 1:
            inner[step] = value
        else:
            inner = inner.setdefault(step, {})
    env.stack.append(document)


def _error_equals(self: Any, env: Any) -> None:
    error = env.stack.pop().error_name
    names = {one.error_name for one in self.error_names}
    terminal = ("States.Runtime", "States.DataLimitExceeded")
    env.stack.append(
        error in names
        or ("States.ALL" in names and error not in terminal)
        or ("States.TaskFailed" in names and error not in (*terminal, "States.Timeout"))
    )


def _lambda_error(original: Any) -> Any:
    def from_error(self: Any, env: Any, ex: Exception) -> Any:
        if isinstance(ex, (NoSuchJsonPathError, Mismatch)):
            return _failure(env, "States.Runtime", str(ex))
        return original(self, env, ex)

    return from_error


def _failure(env: Any, error: str, cause: str) -> FailureEvent:
    details: Any = EventDetails
    return FailureEvent(
        env=env,
        error_name=StatesErrorName(StatesErrorNameType.from_name(error)),
        event_type=HistoryEventType.TaskFailed,
        event_details=details(
            taskFailedEventDetails=TaskFailedEventDetails(error=error, cause=cause)
        ),
    )


def _lambda_parameters(original: Any) -> Any:
    def parameters(self: Any, env: Any) -> Any:
        found = original(self, env)
        self._verify_size_quota(env=env, value=found["Payload"])
        return found

    return parameters


def _cased(change: Any) -> Any:
    def normalise(self: Any, parameters: Any = None, response: Any = None, **_: Any) -> None:
        found = parameters if response is None else response
        if type(self) is StateTaskServiceSfn and isinstance(found, dict):
            for name in list(found):
                found[change(name[0]) + name[1:]] = found.pop(name)

    return normalise


def _named(original: Any) -> Any:
    def start(self: Any, state_machine_arn: str, name: Any = None, *rest: Any, **more: Any) -> Any:
        return original(self, state_machine_arn, name or str(uuid.uuid4()), *rest, **more)

    return start


def _assigned(self: Any, env: Any) -> None:
    declared: dict[str, Any] = {}
    for binding in self.declaration_bindings:
        binding.eval(env=env)
        declared.update(env.stack.pop())
    CommonStateField._verify_size_quota(SimpleNamespace(name="Assign"), env, declared)  # type: ignore[arg-type]
    for name, value in declared.items():
        env.variable_store.set(variable_identifier=name, variable_value=value)


def _once(original: Any) -> Any:
    def notify(self: Any, callback_id: str, outcome: Any) -> Any:
        endpoint = self.get(callback_id)
        if endpoint is not None and endpoint.get_outcome() is not None:
            raise TaskTimedOut("the task is closed", "TaskTimedOut")
        return original(self, callback_id, outcome)

    return notify


def _resolver(original: Any) -> Any:
    def build(self: Any, env: Any, *rest: Any, **more: Any) -> Any:
        arn = env.stack[-1]["ExecutionArn"]
        region = more["resource_runtime_part"].region
        self.portafaas_stop = lambda: boto_client_for(
            service="stepfunctions", region=region
        ).stop_execution(executionArn=arn)
        return original(self, env, *rest, **more)

    return build


def _sync(original: Any) -> Any:
    def evaluate(self: Any, *rest: Any, **more: Any) -> Any:
        found = original(self, *rest, **more)
        if not found:
            self.portafaas_stop()
        return found

    return evaluate


def _as_text(original: Any) -> Any:
    def reflect(self: Any) -> None:
        original(self)
        if self.execution.status == "SUCCEEDED":
            self.execution.output = json.dumps(self.execution.output)

    return reflect


def _compared(self: Any, env: Any) -> None:
    operator = OperatorFactory.get(self.operator_type)
    if not (isinstance(self.value, str) and self.value.startswith("$$.")):
        operator.eval(env=env, value=self.value)
        return
    # Of two values the second may be one of the context, too.
    variable = env.stack.pop()
    env.stack += [env.states.context_object.context_object_data, variable]
    operator.eval(env=env, value=self.value[1:])
    del env.stack[-2]


class _Time:
    """``time`` of a module, hastened."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def sleep(self, seconds: float) -> None:
        self._module.sleep(seconds / HASTE)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _wait(self: Any, env: Any, wait_seconds: float) -> None:
    if wait_seconds > 0:
        machine = env.states.context_object.context_object_data["StateMachine"]["Name"]
        env.program_state_event.wait(wait_seconds / (1 if machine in SLOW else HASTE))


@contextmanager
def patched(client: Callable[..., Any] | None = None) -> Iterator[None]:
    """Replace it all; put it back.

    *client* makes the clients of tasks' calls: ``(region=, service=, state_credentials=)``.
    """
    before: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    wanted: dict[str, tuple[Any, Any]] = {"extract_json": (json_path.extract_json, extract)}
    if client is not None:
        wanted["boto_client_for"] = (boto_client_for, client)
        put(sys.modules[__name__], "boto_client_for", client)
    for module in list(sys.modules.values()):
        if not getattr(module, "__name__", "").startswith("moto.stepfunctions"):
            continue
        for name, (original, own) in wanted.items():
            if getattr(module, name, None) is original:
                put(module, name, own)
    put(string_expression.StringVariableSample, "_eval_body", _variable)
    put(result_path.ResultPath, "_eval_body", _result_path)
    put(ErrorEqualsDecl, "_eval_body", _error_equals)
    put(ComparisonFuncValue, "_eval_body", _compared)
    put(custom_error_name, "ILLEGAL_CUSTOM_ERROR_PREFIX", "\0")
    put(
        string_operators.StringMatches, "_compare",
        staticmethod(lambda value, pattern: isinstance(value, str) and _matches(value, pattern)),
    )  # fmt: skip
    for owner, name, wrap in (
        (StateTaskLambda, "_from_error", _lambda_error),
        (StateTaskLambda, "_eval_parameters", _lambda_parameters),
        (StepFunctionsParserBackend, "start_execution", _named),
        (CallbackPoolManager, "notify", _once),
        (StateTaskServiceSfn, "_build_sync2_resolver", _resolver),
        (StateTaskServiceSfn, "_eval_sync", _sync),
        (BaseExecutionWorkerCommunication, "_reflect_execution_status", _as_text),
    ):
        put(owner, name, wrap(getattr(owner, name)))
    service: Any = state_task_service.StateTaskService
    put(AssignDecl, "_eval_body", _assigned)
    put(service, "_normalise_parameters", _cased(str.lower))
    put(service, "_normalise_response", _cased(str.upper))
    # A definition is parsed when it is made and at each start, which takes most of the time.
    parsed = lru_cache(None)(AmazonStateLanguageParser.parse)
    put(AmazonStateLanguageParser, "parse", staticmethod(parsed))
    put(retrier_decl, "time", _Time(time))
    put(wait_function.WaitFunction, "_wait_interval", _wait)
    put(state_task_service_callback, "_DELAY_SECONDS_SYNC_CONDITION_CHECK", 0.02)
    try:
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)
