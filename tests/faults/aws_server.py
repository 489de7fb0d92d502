"""A moto server in its own process: CloudFormation as our templates need it, SQS and SNS.

Run as ``python -m tests.faults.aws_server``; prints its address and serves until its input ends.
Nothing here invokes functions: that does the loop in ``aws``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from moto.awslambda.models import LambdaFunction
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from tests.aws_cloud import patches
from tests.aws_cloud.server import _formation
from tests.aws_cloud.world import World


def main() -> None:
    """Serve until the standard input ends."""
    world = World()
    formation = _formation()
    # Time is what it is: the ledger knows when attempts were made.
    patches.HASTE = 1
    patches._queues(world)
    patches._topics()
    patches._streams(world)
    function: Any = LambdaFunction
    function.invoke = None  # nobody but the loop may
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    formation.ENDPOINT[0] = f"http://{host}:{port}"
    print(formation.ENDPOINT[0], flush=True)
    sys.stdin.read()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
