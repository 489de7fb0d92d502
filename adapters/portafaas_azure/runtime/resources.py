"""The driver: how handlers reach queues, topics, tables, buckets and secrets. Ships.

Each part is loaded, and its official client imported, at first use. An address is the URL that the
function's variable holds (``docs/infrastructure-azure.md``). All that fails raises
``ResourceError`` or one of its kinds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.resources import Outgoing


def send(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Send to a queue; return (index, reason) of what failed, and raise when all did."""
    from portafaas_azure.runtime.sender import send_all

    return send_all(address, messages, ordered=ordered, topic=False)


def publish(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Publish to a topic; as ``send``. Keys are sent to topics without an order, too."""
    from portafaas_azure.runtime.sender import send_all

    return send_all(address, messages, ordered=ordered, topic=True)


def get_row(address: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row with that key, or None."""
    from portafaas_azure.runtime import rows

    return rows.get(address, key)


def put_row(
    address: str, row: dict[str, Any], key_names: tuple[str, ...], if_absent: bool
) -> None:
    """Store a row; raises Conflict when there is one with its key and *if_absent*."""
    from portafaas_azure.runtime import rows

    rows.put(address, row, key_names, if_absent)


def delete_row(address: str, key: dict[str, Any]) -> None:
    """Delete the row with that key, if there is one."""
    from portafaas_azure.runtime import rows

    rows.delete(address, key)


def scan(address: str) -> Iterator[dict[str, Any]]:
    """Yield every row of a table, page by page, in no order.

    Rows that are written meanwhile may be missed or seen.
    """
    from portafaas_azure.runtime import rows

    return rows.scan(address)


def read(address: str, key: str) -> bytes:
    """Return an object's content; raises NotFound."""
    from portafaas_azure.runtime import blobs

    return blobs.read(address, key)


def write(address: str, key: str, data: bytes, content_type: str | None) -> None:
    """Store an object in place of the one with that key."""
    from portafaas_azure.runtime import blobs

    blobs.write(address, key, data, content_type)


def delete(address: str, key: str) -> None:
    """Delete an object, if there is one."""
    from portafaas_azure.runtime import blobs

    blobs.delete(address, key)


def secret(address: str) -> bytes:
    """Return the value of a secret; raises NotFound when there is none that is enabled."""
    from portafaas_azure.runtime.secret import latest

    return latest(address)
