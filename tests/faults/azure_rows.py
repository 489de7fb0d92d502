"""Cosmos DB, as npm's server with its repairs, and the Functions host's change-feed trigger.

Containers are those of our ARM template. What the host does:
https://learn.microsoft.com/azure/azure-functions/functions-bindings-cosmosdb-v2-trigger and
https://learn.microsoft.com/azure/azure-functions/functions-bindings-error-pages#retry-policies. The
feed is asked for changes more often than every five seconds.
"""

from __future__ import annotations

import re
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from portafaas_azure.infrastructure.graph import Graph, Node
from tests.behaviour import backends, emulators

_CONTAINER = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers"
#: Delivers ``(items, retries)``; tells whether the function did it.
Invoke = Callable[[list[dict[str, Any]], int], bool]


def missing() -> str:
    """Return why the server cannot be had, "" if it can."""
    try:
        emulators.npm("cosmosdb-server")
    except pytest.skip.Exception as exc:
        return str(exc)
    return ""


class Cosmos:
    """A running server with the containers of *nodes*; the identity endpoint has to be set."""

    def __init__(self, folder: Path, nodes: Graph | Mapping[str, Node]) -> None:
        from azure.cosmos import PartitionKey
        from urllib3.exceptions import InsecureRequestWarning

        # The server has a certificate of its own, which nobody can check.
        warnings.simplefilter("ignore", InsecureRequestWarning)
        self._backend = backends.Azure(folder)
        self.address = self._backend.cosmos
        self._databases: dict[str, Any] = {}
        for node in nodes.values():
            if node.type != _CONTAINER:
                continue
            own, name = node.properties["resource"], node.id.split("/")[-3]
            if name not in self._databases:
                self._databases[name] = self._backend.account.create_database(name)
            self._databases[name].create_container(
                own["id"],
                PartitionKey(own["partitionKey"]["paths"][0]),
                unique_key_policy=own.get("uniqueKeyPolicy"),
                default_ttl=own.get("defaultTtl"),
            )

    def feed(self, database: str, container: str) -> Any:
        """Return the container that a trigger listens to."""
        return self._databases[database].get_container_client(container)

    def close(self) -> None:
        """End it, and all that is in it."""
        self._backend.close()


class ChangeFeed:
    """One trigger: in order, and one delivery until it is done or its retries are used up."""

    def __init__(self, container: Any, binding: Mapping[str, Any]) -> None:
        trigger, retry = binding["cosmos_db_trigger"], binding["retry"]
        assert retry["strategy"] == "fixed_delay", retry
        self._container = container
        self._size = int(trigger["max_items_per_invocation"])
        self._most = int(retry["max_retry_count"])
        self._delay = _seconds(retry["delay_interval"])
        self._items: deque[dict[str, Any]] = deque()
        self._lease = ""
        self._retries = 0
        self._due = 0.0

    @property
    def pending(self) -> int:
        """How many changes have been read, and are not dealt with."""
        return len(self._items)

    def step(self, invoke: Invoke) -> bool:
        """Deliver once; tell whether there was anything to deliver."""
        if not self._items:
            self._read()
        if not self._items or time.monotonic() < self._due:
            return False
        batch = [self._items[place] for place in range(min(self._size, len(self._items)))]
        if not invoke(batch, self._retries) and (self._most < 0 or self._retries < self._most):
            # The host does nothing else with this lease meanwhile.
            self._retries += 1
            self._due = time.monotonic() + self._delay
            return True
        self._retries = 0
        for _ in batch:
            self._items.popleft()
        return True

    def _read(self) -> None:
        headers: dict[str, str] = {}
        start = {"continuation": self._lease} if self._lease else {"start_time": "Beginning"}
        found = self._container.query_items_change_feed(
            response_hook=lambda given, _: headers.update(given), **start
        )
        self._items.extend(found)
        self._lease = headers.get("etag", self._lease)


def _seconds(span: str) -> float:
    match = re.fullmatch(r"(\d+):(\d+):(\d+)", span)
    assert match is not None, span
    hours, minutes, seconds = map(int, match.groups())
    return hours * 3600.0 + minutes * 60 + seconds
