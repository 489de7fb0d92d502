"""Messages to Pub/Sub, with google-cloud-pubsub. Ships; imports at first use.

What arrives is what the bridge decodes (``pubsub.py``): the content type of an event is the
attribute ``content-type``, as in the CloudEvents binding for Pub/Sub, and the key the ordering key.
Pub/Sub can neither delay nor recognise a message: Cloud Tasks publish one that is to come later.
https://cloud.google.com/pubsub/docs/reference/rest/v1/PubsubMessage
"""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from portafaas.runtime.resources import Outgoing

#: Messages and bytes of one request, the bytes less what a request adds:
#: https://cloud.google.com/pubsub/quotas#resource_limits
MOST = 1000
LARGEST = 9_000_000
#: A message must have a body or an attribute; the bridge shows none that begin with ``pf-``.
EMPTY = ("pf-empty", "1")

_lock = Lock()
_client: Any = None


def client() -> Any:
    """Return the instance's client; ``PUBSUB_EMULATOR_HOST`` is where it goes if set."""
    global _client
    with _lock:
        if _client is None:
            from os import environ

            from google.pubsub_v1 import PublisherClient

            host = environ.get("PUBSUB_EMULATOR_HOST")
            if host:
                import grpc
                from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

                channel = grpc.insecure_channel(host)
                _client = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
            else:
                _client = PublisherClient()
        return _client


def publish_all(
    topic: str, messages: Sequence[Outgoing], *, keyed: bool, typed: bool
) -> list[tuple[int, str]]:
    """Publish *messages*, and return (index, reason) of those that were not.

    ``keyed`` sends their keys, ``typed`` their content types. After a failure nothing more is sent
    of its key, so that the order holds. Raises ResourceError when nothing was published. One with
    a delay, which has no key, is published later (``tasks.py``).
    """
    from portafaas.runtime.resources import ResourceError
    from portafaas_gcp.runtime.failures import PATIENCE, failure, patient

    failed: list[tuple[int, str]] = []
    stopped: set[str] = set()
    error: ResourceError | None = None
    ready: list[tuple[int, Any]] = []
    for index, message in enumerate(messages):
        if message.delay and keyed and message.key:
            failed.append((index, "a message with a key cannot have a delay"))
            stopped.add(message.key)
        elif message.delay:
            from portafaas_gcp.runtime.tasks import message_of, publish_later

            later = native(message, keyed, typed)
            try:
                publish_later(
                    topic, message_of(later["data"], later["attributes"]), message.delay
                )
            except ResourceError as exc:
                error = exc
                failed.append((index, str(exc)))
        else:
            ready.append((index, native(message, keyed, typed)))
    for chunk in _chunks(ready):
        now = []
        for index, body in chunk:
            if body.get("ordering_key") in stopped:
                failed.append((index, "an earlier message of its key was not sent"))
            else:
                now.append((index, body))
        if not now:
            continue
        try:
            client().publish(
                topic=topic,
                messages=[body for _, body in now],
                retry=patient(),
                timeout=PATIENCE,
            )
        except Exception as exc:
            error = failure(exc, f"publish to {topic}")
            failed += [(index, str(error)) for index, _ in now]
            stopped.update(body["ordering_key"] for _, body in now if "ordering_key" in body)
    if messages and len(failed) == len(messages):
        raise error or ResourceError(f"cannot publish to {topic}: {failed[0][1]}")
    return sorted(failed)


def native(message: Outgoing, keyed: bool, typed: bool) -> dict[str, Any]:
    """Return a PubsubMessage as the client takes it."""
    attributes = dict(message.attributes)
    if typed and message.content_type is not None:
        attributes = {n: v for n, v in attributes.items() if n.lower() != "content-type"}
        attributes["content-type"] = message.content_type
    if not attributes and not message.body:
        attributes = dict((EMPTY,))
    out: dict[str, Any] = {"data": message.body, "attributes": attributes}
    if keyed and message.key:
        out["ordering_key"] = message.key
    return out


def _chunks(ready: list[tuple[int, Any]]) -> Iterator[list[tuple[int, Any]]]:
    chunk: list[tuple[int, Any]] = []
    size = 0
    for item in ready:
        body = item[1]
        own = len(body["data"]) + 200 + sum(
            4 * len(name) + 4 * len(value) + 8 for name, value in body["attributes"].items()
        )
        if chunk and (len(chunk) == MOST or size + own > LARGEST):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += own
    if chunk:
        yield chunk
