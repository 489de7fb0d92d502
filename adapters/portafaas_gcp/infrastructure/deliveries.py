"""Rules of what brings events: who calls whom in time, and what waits for whom."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_gcp.infrastructure import grammar
from portafaas_gcp.infrastructure.resources import AGENT
from portafaas_gcp.infrastructure.view import View


def deliveries(view: View) -> Iterator[str]:
    """Yield each broken rule as ``address: problem``."""
    yield from _subscriptions(view)
    yield from _schedules(view)
    yield from _events(view)


def _call(view: View, address: str, uri: str, token: Mapping[str, str]) -> Iterator[str]:
    function = view.function_at(uri)
    if function not in view.resources.get("google_cloudfunctions2_function", {}):
        yield f"{address}: {uri} is not the address of a function"
        return
    if not view.may_invoke(function, token["service_account_email"]):
        yield f"{address}: {token['service_account_email']} may not call {function}"
    if token.get("audience") != uri:
        yield f"{address}: the token is not for the function that it is sent to"


def _waits(address: str, body: Mapping[str, Any], function: str) -> Iterator[str]:
    if f"google_cloud_run_service_iam_member.{function}" not in body.get("depends_on", ()):
        yield f"{address}: may call before it is allowed to"


def _timeout(view: View, uri: str) -> int:
    name = view.function_at(uri)
    body = view.resources["google_cloudfunctions2_function"][name]
    seconds: int = body["service_config"]["timeout_seconds"]
    return seconds


def _subscriptions(view: View) -> Iterator[str]:
    for address, body in view.of("google_pubsub_subscription"):
        if "filter" in body:
            text = body["filter"].replace("$${", "${").replace("%%{", "%{")
            if problem := grammar.filter_problem(text):
                yield f"{address}: the filter {problem}"
        retention = grammar.seconds(body.get("message_retention_duration", "604800s"))
        if not 600 <= retention <= 2_678_400:
            yield f"{address}: keeps messages for {retention:g} s, not 10 minutes to 31 days"
        if "retry_policy" in body:
            least, most = (
                grammar.seconds(body["retry_policy"][f"{end}_backoff"])
                for end in ("minimum", "maximum")
            )
            if not 0 <= least <= most <= 600:
                yield f"{address}: backs off from {least:g} to {most:g} s, not within 0 to 600"
        if "push_config" in body:
            uri = body["push_config"]["push_endpoint"]
            problems = list(_call(view, address, uri, body["push_config"]["oidc_token"]))
            yield from problems
            yield from _waits(address, body, view.function_at(uri))
            if not problems and body.get("ack_deadline_seconds", 10) < min(
                _timeout(view, uri), 600
            ):
                yield f"{address}: delivers again while the function still runs"
        if "dead_letter_policy" in body:
            yield from _dead_letters(view, address, body["dead_letter_policy"])
    for address, _ in view.of("google_pubsub_topic"):
        name = address.partition(".")[2]
        waits = not name.startswith("topic__")
        if name.endswith("__objects") and not view.has(
            "google_storage_notification", topic=f"${{{address}.id}}"
        ):
            yield f"{address}: no bucket tells it anything"
        if waits and not view.has("google_pubsub_subscription", topic=f"${{{address}.id}}"):
            yield f"{address}: no subscription keeps its messages"


def _dead_letters(view: View, address: str, policy: Mapping[str, Any]) -> Iterator[str]:
    topic = policy["dead_letter_topic"]
    if not view.has("google_pubsub_topic_iam_member", topic=topic, member=AGENT):
        yield f"{address}: Pub/Sub may not publish to {topic}"
    if not view.has(
        "google_pubsub_subscription_iam_member", subscription=f"${{{address}.id}}", member=AGENT
    ):
        yield f"{address}: Pub/Sub may not take messages off it"
    source = view.resources["google_pubsub_subscription"][address.partition(".")[2]]["topic"]
    if source == topic:
        yield f"{address}: dead letters come back"


def _schedules(view: View) -> Iterator[str]:
    for address, body in view.of("google_cloud_scheduler_job"):
        if problem := grammar.cron_problem(body["schedule"]):
            yield f"{address}: the schedule {problem}"
        if problem := grammar.zone_problem(body["time_zone"]):
            yield f"{address}: {body['time_zone']!r} {problem}"
        target = body["http_target"]
        problems = list(_call(view, address, target["uri"], target["oidc_token"]))
        yield from problems
        yield from _waits(address, body, view.function_at(target["uri"]))
        deadline = grammar.seconds(body["attempt_deadline"])
        if not 15 <= deadline <= 1800:
            yield f"{address}: an attempt takes 15 to 1800 s, not {deadline:g}"
        if not problems and deadline < min(_timeout(view, target["uri"]), 1800):
            yield f"{address}: gives up while the function still runs"


def _events(view: View) -> Iterator[str]:
    databases = [f"${{{address}.name}}" for address, _ in view.of("google_firestore_database")]
    for address, body in (
        *view.of("google_firestore_field"), *view.of("google_firestore_index")
    ):  # fmt: skip
        if databases and body["database"] not in databases:
            yield f"{address}: is in a database that is not the document's"
    for address, body in view.of("google_eventarc_trigger"):
        service = body["destination"]["cloud_run_service"]["service"]
        function = service.partition(".")[2].removesuffix(".name}")
        if not view.may_invoke(function, body["service_account"]):
            yield f"{address}: {body['service_account']} may not call {function}"
        yield from _waits(address, body, function)
        member = body["service_account"].replace(".email}", ".member}")
        role = "roles/eventarc.eventReceiver"
        granted = [
            other
            for other, grant in view.where("google_project_iam_member", "member", member)
            if grant["role"] == role
        ]
        if not set(granted) & set(body.get("depends_on", ())):
            yield f"{address}: its account may not receive events, or not yet"
        criteria = {item["attribute"]: item for item in body["matching_criteria"]}
        prefix = "google.cloud.firestore.document.v1."
        kind = criteria.get("type", {}).get("value", "")
        if kind not in {prefix + word for word in ("created", "updated", "deleted")}:
            yield f"{address}: {kind!r} is no change of a document"
        document = criteria.get("document", {})
        if {"type", "database", "document"} != criteria.keys() or "operator" not in document:
            yield f"{address}: looks at {', '.join(criteria)}"
        elif any("operator" in item for item in criteria.values() if item is not document):
            yield f"{address}: only documents can be looked at by pattern"
        elif not re.fullmatch(r"[^/]+/\{id\}", document["value"]):
            yield f"{address}: {document['value']!r} is no pattern for a table's rows"
        elif databases and criteria["database"]["value"] not in databases:
            yield f"{address}: looks at a database that is not the document's"
        if body["event_data_content_type"] != "application/protobuf":
            yield f"{address}: Firestore tells in protobuf only"
        if body["location"] != "${local.event_location}":
            yield f"{address}: is not where the database is"
    for address, body in view.of("google_storage_notification"):
        if not body["bucket"].startswith("${google_storage_bucket."):
            yield f"{address}: {body['bucket']} is no bucket of the document"
        account = "${data.google_storage_project_service_account.storage.email_address}"
        member = f"serviceAccount:{account}"
        publishers = [
            other
            for other, grant in view.where("google_pubsub_topic_iam_member", "topic", body["topic"])
            if grant["member"] == member
        ]
        if not publishers:
            yield f"{address}: Cloud Storage may not publish to {body['topic']}"
        elif not set(publishers) & set(body.get("depends_on", ())):
            yield f"{address}: may be made before Cloud Storage may publish"
