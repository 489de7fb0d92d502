"""Back ends, started when the first test needs them, and clients of resources in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portafaas.runtime.context import Context
from portafaas.runtime.function import Function
from tests.behaviour import handlers
from tests.behaviour.backends import BACKENDS, Backend
from tests.behaviour.messaging import Channel, channel


@pytest.fixture(scope="package", params=list(BACKENDS))
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """A back end that all tests share; ``backend`` is what a test takes."""
    made = BACKENDS[request.param](tmp_path_factory.mktemp(request.param))
    yield made
    made.close()


@pytest.fixture
def backend(started: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The back end, with the variables and clients that lead the drivers to it."""
    # Tables and buckets set theirs when they are made.
    for name in ("FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in started.environment().items():
        monkeypatch.setenv(name, value)
    for module, name, value in started.state():
        monkeypatch.setattr(module, name, value)
    return started


@pytest.fixture
def make(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Channel]:
    """Return a function that makes a queue or topic, with its consumer, of its own."""
    environment, state = backend.messaging()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for module, name, value in state:
        monkeypatch.setattr(module, name, value)
    handlers.reset()

    def one(kind: str, **facts: Any) -> Channel:
        return channel(backend, kind, **facts)

    return one


@pytest.fixture
def client(backend: Backend) -> Callable[..., Any]:
    """Return a function that makes the client of a resource: kind, address, facts of the grant."""
    verbs = {"table": ["read", "write"], "bucket": ["read", "write"]}

    def make(kind: str, address: str, **facts: Any) -> Any:
        uses = {kind: {"it": {"verbs": verbs[kind], "address": address, **facts}}}
        function = Function(
            {
                "name": "f", "service": "shop", "kind": "http", "handler": "x:y", "timeout": 60,
                "memory": 256, "source": "/shop/functions/f", "trigger": {}, "uses": uses,
            }
        )  # fmt: skip
        return getattr(Context(function, "1", target=backend.target), f"{kind}s")["it"]

    return make


@pytest.fixture
def table(backend: Backend, client: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that makes an empty table: names of key, sort key and time to live."""

    def make(key: str = "id", sort: str = "", ttl: str = "") -> Any:
        facts = {"ttl": ttl} if ttl else {}
        return client("table", backend.table(key, sort, ttl), key=key, sort=sort, **facts)

    return make
