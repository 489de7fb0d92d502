"""Lambda's event source mappings: which there are, and a poller for each.

Whatever Lambda does with the function's role is done by the pollers through the API with that role:
receive and delete messages, read streams, report failures. In the server's process only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.sqs.models import sqs_backends

from tests.aws_cloud.functions import Functions
from tests.aws_cloud.poller import Poller
from tests.aws_cloud.queues import QueuePoller
from tests.aws_cloud.streams import StreamPoller, shard_of
from tests.aws_cloud.world import ACCOUNT, World


def mappings() -> Iterator[tuple[str, Any]]:
    """Yield region and mapping of each event source mapping that is enabled."""
    for region, backend in list(lambda_backends[ACCOUNT].items()):
        for mapping in list(backend._event_source_mappings.values()):
            if mapping.enabled:
                yield region, mapping


class Sources:
    """A thread for each mapping, begun and ended as mappings come and go."""

    def __init__(self, world: World, functions: Functions) -> None:
        self._world = world
        self._functions = functions
        self._pollers: dict[str, Poller] = {}
        world.pending.append(self._pending)
        threading.Thread(target=self._watch, daemon=True, name="mappings").start()

    def _watch(self) -> None:
        while not self._world.stopping:
            version = self._world.version
            for region, mapping in mappings():
                if mapping.uuid not in self._pollers:
                    kind = QueuePoller if ":sqs:" in mapping.event_source_arn else StreamPoller
                    poller = kind(self._world, self._functions, region, mapping)
                    self._pollers[mapping.uuid] = poller
                    poller.start()
            self._world.wait(version, 5.0)

    def _pending(self) -> list[str]:
        found = []
        for region, mapping in mappings():
            name = mapping.event_source_arn.split(":", 5)[5]
            if ":sqs:" in mapping.event_source_arn:
                queue = sqs_backends[ACCOUNT][region].queues.get(name)
                if queue is not None and queue._messages:
                    found.append(f"{len(queue._messages)} messages in {name}")
                continue
            poller = self._pollers.get(mapping.uuid)
            shard = shard_of(region, mapping.event_source_arn)
            done = poller.position if isinstance(poller, StreamPoller) else 0
            if shard is not None and len(shard.items) > done:
                found.append(f"{len(shard.items) - done} changes in {name}")
        return found
