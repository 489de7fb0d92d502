"""The driver: how handlers reach queues, topics, tables, buckets and secrets. Ships.

Each part is loaded, and its official client imported, at first use. An address is the value of the
function's variable: ``projects/P/topics/T`` for queues and topics, the bucket's name,
``projects/P/databases/D/documents/C`` for tables, ``projects/P/secrets/S``,
``projects/P/locations/R/workflows/W`` for workflows (``docs/infrastructure-gcp.md``). All that
fails raises ``ResourceError`` or one of its kinds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.objects import ObjectInfo
    from portafaas.runtime.resources import Outgoing
    from portafaas.runtime.rows import Row, Write
    from portafaas.runtime.workflows import RunStatus


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


def get_row(address: str, key: dict[str, str]) -> Row | None:
    """Return the row with that key, or None."""
    from portafaas_gcp.runtime import rows

    return rows.get(address, key)


def query(
    address: str,
    key: tuple[str, str],
    sort: str,
    prefix: str | None,
    first: str | None,
    last: str | None,
    descending: bool,
    limit: int,
    after: str | None,
) -> tuple[list[Row], bool]:
    """Return rows with *key* in the order of their sort keys, and whether more follow."""
    from portafaas_gcp.runtime import rows

    return rows.query(address, key, sort, prefix, first, last, descending, limit, after)


def scan(address: str) -> Iterator[Row]:
    """Yield every row of a table, page by page, in no order.

    Rows that are written meanwhile may be missed or seen.
    """
    from portafaas_gcp.runtime import rows

    return rows.scan(address)


def write_row(address: str, write: Write, ttl: str) -> Row | None:
    """Do one write and return the row after it; raises as ``portafaas.runtime.rows.apply``."""
    from portafaas_gcp.runtime import rows

    return rows.write_one(address, write, ttl)


def commit(address: str, writes: Sequence[Write], ttl: str) -> None:
    """Do all writes or none."""
    from portafaas_gcp.runtime import rows

    rows.commit(address, writes, ttl)


def read(address: str, key: str) -> bytes:
    """Return the content of the object *key* of the bucket *address*; raises NotFound."""
    from portafaas_gcp.runtime import blobs

    return blobs.read(address, key)


def read_range(address: str, key: str, start: int, size: int, etag: str) -> bytes:
    """Return *size* bytes from *start*; raises Conflict when the object has another etag."""
    from portafaas_gcp.runtime import blobs

    return blobs.read_range(address, key, start, size, etag)


def stat(address: str, key: str) -> ObjectInfo:
    """Return what is known of an object; raises NotFound."""
    from portafaas_gcp.runtime import blobs

    return blobs.stat(address, key)


def list_objects(
    address: str, prefix: str, after: str | None, limit: int
) -> tuple[list[ObjectInfo], str | None]:
    """Return objects in the order of their keys, and the cursor of the next page."""
    from portafaas_gcp.runtime import blobs

    return blobs.list_objects(address, prefix, after, limit)


def write(
    address: str, key: str, data: bytes, content_type: str | None, if_absent: bool = False
) -> None:
    """Store *data* as the object *key*; raises Conflict when there is one and *if_absent*."""
    from portafaas_gcp.runtime import blobs

    blobs.write(address, key, data, content_type, if_absent)


def write_parts(
    address: str,
    key: str,
    parts: Iterator[bytes],
    content_type: str | None,
    if_absent: bool,
) -> None:
    """Store an object of two or more parts, as ``write``."""
    from portafaas_gcp.runtime import blobs

    blobs.write_parts(address, key, parts, content_type, if_absent)


def delete(address: str, key: str) -> None:
    """Delete the object *key*, if there is one."""
    from portafaas_gcp.runtime import blobs

    blobs.delete(address, key)


def signed_url(
    address: str, key: str, method: str, expires: int, content_type: str | None
) -> str:
    """Return a URL for GET or PUT that is good for *expires* seconds."""
    from portafaas_gcp.runtime import blobs

    return blobs.signed_url(address, key, method, expires, content_type)


def secret(address: str) -> bytes:
    """Return the latest version of a secret; raises NotFound when it has none that is enabled."""
    from portafaas_gcp.runtime.secret import latest

    return latest(address)


def start_run(address: str, input: Any) -> str:
    """Start a run of a workflow and return its id; raises ValueError for more than 32 KB."""
    from portafaas_gcp.runtime import workflow

    return workflow.start(address, input)


def run_status(address: str, run: str) -> RunStatus:
    """Return how a run is; raises NotFound."""
    from portafaas_gcp.runtime import workflow

    return workflow.status(address, run)


def signal_run(address: str, run: str, name: str, payload: Any) -> None:
    """Hand a JSON value to a run that waits for a signal; raises NotFound and NotWaiting."""
    from portafaas_gcp.runtime import workflow

    workflow.signal(address, run, name, payload)
