"""The driver of AWS: what a handler's clients send, store and read. Ships; loads boto3 lazily.

The functions are those of ``portafaas.runtime.resources.Driver``. They use no action that
``docs/infrastructure-aws.md`` does not list for the ``uses`` in question. Errors are
``ResourceError`` with the service's own code, retryable where the same call may succeed later.
"""

from __future__ import annotations

from portafaas.runtime.resources import NotFound
from portafaas_aws.runtime.calls import call, client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portafaas.runtime.resources import Outgoing
    from portafaas.runtime.rows import Row, Write


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

    def get() -> bytes:
        content: bytes = client("s3").get_object(Bucket=address, Key=key)["Body"].read()
        return content

    found: bytes = call(get, {"NoSuchKey": NotFound})
    return found


def write(address: str, key: str, data: bytes, content_type: str | None) -> None:
    """Store *data* as the object *key*; without a type it is S3's, ``binary/octet-stream``."""
    kind = {} if content_type is None else {"ContentType": content_type}
    call(client("s3").put_object, Bucket=address, Key=key, Body=data, **kind)


def delete(address: str, key: str) -> None:
    """Delete the object *key*, if there is one."""
    call(client("s3").delete_object, Bucket=address, Key=key)


def secret(address: str) -> bytes:
    """Return the current value of the secret with the ARN *address*.

    Raises NotFound when it has none. Needs no SDK: secrets are read in cold starts, to which
    importing one adds hundreds of milliseconds.
    """
    from portafaas_aws.runtime.secret import get_secret

    return get_secret(address)
