"""A moto server in its own process: CloudFormation as our templates need it, SQS and SNS.

Run as ``python -m tests.faults.aws_server``; prints its address and serves until its input ends.
Nothing here invokes functions: that does the loop in ``aws``.
"""

# ruff: noqa: E402 (first what is quick instead of slow, then moto)
from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from tests.aws_cloud.__main__ import spare

spare()

from moto.awslambda.models import LambdaFunction
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodbstreams.models import DynamoDBStreamsBackend
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.sqs.models import SQSBackend

from tests.aws_cloud import patches
from tests.aws_cloud.server import _formation
from tests.aws_cloud.world import World


def _transactions() -> None:
    """Have DynamoDB's writes happen one after the other, and none of a failed transaction.

    moto takes a transaction back by putting copies of all tables in their place: with them goes
    what others wrote meanwhile, and whoever reads a stream goes on reading the one before.
    """
    guard = threading.RLock()
    backend: Any = DynamoDBBackend

    def locked(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(self: Any, *arguments: Any, **more: Any) -> Any:
            with guard:
                return original(self, *arguments, **more)

        setattr(owner, name, call)

    transact = backend.transact_write_items

    def whole(self: Any, *arguments: Any, **more: Any) -> Any:
        shards = {
            name: (table.stream_shard, len(table.stream_shard.items))
            for name, table in self.tables.items()
            if table.stream_shard is not None
        }
        try:
            return transact(self, *arguments, **more)
        except BaseException:
            for name, (shard, length) in shards.items():
                del shard.items[length:]
                self.tables[name].stream_shard = shard
            raise

    backend.transact_write_items = whole
    for name in ("put_item", "update_item", "delete_item", "transact_write_items"):
        locked(backend, name)
    locked(DynamoDBStreamsBackend, "get_records")


def _retention() -> None:
    """Have a message's age cost nothing: for each one moto counts all messages of its queue."""

    def valid(self: Any, queue_name: str, message: Any) -> bool:
        kept = float(self.get_queue(queue_name).message_retention_period)
        return bool(kept + message.sent_timestamp / 1000 > time.time())

    backend: Any = SQSBackend
    backend.is_message_valid_based_on_retention_period = valid


def main() -> None:
    """Serve until the standard input ends."""
    world = World()
    formation = _formation()
    # Time is what it is: the ledger knows when attempts were made.
    patches.HASTE = 1
    patches._queues(world)
    patches._topics()
    patches._streams(world)
    _transactions()
    _retention()
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
