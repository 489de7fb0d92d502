"""What Lambda answered, as what the client receives or the event source is told."""

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
from portafaas_aws.runtime.task import OWN, RESERVED

#: How the names of errors begin that are Lambda's and not the handler's.
#: https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
DIED = ("Extension.", "Function.", "Lambda.", "Runtime.", "Sandbox.")

Results = Sequence[tuple[NativeRequest, Mapping[str, Any]]]


def decode(
    plan: BuildPlan, function: FunctionPlan, stimulus: Stimulus, results: Results
) -> Outcome:
    """Return what the client receives or the event source is told."""
    if isinstance(stimulus, HttpStimulus):
        return _http_outcome(results)
    if isinstance(stimulus, QueueStimulus):
        return _queue_outcome(plan, function, stimulus, results)
    if isinstance(stimulus, TaskStimulus):
        return _task_outcome(results)
    failed = any(not r["ok"] or _failures(r["value"]) for _, r in results)
    return DeliveryOutcome(("event",) if failed else ())


def _http_outcome(results: Results) -> HttpOutcome:
    _, result = results[0]
    value = result["value"]
    if not result["ok"] or not isinstance(value, dict) or "statusCode" not in value:
        # What an HTTP API answers when the function itself failed.
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-lambda.html
        return HttpOutcome(
            500,
            (("content-type", "application/json"),),
            (),
            b'{"message":"Internal Server Error"}',
        )
    text = value.get("body") or ""
    headers = {str(k).lower(): str(v) for k, v in (value.get("headers") or {}).items()}
    return HttpOutcome(
        int(value["statusCode"]),
        tuple(sorted(headers.items())),
        tuple(value.get("cookies") or ()),
        base64.b64decode(text) if value.get("isBase64Encoded") else text.encode("utf-8"),
    )


def _task_outcome(results: Results) -> TaskOutcome:
    _, result = results[0]
    value = result["value"]
    if result["ok"]:
        return TaskOutcome(value)
    facts = value if isinstance(value, dict) else {}
    error = str(facts.get("errorType") or "States.TaskFailed")
    if error.startswith(DIED):
        error = "States.TaskFailed"
    if error.startswith(OWN):
        error = RESERVED + error.removeprefix(OWN)
    return TaskOutcome(error=error, cause=str(facts.get("errorMessage") or ""))


def _failures(value: Any) -> list[str | None]:
    found = value.get("batchItemFailures") if isinstance(value, dict) else None
    return [item.get("itemIdentifier") for item in found or ()]


def _queue_outcome(
    plan: BuildPlan, function: FunctionPlan, stimulus: QueueStimulus, results: Results
) -> DeliveryOutcome:
    failed: set[str] = set()
    for request, result in results:
        ids = _failures(result["value"]) if result["ok"] else [None]
        # An id that Lambda does not know fails the whole batch, as an error does.
        # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
        if all(id in request.ids for id in ids):
            failed.update(str(id) for id in ids)
        else:
            failed.update(request.ids)
    trigger = function.trigger
    if isinstance(trigger, QueueTrigger) and plan.queue(trigger.queue).ordered:
        # A FIFO queue holds back what follows a failed message in its group.
        return DeliveryOutcome(tuple(held_back(stimulus.messages, failed)))
    return DeliveryOutcome(tuple(m.id for m in stimulus.messages if m.id in failed))
