"""Messages that Pub/Sub gets later, by Cloud Tasks: Pub/Sub itself cannot delay one. Ships.

A task waits until its time and then publishes the message over Pub/Sub's REST interface, with a
token of the function's own account, which is allowed to publish there. It is repeated until it
succeeds. https://cloud.google.com/tasks/docs/creating-http-target-tasks and
https://cloud.google.com/tasks/docs/quotas (30 days, 1 MB a task; the reference of ``tasks.create``
still has the older 100 KB)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: Where the tasks of a service wait, ``projects/P/locations/L/queues/Q``, and as whom they publish.
QUEUE = "PORTAFAAS_TASKS"
ACCOUNT = "PORTAFAAS_TASKS_ACCOUNT"
SCOPE = "https://www.googleapis.com/auth/pubsub"


def message_of(
    body: bytes, attributes: Mapping[str, str], key: str | None = None
) -> dict[str, Any]:
    """Return a PubsubMessage as JSON has it."""
    from binascii import b2a_base64

    out: dict[str, Any] = {}
    if body:
        out["data"] = b2a_base64(body, newline=False).decode("ascii")
    if attributes:
        out["attributes"] = dict(attributes)
    if key:
        out["orderingKey"] = key
    return out


def address_of(topic: str) -> tuple[str, bool]:
    """Return where a topic (``projects/P/topics/T``) is published to, and whether by a token.

    ``PUBSUB_EMULATOR_HOST`` is honoured.
    """
    from os import environ

    from portafaas_gcp.runtime.rest import endpoint

    host = environ.get("PUBSUB_EMULATOR_HOST")
    base = f"http://{host}/" if host else endpoint("pubsub")
    return f"{base}v1/{topic}:publish", not host


def publish(topic: str, message: Mapping[str, Any]) -> None:
    """Publish one message now; raises ResourceError when it is not there."""
    from portafaas.runtime.resources import stand_in
    from portafaas_gcp.runtime.rest import call, refusal

    local = stand_in("gcp")
    if local is not None:
        local.client(topic).publish(message)
        return
    url, signed = address_of(topic)
    what = f"publish to {topic}"
    status, answer = call("POST", url, what, {"messages": [message]}, signed=signed)
    if status != 200:
        raise refusal(what, status, answer)


def publish_later(topic: str, message: Mapping[str, Any], seconds: float) -> None:
    """Have one message published after *seconds*; raises ResourceError when it is not safe.

    The task has a name, so that a call that is repeated makes one task.
    """
    from binascii import b2a_base64
    from json import dumps
    from os import environ, urandom
    from time import time

    from portafaas.runtime.resources import ResourceError, stand_in
    from portafaas.runtime.text import epoch_time
    from portafaas_gcp.runtime.rest import call, endpoint, refusal

    local = stand_in("gcp")
    if local is not None:
        local.client(topic).publish(message, seconds)
        return
    queue = environ.get(QUEUE)
    what = f"publish to {topic} in {seconds:g} s"
    if not queue:
        raise ResourceError(f"cannot {what}: {QUEUE} is not set: nothing here can delay a message")
    content = dumps({"messages": [message]}).encode("ascii")
    request: dict[str, Any] = {
        "url": address_of(topic)[0],
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "body": b2a_base64(content, newline=False).decode("ascii"),
        "oauthToken": {"serviceAccountEmail": environ.get(ACCOUNT, ""), "scope": SCOPE},
    }
    task = {
        "name": f"{queue}/tasks/{urandom(16).hex()}",
        "scheduleTime": epoch_time(time() + seconds),
        "httpRequest": request,
    }
    url = f"{endpoint('cloudtasks')}v2/{queue}/tasks"
    status, answer = call("POST", url, what, {"task": task})
    # 409: the first call made it, and its answer was lost.
    if status not in (200, 409):
        raise refusal(what, status, answer)
