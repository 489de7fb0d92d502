"""The driver: how handlers reach queues, topics, tables, buckets and secrets. Ships.

Each part is loaded, and its official client imported, at first use. An address is the value of the
function's variable: ``projects/P/topics/T`` for queues and topics, the bucket's name,
``projects/P/databases/D/documents/C`` for tables, ``projects/P/secrets/S``
(``docs/infrastructure-gcp.md``). All that fails raises ``ResourceError`` or one of its kinds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.resources import Outgoing


def send(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Send to a queue; return (index, reason) of what failed, and raise when all did."""
    from portafaas_gcp.runtime.publisher import publish_all

    # A queue's message has a body and attributes, no type of content: the receiver sees the
    # attributes as they were sent.
    return publish_all(address, messages, keyed=ordered, typed=False)


def publish(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Publish to a topic; as ``send``. Keys are sent to topics without an order, too."""
    from portafaas_gcp.runtime.publisher import publish_all

    return publish_all(address, messages, keyed=True, typed=True)


def get_row(address: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row with that key, or None."""
    from portafaas_gcp.runtime import rows

    return rows.get(address, key)


def scan(address: str) -> Iterator[dict[str, Any]]:
    """Yield every row, in no order."""
    from portafaas_gcp.runtime import rows

    return rows.scan(address)


def put_row(
    address: str, row: dict[str, Any], key_names: tuple[str, ...], if_absent: bool
) -> None:
    """Store a row; raises Conflict when there is one with its key and *if_absent*."""
    from portafaas_gcp.runtime import rows

    rows.put(address, row, key_names, if_absent)


def delete_row(address: str, key: dict[str, Any]) -> None:
    """Delete the row with that key, if there is one."""
    from portafaas_gcp.runtime import rows

    rows.delete(address, key)


def read(address: str, key: str) -> bytes:
    """Return an object's content; raises NotFound."""
    from portafaas_gcp.runtime import blobs

    return blobs.read(address, key)


def write(address: str, key: str, data: bytes, content_type: str | None) -> None:
    """Store an object in place of the one with that key."""
    from portafaas_gcp.runtime import blobs

    blobs.write(address, key, data, content_type)


def delete(address: str, key: str) -> None:
    """Delete an object, if there is one."""
    from portafaas_gcp.runtime import blobs

    blobs.delete(address, key)


def secret(address: str) -> bytes:
    """Return the latest version of a secret; raises NotFound when it has none that is enabled."""
    from portafaas_gcp.runtime.secret import latest

    return latest(address)
