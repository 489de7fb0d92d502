"""HTTP responses of a function to what the client or the broker concludes from them.

A result's value is ``{"status", "headers": [[name, value]], "body": base64}``
(``portafaas/vendor/contract.py``).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.adapter import (
    DeliveryOutcome,
    HttpOutcome,
    HttpStimulus,
    NativeRequest,
    Outcome,
    QueueStimulus,
    Stimulus,
    TaskOutcome,
    TaskStimulus,
)
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger
from portafaas.runtime.deliver import held_back

#: Headers that a server adds, by the beginning of its ``Server`` header. Each is sent once, before
#: those of the function.
_ADDED = {
    "gunicorn": ("server", "date"),
    "Werkzeug": ("server", "date"),
    "Google Frontend": ("server", "date", "x-cloud-trace-context", "alt-svc"),
}
#: Connection-level: a function cannot set them (``portafaas/runtime/serve.py``).
_TRANSPORT = ("connection", "content-length", "keep-alive", "transfer-encoding")


def decode(
    plan: BuildPlan,
    function: FunctionPlan,
    stimulus: Stimulus,
    results: Sequence[tuple[NativeRequest, Mapping[str, Any]]],
) -> Outcome:
    """Return what the client receives, or which messages or events come again."""
    if isinstance(stimulus, HttpStimulus):
        return _outcome(results[0][1].get("value"))
    if isinstance(stimulus, TaskStimulus):
        return _answered(results[0][1])
    failed = [id for request, result in results if not _done(result) for id in request.ids]
    if isinstance(stimulus, QueueStimulus):
        assert isinstance(function.trigger, QueueTrigger)
        if plan.queue(function.trigger.queue).ordered:
            # With ordering Pub/Sub delivers nothing behind a message that is not acknowledged:
            # https://cloud.google.com/pubsub/docs/ordering
            return DeliveryOutcome(tuple(held_back(stimulus.messages, failed)))
    return DeliveryOutcome(tuple(failed))


def _done(result: Mapping[str, Any]) -> bool:
    value = result.get("value")
    return isinstance(value, Mapping) and 200 <= value["status"] <= 299


def _answered(result: Mapping[str, Any]) -> TaskOutcome:
    """Return what the workflow makes of an answer (``workflows/library.py``)."""
    value = result.get("value")
    if not isinstance(value, Mapping):
        return TaskOutcome(None, "States.TaskFailed", "the connection broke")
    if value["status"] == 504:
        return TaskOutcome(None, "States.Timeout")
    try:
        found = json.loads(base64.b64decode(value["body"] or ""))
    except ValueError:
        found = None
    if value["status"] >= 400 or not isinstance(found, dict):
        return TaskOutcome(None, "States.TaskFailed", f"HTTP status {value['status']}")
    if "ok" in found:
        return TaskOutcome(found["ok"])
    return TaskOutcome(None, str(found.get("error")), str(found.get("cause")))


def _outcome(value: Any) -> HttpOutcome:
    if not isinstance(value, Mapping):
        # The connection broke: what the front end answers instead.
        return HttpOutcome(500, (), (), b"")
    pairs = [(str(name).lower(), _text(str(text))) for name, text in value["headers"]]
    server = next((text for name, text in pairs if name == "server"), "")
    added = [name for start, names in _ADDED.items() if server.startswith(start) for name in names]
    headers: dict[str, str] = {}
    cookies = []
    for name, text in pairs:
        if name in added:
            added.remove(name)
        elif name == "set-cookie":
            cookies.append(text)
        elif name not in _TRANSPORT:
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
    body = base64.b64decode(value["body"] or "")
    return HttpOutcome(value["status"], tuple(sorted(headers.items())), tuple(cookies), body)


def _text(text: str) -> str:
    """Return a received header value as the UTF-8 it was sent as."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
