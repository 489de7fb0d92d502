"""The emulator of the tests beside."""

from __future__ import annotations

from tests.gcp_cloud.fixtures import pubsub

__all__ = ["pubsub"]
