"""Messages to Service Bus, with azure-servicebus. Ships; imports at first use.

What arrives is what the bridges decode (``bus.py``): the key is the session, attributes are
application properties, and those of an event begin with ``cloudEvents:`` as in the AMQP binding:
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md
"""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from portafaas.runtime.resources import Outgoing, ResourceError

#: Characters of a message id: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
LONGEST_ID = 128
#: Repetitions of the client, with waits of up to so many seconds in between.
PATIENCE: dict[str, Any] = {"retry_total": 3, "retry_backoff_factor": 0.4, "retry_backoff_max": 5}
#: Seconds for a batch with its repetitions; without an end the client waits for ever.
TIMEOUT = 30.0

_lock = Lock()
_clients: dict[str, Any] = {}
_senders: dict[str, Sender] = {}


class Sender:
    """The instance's one link to a queue or topic; its users take turns, as the client demands.

    https://github.com/Azure/azure-sdk-for-python/tree/main/sdk/servicebus/azure-servicebus#thread-safety
    """

    __slots__ = ("link", "lock")

    def __init__(self, link: Any) -> None:
        self.link = link
        self.lock = Lock()


def sender(address: str, topic: bool) -> Sender:
    """Return the sender for ``https://<namespace>/<name>``; ``http`` is without TLS, for tests."""
    with _lock:
        found = _senders.get(address)
        if found is None:
            from portafaas.runtime.resources import stand_in
            from portafaas.runtime.text import percent_decode

            local = stand_in("azure")
            if local is not None:
                found = _senders[address] = Sender(local.client(address))
                return found

            scheme, _, rest = address.partition("://")
            host, _, path = rest.partition("/")
            client = _clients.get(f"{scheme}://{host}")
            if client is None:
                from azure.servicebus import ServiceBusClient

                from portafaas_azure.runtime.failures import quiet
                from portafaas_azure.runtime.identity import credential

                quiet()
                client = _clients[f"{scheme}://{host}"] = ServiceBusClient(
                    host, credential(), use_tls=scheme == "https", **PATIENCE
                )
            name = percent_decode(path)
            link = (
                client.get_topic_sender(name) if topic else client.get_queue_sender(name)
            )  # fmt: skip
            found = _senders[address] = Sender(link)
        return found


def close() -> None:
    """Close all links: for tests; an instance of the platform just ends."""
    with _lock:
        for one in _senders.values():
            one.link.close()
        for client in _clients.values():
            client.close()
        _senders.clear()
        _clients.clear()


def send_all(
    address: str, messages: Sequence[Outgoing], *, ordered: bool, topic: bool
) -> list[tuple[int, str]]:
    """Send *messages*, and return (index, reason) of those that were not sent.

    Messages of one batch have one key, and after a failure nothing more is sent of its key, so
    that the order holds. Raises ResourceError when nothing was sent.
    """

    return send_made(
        address,
        [native(message, ordered, topic) for message in messages],
        [message.key if ordered else None for message in messages],
        topic,
    )


def send_made(
    address: str, made: Sequence[Any], keys: Sequence[str | None] | None = None, topic: bool = False
) -> list[tuple[int, str]]:
    """Send ServiceBusMessages as :func:`send_all` does; *keys* are their sessions if not given."""
    from portafaas_azure.runtime.failures import calling

    if not made:
        return []
    keys = [message.session_id for message in made] if keys is None else keys
    groups: dict[str | None, list[tuple[int, Any]]] = {}
    for index, message in enumerate(made):
        groups.setdefault(keys[index], []).append((index, message))
    what = f"send to {address}"
    found = calling(what, lambda: sender(address, topic))
    failed: list[tuple[int, str]] = []
    error: ResourceError | None = None
    with found.lock:
        for key, group in groups.items():
            lost, why = _send(found.link, group, what, key is not None)
            failed += lost
            error = why or error
    if error is not None and len(failed) == len(made):
        raise error
    return sorted(failed)


def _send(
    link: Any, group: list[tuple[int, Any]], what: str, ordered: bool
) -> tuple[list[tuple[int, str]], ResourceError | None]:
    """Send messages of one key in as few batches as they fit in; return what failed, and why."""
    from portafaas_azure.runtime.failures import failure

    failed: list[tuple[int, str]] = []
    error: ResourceError | None = None
    rest = group
    while rest:
        count = 1
        try:
            unit = rest[0][1]
            if len(rest) > 1:
                batch = link.create_message_batch()
                count = _fill(batch, rest)
                if count > 1:
                    unit = batch
            # What does not fit a batch with others may yet fit alone: a batch has an envelope.
            count = max(count, 1)
            link.send_messages(unit, timeout=TIMEOUT)
        except Exception as exc:
            error = failure(exc, what)
            failed += [(index, str(error)) for index, _ in rest[:count]]
            if ordered:
                why = "an earlier message of its key was not sent"
                failed += [(index, why) for index, _ in rest[count:]]
                break
            if error.retryable:
                # The service is away: not another wait for each batch.
                failed += [(index, str(error)) for index, _ in rest[count:]]
                break
        rest = rest[count:]
    return failed, error


def _fill(batch: Any, rest: list[tuple[int, Any]]) -> int:
    """Add messages until the batch is full; return how many it has."""
    from azure.servicebus.exceptions import MessageSizeExceededError

    for count, (_, message) in enumerate(rest):
        try:
            batch.add_message(message)
        except MessageSizeExceededError:
            return count
    return len(rest)


def native(message: Outgoing, ordered: bool, topic: bool) -> Any:
    """Return a ServiceBusMessage. Messages with one ``dedup`` share their id.

    A queue that detects duplicates drops those of one id; a handler can tell them by it.
    """
    from azure.servicebus import ServiceBusMessage

    attributes: dict[Any, Any] = dict(message.attributes)
    if topic:
        attributes = {
            f"cloudEvents:{name[3:]}" if name.startswith("ce-") else name: value
            for name, value in attributes.items()
        }
    identity = message.dedup or message.id
    if len(identity) > LONGEST_ID:
        from hashlib import sha256

        identity = sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    if attributes.get("pf-id") == identity:
        del attributes["pf-id"]
    made = ServiceBusMessage(
        message.body,
        application_properties=attributes or None,
        message_id=identity,
        content_type=message.content_type,
    )
    if message.key and ordered:
        made.session_id = message.key
    elif message.key and topic:
        made.partition_key = message.key
    if message.delay:
        from datetime import datetime, timedelta, timezone

        # timezone.utc: there is no datetime.UTC in Python 3.10.
        now = datetime.now(timezone.utc)  # noqa: UP017
        made.scheduled_enqueue_time_utc = now + timedelta(seconds=message.delay)
    return made
