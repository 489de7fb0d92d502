"""The emulator, and the service *works* in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gcp_cloud.emulator import PubSub
from tests.gcp_cloud.fixtures import pubsub
from tests.gcp_cloud.world import World, built

__all__ = ["pubsub"]
PROJECT = Path(__file__).with_name("project")


# Not for longer than these tests: its pushers ask for messages all the time.
@pytest.fixture(scope="package")
def works(pubsub: PubSub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The service, whose deliveries and tasks come without delay."""
    folder = tmp_path_factory.mktemp("works")
    package, document = built(PROJECT, folder, "works")
    world = World(document, package, pubsub, folder, "works-project")
    yield world
    world.stop()
