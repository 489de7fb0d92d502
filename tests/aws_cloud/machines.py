"""State machines run, and call with their roles. In the server's process only.

A machine's principal is ``workflow:`` and its name. Waits and delays of retries take a fiftieth of
their time.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from moto.core.config import default_user_config
from moto.stepfunctions import models
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from tests.aws_cloud.world import ACCOUNT, World
from tests.workflows import aws_moto

#: What it holds would be undone when nobody holds it.
_FOR_EVER = ExitStack()


def run_machines(world: World) -> None:
    """Have machines executed, for as long as the process lives."""
    settings: Any = default_user_config
    settings["stepfunctions"]["execute_state_machine"] = True
    # CloudFormation's machines are those that run.
    module: Any = models
    module.stepfunctions_backends = stepfunctions_parser_backends

    def client(region: str, service: str, state_credentials: Any = None) -> Any:
        role = getattr(state_credentials, "role_arn", None)
        for machine in _machines():
            if machine.roleArn == role:
                return world.client(service, region, f"workflow:{machine.name}")
        raise KeyError(f"no machine has the role {role!r}")

    _FOR_EVER.enter_context(aws_moto.patched(client))
    world.pending.append(_running)


def _machines() -> list[Any]:
    backends = stepfunctions_parser_backends[ACCOUNT].values()
    return [machine for states in backends for machine in states.state_machines]


def _running() -> list[str]:
    return [
        f"machine {machine.name} runs"
        for machine in _machines()
        for run in machine.executions
        if run.status == "RUNNING"
    ]
