"""What the worker answered, as what the client receives or the broker is told.

Shapes of answers: ``portafaas.vendor.contract``.
"""

from __future__ import annotations

import base64
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


def decode(
    plan: BuildPlan,
    function: FunctionPlan,
    stimulus: Stimulus,
    results: Sequence[tuple[NativeRequest, Mapping[str, Any]]],
) -> Outcome:
    """Return the outcome; an invocation that failed is delivered again, or is a bare 500."""
    if isinstance(stimulus, HttpStimulus):
        return _response(results[0][1])
    if isinstance(stimulus, TaskStimulus):
        return _answer(results[0][1])
    if isinstance(stimulus, QueueStimulus):
        failed = {name for request, result in results if not result["ok"] for name in request.ids}
        trigger = function.trigger
        if isinstance(trigger, QueueTrigger) and plan.queue(trigger.queue).ordered:
            # A session would not have delivered what follows a failed message.
            return DeliveryOutcome(tuple(held_back(stimulus.messages, failed)))
        return DeliveryOutcome(tuple(m.id for m in stimulus.messages if m.id in failed))
    return DeliveryOutcome(("event",) if any(not result["ok"] for _, result in results) else ())


def _answer(result: Mapping[str, Any]) -> TaskOutcome:
    import json

    if not result["ok"]:
        # The orchestrator's word for an activity that did not answer.
        from portafaas_azure.runtime.orchestrator import failure_of

        answer = failure_of(Exception("the activity failed"))
        return TaskOutcome(error=answer["error"], cause=answer["cause"])
    # What the worker answers is JSON: a text that is JSON.
    answer = json.loads(result["value"]["value"])
    if "error" in answer:
        return TaskOutcome(error=answer["error"], cause=answer["cause"])
    return TaskOutcome(answer["ok"])


def _response(result: Mapping[str, Any]) -> HttpOutcome:
    value = result["value"]
    if not result["ok"] or not isinstance(value, Mapping) or "status" not in value:
        # What the host answers when an invocation fails.
        return HttpOutcome(500, (), (), b"")
    from portafaas_azure.runtime.cookies import canonical, position_of

    body = base64.b64decode(value["body"])
    headers: dict[str, str] = {}
    cookies = [canonical(text) for text in value["cookies"]]
    for name, text in value["headers"]:
        if name.lower() == "set-cookie":
            cookies.insert(position_of(name), text)
            continue
        name = name.lower()
        if body or name != "content-type":
            headers[name] = text
    return HttpOutcome(int(value["status"]), tuple(sorted(headers.items())), tuple(cookies), body)
