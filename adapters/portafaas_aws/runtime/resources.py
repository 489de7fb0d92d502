"""The driver of AWS: what a handler's clients send, store and read. Ships; loads boto3 lazily.

The functions are those of ``portafaas.runtime.resources.Driver``. They use no action that
``docs/infrastructure-aws.md`` does not list for the ``uses`` in question. Errors are
``ResourceError`` with the service's own code, retryable where the same call may succeed later.
"""

from __future__ import annotations

from portafaas.runtime.resources import Conflict, NotFound
from portafaas_aws.runtime.calls import call, client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.resources import Outgoing


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


def get_row(address: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row with *key* of the table named *address*, or None.

    The read is consistent, so that a row just written is there, as it is on the other platforms.
    """
    from portafaas_aws.runtime.table import value_of
    from portafaas_aws.runtime.values import typed_row

    answer = call(
        client("dynamodb").get_item,
        TableName=address,
        Key=typed_row(key),
        ConsistentRead=True,
    )
    item = answer.get("Item")
    return None if item is None else {name: value_of(value) for name, value in item.items()}


def scan(address: str) -> Iterator[dict[str, Any]]:
    """Yield every row of the table named *address*, page by page (1 MB each).

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
    """
    from portafaas_aws.runtime.table import value_of

    start: dict[str, Any] = {}
    while True:
        answer = call(client("dynamodb").scan, TableName=address, ConsistentRead=True, **start)
        for item in answer["Items"]:
            yield {name: value_of(value) for name, value in item.items()}
        if "LastEvaluatedKey" not in answer:
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def put_row(
    address: str, row: dict[str, Any], key_names: tuple[str, ...], if_absent: bool
) -> None:
    """Store *row*; raises Conflict when *if_absent* and there is one with its key."""
    from portafaas_aws.runtime.values import typed_row

    condition: dict[str, Any] = {}
    if if_absent:
        # Said of the item with this key: one attribute of the key stands for all.
        condition = {
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": key_names[0]},
        }
    call(
        client("dynamodb").put_item,
        {"ConditionalCheckFailedException": Conflict},
        TableName=address,
        Item=typed_row(row),
        **condition,
    )


def delete_row(address: str, key: dict[str, Any]) -> None:
    """Delete the row with *key*, if there is one."""
    from portafaas_aws.runtime.values import typed_row

    call(client("dynamodb").delete_item, TableName=address, Key=typed_row(key))


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
