"""Messages to SQS and SNS in batches. Ships; imported at the first message.

A message arrives as ``sqs`` reads it. What SQS and SNS cannot carry travels in attributes of ours:

* ``pf-encoding: base64`` marks a body that is no text of XML characters;
* ``pf-key`` is a key that a message group cannot be named by;
* ``pf-attributes`` is a JSON object of the attributes that are too many (SQS takes ten), or whose
  name or value is not allowed (an empty value is not).

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64

from portafaas.runtime.resources import ResourceError
from portafaas_aws.runtime.calls import client, error_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from portafaas.runtime.resources import Outgoing

# https://www.w3.org/TR/REC-xml/#charsets
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(
    r"(?!(?i:aws\.|amazon\.))(?!.*\.\.)[A-Za-z0-9_-](?:[A-Za-z0-9_.-]{0,254}[A-Za-z0-9_-])?"
)
# Of groups and deduplication: letters, digits and ASCII punctuation.
_GROUP = re.compile("[!-~]{1,128}")


class Service:
    """What SQS and SNS differ in.

    Attributes:
        client: the service's name.
        operation: name of the client's method.
        address: name of the argument that says where to.
        entries: name of the argument with the batch.
        body: name of an entry's member with the body.
        size: bytes of a batch, its attributes included.
        attributes: how many a message may have.
    """

    __slots__ = ("address", "attributes", "body", "client", "entries", "operation", "size")

    def __init__(
        self, client: str, operation: str, address: str, entries: str, body: str, size: int,
        attributes: int,
    ) -> None:  # fmt: skip
        self.client = client
        self.operation = operation
        self.address = address
        self.entries = entries
        self.body = body
        self.size = size
        self.attributes = attributes


#: 1 MiB since August 2025. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
SQS = Service(
    "sqs", "send_message_batch", "QueueUrl", "Entries", "MessageBody", 1_048_576, 10
)
#: 256 KiB unless the topic's MaximumMessageSize says otherwise; only raw delivery limits how many
#: attributes there are. https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
SNS = Service(
    "sns", "publish_batch", "TopicArn", "PublishBatchRequestEntries", "Message", 262_144, 100
)
_BATCH = 10


def post(
    service: Service, address: str, messages: Sequence[Outgoing], ordered: bool
) -> list[tuple[int, str]]:
    """Send all *messages*; return ``(index, reason)`` of what failed, raise when all did."""
    return transfer(
        service, address, [entry(service, message, ordered) for message in messages], ordered
    )


def transfer(
    service: Service, address: str, made: Sequence[tuple[dict[str, Any], int]], ordered: bool
) -> list[tuple[int, str]]:
    """Send what :func:`entry` *made*; return and raise as :func:`post`."""
    failed: dict[int, str] = {}
    hopeless = False
    stopped: set[str] = set()
    operation = getattr(client(service.client), service.operation)
    for chunk in chunks(service, made, stopped, failed):
        entries = [{"Id": str(index), **made[index][0]} for index in chunk]
        reasons, passing = _post(service, operation, address, entries)
        failed.update(reasons)
        hopeless = hopeless or not passing
        stopped.update(made[index][0]["MessageGroupId"] for index in reasons if ordered)
    found = sorted(failed.items())
    if found and len(found) == len(made):
        raise ResourceError(found[0][1], retryable=not hopeless, failed=found)
    return found


def chunks(
    service: Service,
    made: Sequence[tuple[dict[str, Any], int]],
    stopped: set[str],
    failed: dict[int, str],
) -> Iterator[list[int]]:
    """Yield indices of what fits into a batch; what is in a group of *stopped* goes to *failed*."""
    chunk: list[int] = []
    total = 0
    for index, (facts, size) in enumerate(made):
        if chunk and (len(chunk) == _BATCH or total + size > service.size):
            yield chunk
            chunk, total = [], 0
        if facts.get("MessageGroupId") in stopped:
            failed[index] = "NotSent: an earlier message of its key failed"
            continue
        chunk.append(index)
        total += size
    if chunk:
        yield chunk


def _post(
    service: Service, operation: Callable[..., Any], address: str, entries: list[dict[str, Any]]
) -> tuple[dict[int, str], bool]:
    """Send one batch; return why its members failed, and whether all may succeed later."""
    try:
        answer = operation(**{service.address: address, service.entries: entries})
    except Exception as exc:
        error = error_of(exc)
        if not isinstance(error, ResourceError):
            raise
        return {int(each["Id"]): str(error) for each in entries}, error.retryable
    reasons = {
        int(each["Id"]): f"{each.get('Code')}: {each.get('Message', '')}"
        for each in answer.get("Failed", ())
    }
    return reasons, not any(each.get("SenderFault") for each in answer.get("Failed", ()))


def entry(service: Service, message: Outgoing, ordered: bool) -> tuple[dict[str, Any], int]:
    """Return the entry of a batch for *message*, without its ``Id``, and its size in bytes."""
    attributes = dict(message.attributes)
    if service is SNS and message.content_type is not None:
        attributes.setdefault("content-type", message.content_type)
    ours: dict[str, str] = {}
    made: dict[str, Any] = {service.body: _text(message.body, ours)}
    if ordered or message.key is not None:
        made["MessageGroupId"] = _group(message, ours)
    if ordered:
        made["MessageDeduplicationId"] = _short(message.dedup or message.id)
    if message.delay:
        made["DelaySeconds"] = message.delay
    native = _native(service, attributes, ours)
    if native:
        made["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in native.items()
        }
    size = len(made[service.body].encode()) + sum(
        len(name) + len("String") + len(value.encode()) for name, value in native.items()
    )
    return made, size


def _text(body: bytes, ours: dict[str, str]) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and not NOT_XML.search(text):
        return text
    ours["pf-encoding"] = "base64"
    # A line feed is no base64 and ignored as such: neither service takes an empty body.
    return b2a_base64(body, newline=False).decode("ascii") or "\n"


def _group(message: Outgoing, ours: dict[str, str]) -> str:
    # Without a key there is nothing to be in order with.
    key = message.id if message.key is None else message.key
    if message.key is not None and not _GROUP.fullmatch(key):
        ours["pf-key"] = key
    return _short(key)


def _short(text: str) -> str:
    if _GROUP.fullmatch(text):
        return text
    from hashlib import sha256

    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _native(service: Service, attributes: dict[str, str], ours: dict[str, str]) -> dict[str, str]:
    """Return what to send as attributes of the message; the rest goes into ``pf-attributes``."""
    native: dict[str, str] = {}
    packed: dict[str, str] = {}
    for name, value in (*attributes.items(), *ours.items()):
        fits = value and _NAME.fullmatch(name) and not NOT_XML.search(value)
        (native if fits else packed)[name] = value
    room = service.attributes - (1 if packed else 0)
    if len(native) > room:
        # The names that filters ask for and portafaas needs come first in the message.
        for name in [n for n in native if n not in ours][service.attributes - 1 - len(ours) :]:
            packed[name] = native.pop(name)
    if packed:
        native["pf-attributes"] = json.dumps(packed, separators=(",", ":"))
    return native
