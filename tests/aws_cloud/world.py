"""What the parts of the local AWS share: who is who, what is going on, and clients of the server.

In the server's process only.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from base64 import b32encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore.config import Config

ACCOUNT = "123456789012"


def access_key(principal: str) -> str:
    """Return the access key id of *principal*, in the form of a role's."""
    return "ASIA" + b32encode(hashlib.sha256(principal.encode()).digest()).decode()[:16]


class World:
    """Activity that ``idle`` waits for, principals, and their clients.

    A principal is a function's name, or ``schedule:`` and a schedule's name: whoever has a role.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.stopping = False
        self.principals: dict[str, str] = {}
        #: What is recorded of each API call; see ``recorder``.
        self.calls: list[dict[str, Any]] = []
        #: Functions' invocations, in the order of their ends; see ``functions``.
        self.invocations: list[dict[str, Any]] = []
        #: What the parts know to be unfinished.
        self.pending: list[Callable[[], list[str]]] = []
        self._changed = threading.Condition()
        self._version = 0
        self._busy: dict[int, str] = {}
        self._numbers = itertools.count()
        self._session = botocore.session.Session()
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._clients_lock = threading.Lock()

    def key_of(self, principal: str) -> str:
        """Return the access key id that calls of *principal* are told by."""
        key = access_key(principal)
        self.principals[key] = principal
        return key

    def client(self, service: str, region: str, principal: str) -> Any:
        """Return a client that acts for *principal*, through the server's front door."""
        with self._clients_lock:
            found = self._clients.get((service, region, principal))
            if found is None:
                found = self._clients[service, region, principal] = self._session.create_client(
                    service,
                    region_name=region,
                    endpoint_url=self.endpoint,
                    aws_access_key_id=self.key_of(principal),
                    aws_secret_access_key="secret",
                    aws_session_token="token",
                    config=Config(retries={"total_max_attempts": 1}),
                )
            return found

    @property
    def version(self) -> int:
        """Return a number that changes with whatever happens."""
        return self._version

    def touch(self) -> None:
        """Tell everyone who waits that something has happened."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def wait(self, version: int, seconds: float) -> None:
        """Wait until something has happened since *version*, *seconds* at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version or self.stopping, seconds)

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Keep the world from being idle."""
        number = next(self._numbers)
        with self._changed:
            self._busy[number] = what
            self._version += 1
        try:
            yield
        finally:
            with self._changed:
                del self._busy[number]
                self._version += 1
                self._changed.notify_all()

    def unfinished(self) -> list[str]:
        """Return what is going on or waits to be delivered, in words."""
        return [*self._busy.values(), *(text for look in self.pending for text in look())]

    def idle(self, seconds: float) -> list[str]:
        """Wait until nothing is going on; return what still is after *seconds*."""
        end = time.monotonic() + seconds
        while True:
            # What begins while the parts are asked changes the version.
            version = self.version
            left = self.unfinished()
            if not left and version == self.version:
                return []
            rest = end - time.monotonic()
            if rest <= 0:
                return left or ["something has just happened"]
            if left:
                self.wait(version, min(rest, 0.5))

    def stop(self) -> None:
        """Wake everyone to see that it is over."""
        self.stopping = True
        self.touch()
