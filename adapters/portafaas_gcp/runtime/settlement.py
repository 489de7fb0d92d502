"""What a bridge does with a delivery that failed: put it off, or bury it. Ships.

Nothing is loaded before something fails, and no client library at all. Delays within the retry
policy of the subscription (``lowering``) are Pub/Sub's own: the delivery just fails. What must come
later than that is a copy, published by Cloud Tasks; where copies would break the order the bridge
waits, as long as the timeout allows.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas.runtime.recovery import Letter

#: Value of ``PORTAFAAS_SOURCE_<FUNCTION>`` where there are no copies.
ORDERED = "ordered"
#: Seconds; the longest that a retry policy has:
#: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions#RetryPolicy
LONGEST = 600.0
#: Seconds of an invocation that are left for the answer.
_MARGIN = 1.0


class Settlement:
    """Of one delivery: the ``Settlement`` of ``portafaas/runtime/recovery.py``.

    *message* is the PubsubMessage (JSON) that was delivered, or what stands for an event that came
    without one; *count* the deliveries that the platform knows of.
    """

    __slots__ = ("_context", "_count", "_function", "_message")

    def __init__(
        self, function: Function, context: Context, message: Mapping[str, Any], count: int = 1
    ) -> None:
        self._function = function
        self._context = context
        self._message = message
        self._count = count

    def again(self, items: Sequence[tuple[Any, float]]) -> Collection[str]:
        """Return the id of the delivery if a copy of it is on its way."""
        from portafaas.runtime.recovery import address

        topic = address("SOURCE", self._function)
        [(item, seconds)] = items
        own = pace(self._function.retry, self._count)
        if not topic or seconds <= own:
            return ()
        if topic == ORDERED:
            from time import sleep

            sleep(max(0.0, min(seconds - own, self._context.remaining() - _MARGIN)))
            return ()
        from portafaas.runtime import control
        from portafaas_gcp.runtime.tasks import publish_later

        more = {control.ATTEMPT: str(item.attempt)}
        if self._function.kind == "topic":
            more[control.TO] = self._function.name
        publish_later(topic, self._copy(item, more), seconds)
        return (item.id,)

    def bury(self, items: Sequence[tuple[Any, Letter]]) -> Collection[str]:
        """Return the id of the delivery once it is among the dead letters."""
        from portafaas.runtime import control
        from portafaas.runtime.recovery import address
        from portafaas_gcp.runtime.tasks import publish

        topic = address("DEAD", self._function)
        if not topic:
            return ()
        [(item, letter)] = items
        publish(topic, self._copy(item, {control.DEAD: letter.text()}))
        return (item.id,)

    def _copy(self, item: Any, more: Mapping[str, str]) -> dict[str, Any]:
        from portafaas.runtime import control

        message = self._message
        attributes = dict(message.get("attributes") or ())
        # What is not set here is in what was delivered.
        if self._function.kind in ("queue", "topic"):
            attributes.setdefault(control.ID, item.id)
        sent = (item.control or {}).get(control.SENT) or item.time
        if sent:
            attributes.setdefault(control.SENT, sent)
        out: dict[str, Any] = {"attributes": {**attributes, **more}}
        for name in ("data", "orderingKey"):
            if message.get(name):
                out[name] = message[name]
        return out


def pace(policy: Mapping[str, Any], count: int) -> float:
    """Return how many seconds after delivery *count* Pub/Sub's retry policy delivers again."""
    first = min(float(policy["initial"]), LONGEST)
    if policy["backoff"] != "exponential":
        return first
    most = min(max(float(policy["max"]), first), LONGEST)
    return min(first * 2.0 ** min(max(count, 1) - 1, 60), most)


def event_message(outer: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """Return a message that holds an event: its CloudEvents JSON form, which the bridge reads.

    Its attributes may be longer than those of a message.
    """
    from binascii import b2a_base64
    from json import dumps

    document: dict[str, Any] = {"specversion": "1.0", **outer}
    if isinstance(data, bytes):
        document["data_base64"] = b2a_base64(data, newline=False).decode("ascii")
    else:
        document["data"] = data
    content = b2a_base64(dumps(document).encode("ascii"), newline=False).decode("ascii")
    return {"data": content, "attributes": {"content-type": "application/cloudevents+json"}}
