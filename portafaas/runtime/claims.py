"""Bodies that are too long for a message: kept in a bucket, and fetched for the handler. Ships.

Loaded by functions that send to, or are triggered by, a queue or topic with ``claim-check``. The
message carries ``pf-claim``, ``<bucket>/<key of the object>``, and no body. The consumer never
deletes the object, since the message may come again, or be redriven; a lifecycle rule of the bucket
does. https://www.enterpriseintegrationpatterns.com/patterns/messaging/StoreInLibrary.html
"""

from __future__ import annotations

from portafaas.runtime import control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas.runtime.message import BatchResult
    from portafaas.runtime.resources import Outgoing

#: Bytes of the longest body: what a function of 256 MB still holds, received and decoded.
MAX_BODY = 100_000_000


def claim(client: Any, message: Outgoing) -> None:
    """Have the body of *message* kept in the bucket of the queue or topic *client*.

    Only marks it: :func:`deposit` does it. Raises ValueError for one longer than 100 MB.
    """
    if len(message.body) > MAX_BODY:
        raise ValueError(f"the body has {len(message.body)} bytes; at most {MAX_BODY}")
    name = message.id
    if not (name.isascii() and name.replace("-", "").isalnum() and len(name) <= 128):
        from portafaas.runtime.resources import new_id

        name = new_id()
    bucket = client._grant["claims"]
    message.attributes[control.CLAIM] = f"{bucket}/{control.CLAIMS}{client.name}/{name}"


def deposit(context: Context, messages: Iterable[Outgoing]) -> None:
    """Write the bodies of marked *messages* to their bucket; raises ResourceError."""
    for message in messages:
        place = message.attributes.get(control.CLAIM)
        if place is not None and message.body:
            bucket, _, key = place.partition("/")
            client = _bucket(context, bucket)
            client._driver().write(
                client._address(), key, message.body, message.content_type, False
            )
            message.body = b""


def _bucket(context: Context, name: str) -> Any:
    """Return the client, for its driver and address: what the handler may do is no matter."""
    from portafaas.runtime.buckets import Bucket
    from portafaas.runtime.resources import ResourceError

    grant = context._function.uses.get("bucket", {}).get(name)
    if grant is None:
        raise ResourceError(f"the body is in bucket {name!r}, which this function cannot read")
    return Bucket(context, name, grant)


def fetch(item: Any, context: Context) -> None:
    """Give a Message or an Event of a topic the body that it was sent with.

    Raises ResourceError when it cannot be read: then it comes again.
    """
    place = item.control.get(control.CLAIM) if item.control else None
    if place is None:
        return
    bucket, _, key = place.partition("/")
    if not key.startswith(control.CLAIMS):
        # Who may send to a queue must not have other objects of the bucket read.
        from portafaas.runtime.taxonomy import Poison

        raise Poison(f"the claim {place!r} is not below {control.CLAIMS}")
    client = _bucket(context, bucket)
    body: bytes = client._driver().read(client._address(), key)
    if hasattr(item, "body"):
        item.body = body
        return
    from portafaas.runtime.cloudevent import decode_data

    item.data = decode_data(body, item.datacontenttype)


def _fetch_all(function: Function, batch: Any, context: Context) -> tuple[Any, BatchResult | None]:
    """Return the messages of *batch* that have their bodies, and what becomes of the others."""
    from portafaas.runtime.context import log_failure
    from portafaas.runtime.message import Batch, BatchResult
    from portafaas.runtime.recovery import described

    ordered = bool(function.trigger.get("ordered"))
    lost = BatchResult()
    blocked = set()
    for message in batch:
        if ordered and message.key in blocked:
            lost.retry(message)
            continue
        try:
            fetch(message, context)
        except Exception as exc:
            log_failure(context, "the body of a message cannot be read: %r", exc)
            lost.outcomes[message.id] = ("fail", None, described(exc))
            blocked.add(message.key)
    if not lost.outcomes:
        return batch, None
    rest = tuple(message for message in batch if message.id not in lost.outcomes)
    context.payload = Batch(batch.queue, rest)
    return context.payload, lost


def _both(result: Any, lost: BatchResult) -> Any:
    if result is None:
        return lost
    if not hasattr(result, "outcomes"):
        return result  # what is no result is refused, as without a claim check
    from portafaas.runtime.message import BatchResult

    # A new one: the handler's own may be one that it returns each time.
    both = BatchResult()
    both.outcomes = {**result.outcomes, **lost.outcomes}
    return both


def fetching(handle: Callable[..., Any], function: Function) -> Callable[..., Any]:
    """Return *handle* such that what it gets has its body; sync or async as it was."""
    several = function.takes_batch

    def begin(payload: Any, context: Context) -> tuple[Any, BatchResult | None]:
        if several:
            return _fetch_all(function, payload, context)
        fetch(payload, context)
        return payload, None

    async def wait(awaitable: Any, lost: BatchResult) -> Any:
        return _both(await awaitable, lost)

    if function.is_async:

        async def call_async(payload: Any, context: Context) -> Any:
            import asyncio

            # In a thread, since clients block and other invocations share the loop.
            payload, lost = await asyncio.to_thread(begin, payload, context)
            if lost is None:
                return await handle(payload, context)
            return _both(await handle(payload, context), lost) if payload.messages else lost

        return call_async

    def call(payload: Any, context: Context) -> Any:
        payload, lost = begin(payload, context)
        if lost is None:
            return handle(payload, context)
        if not payload.messages:
            return lost
        result = handle(payload, context)
        if hasattr(result, "__await__"):
            return wait(result, lost)
        return _both(result, lost)

    return call
