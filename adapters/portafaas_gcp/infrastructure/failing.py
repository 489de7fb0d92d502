"""Rules of what failed: it is moved, kept, and published later by who may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_gcp.infrastructure.view import View

TASKS = "google_cloud_tasks_queue"


def failures(view: View) -> Iterator[str]:
    """Yield each broken rule as ``address: problem``."""
    boxes: set[str] = set()
    for address, body in view.of("google_cloudfunctions2_function"):
        name = address.partition(".")[2]
        variables = body["service_config"]["environment_variables"]
        dead = variables.get(f"PORTAFAAS_DEAD_{name.upper()}")
        source = variables.get(f"PORTAFAAS_SOURCE_{name.upper()}")
        found = _subscription(view, f"${{{address}.service_config[0].uri}}")
        if dead:
            boxes.add(dead)
        if found is None:
            if source:
                yield f"{address}: is told of copies, but no subscription brings it one"
            continue
        subscription, pushed = found
        moved = pushed.get("dead_letter_policy", {}).get("dead_letter_topic")
        if moved != dead:
            yield f"{subscription}: moves what got no answer to {moved}, {name} the rest to {dead}"
        if not source:
            yield f"{address}: is not told where a copy reaches it"
        elif (source == "ordered") != bool(pushed.get("enable_message_ordering")):
            yield f"{address}: copies to {source} do not go with the order of {subscription}"
        elif source not in ("ordered", pushed["topic"]):
            yield f"{address}: a copy goes to {source}, which does not reach it"
        if "retry_policy" not in pushed:
            yield f"{subscription}: delivers again at once"
    for topic in sorted(boxes):
        kept = view.where("google_pubsub_subscription", "topic", topic)
        own = ("${google_pubsub_topic._dead__", "${google_pubsub_topic.dead_letter__")
        for address, body in kept if topic.startswith(own) else ():
            if "push_config" in body:
                yield f"{address}: does not keep dead letters"
            elif body.get("message_retention_duration") != "2678400s":
                yield f"{address}: keeps dead letters for less than the 31 days there may be"


def _subscription(view: View, uri: str) -> tuple[str, Mapping[str, Any]] | None:
    return view.pushed().get(uri)


def tasks(view: View, address: str, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with what a function may have published later."""
    variables = config["environment_variables"]
    name = address.partition(".")[2]
    member = f"${{google_service_account.{name}.member}}"
    queue = variables.get("PORTAFAAS_TASKS", "")
    makes = view.where("google_cloud_tasks_queue_iam_member", "member", member)
    acts = [
        (other, body)
        for other, body in view.where("google_service_account_iam_member", "member", member)
        if body["role"] == "roles/iam.serviceAccountUser"
    ]
    if not queue:
        for other, _ in (*makes, *acts):
            yield f"{other}: {address} may use what it is not told of"
        return
    if queue not in {f"${{{other}.id}}" for other, _ in view.of(TASKS)}:
        yield f"{address}: {queue} is no queue of tasks of the document"
    if not any(f"${{{body['name'][2:-6]}.id}}" == queue for _, body in makes):
        yield f"{address}: may not make tasks in {queue}"
    account = config["service_account_email"]
    if variables.get("PORTAFAAS_TASKS_ACCOUNT") != account:
        yield f"{address}: its tasks publish as {variables.get('PORTAFAAS_TASKS_ACCOUNT')}"
    on = account.replace(".email}", ".name}")
    if not any(body["service_account_id"] == on for _, body in acts):
        yield f"{address}: may not have tasks publish as itself"
    for other, body in acts:
        if body["service_account_id"] != on:
            yield f"{other}: {address} may act as another"
