"""Fixtures to be imported into a ``conftest``: ``from tests.gcp_cloud.fixtures import pubsub``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gcp_cloud.emulator import PubSub, emulator, jar


@pytest.fixture(scope="session")
def pubsub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PubSub]:
    """One Pub/Sub emulator for all tests: use names of your own."""
    path, why = jar()
    if not path:
        pytest.skip(why)
    yield from emulator(tmp_path_factory.mktemp("pubsub"))
