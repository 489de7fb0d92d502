"""The driver of AWS: what a handler's clients send, store and read. Ships; loads boto3 lazily.

The functions are those of ``portafaas.runtime.resources.Driver``. They use no action that
``docs/infrastructure-aws.md`` does not list for the ``uses`` in question. Errors are
``ResourceError`` with the service's own code, retryable where the same call may succeed later.
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
    """Send *messages* to the queue with the URL *address*, in batches.

    Returns ``(index, reason)`` of what failed; raises ResourceError when all did. In an ordered
    queue nothing is sent after a failed message of the same key.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
    """
    from portafaas_aws.runtime.batches import SQS, post

    return post(SQS, address, messages, ordered)


def publish(address: str, messages: Sequence[Outgoing], ordered: bool) -> list[tuple[int, str]]:
    """Publish *messages* to the topic with the ARN *address*; as :func:`send`.

    https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
    """
    from portafaas_aws.runtime.batches import SNS, post

    return post(SNS, address, messages, ordered)


def get_row(address: str, key: dict[str, str]) -> Row | None:
    """Return the row with *key* of the table named *address*, or None."""
    from portafaas_aws.runtime import rows

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
    """Return rows with *key* in the order of their sort keys, and whether more may follow."""
    from portafaas_aws.runtime import rows

    return rows.query(address, key, sort, prefix, first, last, descending, limit, after)


def scan(address: str) -> Iterator[Row]:
    """Yield every row of the table named *address*, page by page."""
    from portafaas_aws.runtime import rows

    return rows.scan(address)


def write_row(address: str, write: Write, ttl: str) -> Row | None:
    """Do one write and return the row after it; raises as ``portafaas.runtime.rows.apply``."""
    from portafaas_aws.runtime import rows

    return rows.write_one(address, write, ttl)


def commit(address: str, writes: Sequence[Write], ttl: str) -> None:
    """Do all writes or none."""
    from portafaas_aws.runtime import rows

    rows.commit(address, writes, ttl)


def read(address: str, key: str) -> bytes:
    """Return the content of the object *key* of the bucket *address*; raises NotFound."""
    from portafaas_aws.runtime import blobs

    return blobs.read(address, key)


def read_range(address: str, key: str, start: int, size: int, etag: str) -> bytes:
    """Return *size* bytes from *start*; raises Conflict when the object has another etag."""
    from portafaas_aws.runtime import blobs

    return blobs.read_range(address, key, start, size, etag)


def stat(address: str, key: str) -> ObjectInfo:
    """Return what is known of an object; raises NotFound."""
    from portafaas_aws.runtime import blobs

    return blobs.stat(address, key)


def list_objects(
    address: str, prefix: str, after: str | None, limit: int
) -> tuple[list[ObjectInfo], str | None]:
    """Return objects in the order of their keys, and the cursor of the next page."""
    from portafaas_aws.runtime import blobs

    return blobs.list_objects(address, prefix, after, limit)


def write(
    address: str, key: str, data: bytes, content_type: str | None, if_absent: bool = False
) -> None:
    """Store *data* as the object *key*; raises Conflict when there is one and *if_absent*."""
    from portafaas_aws.runtime import blobs

    blobs.write(address, key, data, content_type, if_absent)


def write_parts(
    address: str,
    key: str,
    parts: Iterator[bytes],
    content_type: str | None,
    if_absent: bool,
) -> None:
    """Store an object of two or more parts, as ``write``."""
    from portafaas_aws.runtime import blobs

    blobs.write_parts(address, key, parts, content_type, if_absent)


def delete(address: str, key: str) -> None:
    """Delete the object *key*, if there is one."""
    from portafaas_aws.runtime import blobs

    blobs.delete(address, key)


def signed_url(
    address: str, key: str, method: str, expires: int, content_type: str | None
) -> str:
    """Return a URL for GET or PUT that is good for *expires* seconds."""
    from portafaas_aws.runtime import blobs

    return blobs.signed_url(address, key, method, expires, content_type)


def secret(address: str) -> bytes:
    """Return the current value of the secret with the ARN *address*.

    Raises NotFound when it has none. Needs no SDK: secrets are read in cold starts, to which
    importing one adds hundreds of milliseconds.
    """
    from portafaas_aws.runtime.secret import get_secret

    return get_secret(address)


def start_run(address: str, input: Any) -> str:
    """Start a run of the state machine with the ARN *address*; return its id."""
    from portafaas_aws.runtime import runs

    return runs.start(address, input)


def run_status(address: str, run: str) -> RunStatus:
    """Return how a run is; raises NotFound."""
    from portafaas_aws.runtime import runs

    return runs.status(address, run)


def signal_run(address: str, run: str, name: str, payload: Any) -> None:
    """Hand a JSON value to a run that waits for the signal *name*; NotFound, NotWaiting."""
    from portafaas_aws.runtime import runs

    runs.signal(address, run, name, payload)
