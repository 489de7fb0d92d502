"""Dead letters on their way back to their functions: published to where they came from.

What came from no topic, the functions that Eventarc and the like call, Cloud Tasks call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.runtime import control
from portafaas_gcp import names, recovery
from portafaas_gcp.deployment.cloud import Cloud
from portafaas_gcp.deployment.failures import ApiError
from portafaas_gcp.deployment.reading import Found
from portafaas_gcp.lowering import MARGIN
from portafaas_gcp.runtime.schedule import PLANNED


def send(
    cloud: Cloud,
    plan: BuildPlan,
    chunk: Sequence[Found],
    done: list[Found],
    failed: list[tuple[str, str]],
) -> None:
    """Send letters to their functions, and add those that are safe there to *done*."""
    topics: dict[str, list[tuple[Found, dict[str, Any]]]] = {}
    for one in chunk:
        function = one.function
        if function is None:
            reason = "no function of the manifest is known to take it"
            failed.append((one.letter.id, reason))
        elif function.kind in recovery.COUNTED:
            topic = names.physical(plan, names.source(function))
            topics.setdefault(topic, []).append((one, _again(function, one)))
        else:
            try:
                _call(cloud, plan, function, one)
                done.append(one)
            except ApiError as exc:
                if exc.status != 400:
                    raise
                failed.append((one.letter.id, exc.diagnostics[0].message))
    for topic, pairs in topics.items():
        path = f"v1/projects/{cloud.project}/topics/{topic}:publish"
        for part in (pairs, *([pair] for pair in pairs)):
            if part[0][0] in done:
                continue
            try:
                body = {"messages": [message for _, message in part]}
                cloud.call("pubsub", "POST", path, body=body)
                done += [one for one, _ in part]
            except ApiError as exc:
                if exc.status not in (400, 413):
                    raise
                # One of them is to blame: each for itself.
                if len(part) == 1:
                    failed.append((part[0][0].letter.id, exc.diagnostics[0].message))


def _call(cloud: Cloud, plan: BuildPlan, function: FunctionPlan, one: Found) -> None:
    """Have the function called by a task, as who delivered would: from inside the project.

    https://cloud.google.com/run/docs/securing/ingress#internal-services
    """
    place = f"projects/{cloud.project}/locations/{cloud.region}"
    name = names.service_name(plan, function)
    found = cloud.call("cloudfunctions", "GET", f"v2/{place}/functions/{name}")
    config, message = found["serviceConfig"], one.message
    attributes = message.get("attributes") or {}
    headers = {"Content-Type": attributes.get("content-type", "application/octet-stream")}
    if PLANNED in attributes:
        headers["X-CloudScheduler-ScheduleTime"] = attributes[PLANNED]
    uri = config["uri"]
    task = {
        "dispatchDeadline": f"{min(max(15, function.timeout + MARGIN), 1800)}s",
        "httpRequest": {
            "url": uri,
            "httpMethod": "POST",
            "headers": headers,
            "body": message.get("data", ""),
            "oidcToken": {
                "serviceAccountEmail": config["serviceAccountEmail"],
                "audience": uri,
            },
        },
    }
    path = f"v2/{place}/queues/{names.tasks(plan)}/tasks"
    cloud.call("cloudtasks", "POST", path, body={"task": task})


def _again(function: FunctionPlan, one: Found) -> dict[str, Any]:
    """Return the message as it was first sent, with the id that its handler knows."""
    attributes = {
        name: value
        for name, value in (one.message.get("attributes") or {}).items()
        if name not in (control.DEAD, control.ATTEMPT, control.SENT, control.TO, control.EXPIRES)
        and not name.startswith("CloudPubSubDeadLetter")
    }
    if function.kind in ("queue", "topic"):
        attributes.setdefault(control.ID, one.letter.id)
    if function.kind == "topic":
        attributes[control.TO] = function.name
    out: dict[str, Any] = {"attributes": attributes}
    for name in ("data", "orderingKey"):
        if one.message.get(name):
            out[name] = one.message[name]
    return out
