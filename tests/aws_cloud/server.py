"""A moto server whose functions run; it prints its address and serves until its input ends.

Tests talk to it through ``cloud``. What is moto's and what is not: README.md.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.moto_server import threaded_moto_server
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from tests.aws_cloud import patches
from tests.aws_cloud.asynchronous import Asynchronous, fire
from tests.aws_cloud.functions import Functions
from tests.aws_cloud.gateway import Gateway
from tests.aws_cloud.recorder import Recorder, policy_of
from tests.aws_cloud.sources import Sources
from tests.aws_cloud.world import World

#: Paths under this are ours; no service has such a path.
CONTROL = "/_cloud/"


class Control:
    """A WSGI application: what the tests ask of the cloud, else *app*."""

    def __init__(
        self, world: World, gateway: Gateway, app: Callable[..., Iterable[bytes]]
    ) -> None:
        self._world = world
        self._gateway = gateway
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a question with JSON, or pass the request on."""
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(CONTROL):
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            answer = getattr(self, f"_{path.removeprefix(CONTROL)}")(**json.loads(body))
            status = "200 OK"
        except Exception as exc:
            answer, status = f"{type(exc).__name__}: {exc}", "400 Bad Request"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(answer, default=str).encode()]

    def _url(self, name: str | None) -> str:
        return self._gateway.api_url(name)

    def _function_url(self, name: str) -> str:
        return self._gateway.function_url(name)

    def _idle(self, seconds: float) -> list[str]:
        return self._world.idle(seconds)

    def _calls(self, start: int) -> list[dict[str, Any]]:
        return self._world.calls[start:]

    def _invocations(self, start: int) -> list[dict[str, Any]]:
        return self._world.invocations[start:]

    def _policy(self, principal: str) -> dict[str, list[list[str]]]:
        policy = policy_of(principal)
        return {
            "grants": [[g.action, g.resource] for g in policy.grants],
            "denials": [[g.action, g.resource] for g in policy.denials],
        }

    def _fire(self, name: str, group: str, time: str) -> None:
        # Busy until the invocation is accepted, so that "idle" cannot come too early.
        with self._world.busy(f"schedule {name}"):
            fire(self._world, name, group, time)


def _formation() -> Any:
    """Have CloudFormation as ``tests/unit/aws`` has it; return the module with the server's address.

    The types that moto lacks, and if they are there change sets and states as engines of
    deployment need them. Its modules know one another by their names alone.
    """
    sys.path.append(str(Path(__file__).parents[1] / "unit" / "aws"))
    types = importlib.import_module("moto_aws")
    types.patch()
    for name in ("aws_deployment_formation", "aws_deployment_changes"):
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name).patch()
    return types


def main() -> None:
    """Serve until the standard input ends."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    world = World()
    functions = Functions(world)
    asynchronous = Asynchronous(world, functions)
    gateway = Gateway(world, functions)
    formation = _formation()
    patches.patch(world, functions, asynchronous)
    if "--workflows" in sys.argv:
        from tests.aws_cloud.machines import run_machines

        run_machines(world)
    wrapped: Any = threaded_moto_server
    made = wrapped.DomainDispatcherApplication
    wrapped.DomainDispatcherApplication = lambda create: Control(
        world, gateway, Recorder(world, made(create))
    )
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    world.endpoint = formation.ENDPOINT[0] = f"http://{host}:{port}"
    Sources(world, functions)
    print(world.endpoint, flush=True)
    # Until the test closes the pipe.
    sys.stdin.read()
    world.stop()
    gateway.close()
    asynchronous.close()
    functions.close()
    # There is nothing to keep, and threads of moto's that would be waited for.
    sys.stderr.flush()
    os._exit(0)

