"""Stimuli to the HTTP requests that Google sends.

A request is ``{"method", "path", "headers": [[name, value]], "body": base64 | None}``
(``portafaas/vendor/contract.py``).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from portafaas.adapter import (
    ChangeStimulus,
    HttpStimulus,
    MessageStimulus,
    NativeRequest,
    ObjectStimulus,
    QueueStimulus,
    ScheduleStimulus,
    Stimulus,
    TaskStimulus,
    TopicStimulus,
)
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    TableTrigger,
    TopicTrigger,
)
from portafaas_gcp.names import database as database_of
from portafaas_gcp.runtime.shapes import document_id, stored

PROJECT = "portafaas-project"
_WORKFLOW = f"workflow@{PROJECT}.iam.gserviceaccount.com"
#: RFC 3986 section 3.3, and ``%``: what may stand in a request target as it is.
_TARGET = "/?#[]@!$&'()*+,;=:%"


def encode(plan: BuildPlan, function: FunctionPlan, stimulus: Stimulus) -> Sequence[NativeRequest]:
    """Return the requests that the platform would send to *function*: one a message or event."""
    match stimulus:
        case HttpStimulus():
            return [_http(function, stimulus)]
        case QueueStimulus():
            assert isinstance(function.trigger, QueueTrigger)
            queue = plan.queue(function.trigger.queue)
            return [
                _push(
                    plan,
                    function,
                    message,
                    dict(message.attributes),
                    message.key if queue.ordered else None,
                    bool(queue.dead_letter),
                    (message.id,),
                )
                for message in stimulus.messages
            ]
        case TopicStimulus():
            assert isinstance(function.trigger, TopicTrigger)
            message = stimulus.message
            attributes = dict(message.attributes)
            if message.content_type is not None:
                # CloudEvents over Pub/Sub keeps datacontenttype here:
                # https://github.com/google/knative-gcp/blob/main/docs/spec/pubsub-protocol-binding.md
                attributes = {
                    name: value
                    for name, value in attributes.items()
                    if name.lower() != "content-type"
                }
                attributes["content-type"] = message.content_type
            return [_push(plan, function, message, attributes, message.key, False, ("event",))]
        case ObjectStimulus():
            return [_object(plan, function, stimulus)]
        case ChangeStimulus():
            return [_change(plan, function, stimulus)]
        case ScheduleStimulus():
            job = f"projects/{PROJECT}/locations/europe-west1/jobs/{function.name}"
            headers = [
                ["user-agent", "Google-Cloud-Scheduler"],
                ["x-cloudscheduler", "true"],
                ["x-cloudscheduler-jobname", job.rpartition("/")[2]],
                ["x-cloudscheduler-scheduletime", stimulus.time],
                ["content-type", "application/octet-stream"],
            ]
            return [_request("POST", "/", headers, b"", ("event",))]
        case TaskStimulus():
            names = ("input", "workflow", "run", "step", "attempt", "key")
            document = {name: getattr(stimulus, name) for name in names}
            headers = [
                ["content-type", "application/json"],
                ["user-agent", "GoogleCloudWorkflows; (+https://cloud.google.com/workflows/docs)"],
                ["authorization", f"Bearer {_token(_WORKFLOW)}"],
            ]
            return [_request("POST", "/", headers, json.dumps(document).encode(), ("event",))]
        case _:
            assert_never(stimulus)


def _request(
    method: str,
    path: str,
    headers: list[list[str]],
    body: bytes,
    ids: tuple[str, ...],
) -> NativeRequest:
    content = base64.b64encode(body).decode("ascii") if body else None
    payload = {"method": method, "path": path, "headers": headers, "body": content}
    return NativeRequest(payload, ids)


def _wire(text: str) -> str:
    """Return a header value as a latin-1 string of its UTF-8 bytes, which is how it is sent."""
    return text if text.isascii() else text.encode("utf-8").decode("latin-1")


def _http(function: FunctionPlan, stimulus: HttpStimulus) -> NativeRequest:
    from portafaas.runtime.text import percent_encode

    trigger = function.trigger
    assert isinstance(trigger, HttpTrigger)
    headers = [[name, _wire(value)] for name, value in stimulus.headers]
    if trigger.auth is not None and trigger.auth.scheme == "iam":
        # Cloud Run lets nobody in without a token it has checked: one that the platform did not
        # vouch for never gets here. https://cloud.google.com/run/docs/securing/authenticating
        headers = [pair for pair in headers if pair[0].lower() != "x-serverless-authorization"]
        if stimulus.caller is None:
            headers = [pair for pair in headers if pair[0].lower() != "authorization"]
        else:
            taken = any(pair[0].lower() == "authorization" for pair in headers)
            name = "X-Serverless-Authorization" if taken else "Authorization"
            headers.append([name, f"Bearer {_token(stimulus.caller)}"])
    path = f"{stimulus.path}?{stimulus.query}" if stimulus.query else stimulus.path
    return _request(
        stimulus.method, percent_encode(path, _TARGET), headers, stimulus.body, ("request",)
    )


def _token(caller: str) -> str:
    """Return an ID token as a service behind Cloud Run sees it: without its signature."""
    claims = {
        "aud": "https://example.run.app",
        "email": caller,
        "email_verified": True,
        "iss": "https://accounts.google.com",
        "sub": "100000000000000000000",
    }
    header = {"alg": "RS256", "kid": "0", "typ": "JWT"}
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode("ascii").rstrip("=")
        for part in (header, claims)
    )
    return ".".join((*parts, "SIGNATURE_REMOVED_BY_GOOGLE"))


def _push(
    plan: BuildPlan,
    function: FunctionPlan,
    message: MessageStimulus,
    attributes: dict[str, str],
    key: str | None,
    counted: bool,
    ids: tuple[str, ...],
) -> NativeRequest:
    """Return a wrapped Pub/Sub push: https://cloud.google.com/pubsub/docs/push#receive_push."""
    inner: dict[str, Any] = {}
    if attributes:
        inner["attributes"] = attributes
    if message.body:
        inner["data"] = base64.b64encode(message.body).decode("ascii")
    # The service sends both spellings.
    inner |= {"messageId": message.id, "message_id": message.id}
    if key:
        inner["orderingKey"] = key
    inner |= {"publishTime": message.time, "publish_time": message.time}
    name = f"projects/{PROJECT}/subscriptions/{plan.service}-{function.name}"
    document: dict[str, Any] = {"message": inner, "subscription": name}
    # Without a dead-letter policy Pub/Sub does not count; a stimulus that says so gets its way.
    if counted or message.attempt > 1:
        document["deliveryAttempt"] = message.attempt
    headers = [
        ["content-type", "application/json"],
        ["user-agent", "CloudPubSub-Google"],
        ["accept", "application/json"],
        ["from", "noreply@google.com"],
    ]
    return _request("POST", "/", headers, json.dumps(document).encode(), ids)


def _cloud_event(values: Mapping[str, str], content_type: str) -> list[list[str]]:
    """Return the headers of a binary CloudEvent; values are percent-encoded as its spec says."""
    from portafaas.runtime.text import percent_encode

    safe = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
    headers = [["content-type", content_type], ["ce-specversion", "1.0"]]
    return headers + [[f"ce-{name}", percent_encode(text, safe)] for name, text in values.items()]


def _object(plan: BuildPlan, function: FunctionPlan, stimulus: ObjectStimulus) -> NativeRequest:
    """Return a push of a bucket's notification.

    https://cloud.google.com/storage/docs/pubsub-notifications#format
    """
    trigger = function.trigger
    assert isinstance(trigger, ObjectTrigger)
    bucket, key = trigger.bucket, stimulus.key
    versioned = any(b.name == bucket and b.versioned for b in plan.buckets)
    word = "FINALIZE" if stimulus.kind == "created" else "ARCHIVE" if versioned else "DELETE"
    data = {
        "kind": "storage#object",
        "id": f"{bucket}/{key}/{stimulus.sequencer}",
        "name": key,
        "bucket": bucket,
        "generation": stimulus.sequencer,
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "timeCreated": stimulus.time,
        "updated": stimulus.time,
        "storageClass": "STANDARD",
        "size": str(stimulus.size),
        "etag": stimulus.etag,
    }
    attributes = {
        "bucketId": bucket,
        "eventTime": stimulus.time,
        "eventType": f"OBJECT_{word}",
        "notificationConfig": f"projects/_/buckets/{bucket}/notificationConfigs/1",
        "objectGeneration": stimulus.sequencer,
        "objectId": key,
        "payloadFormat": "JSON_API_V1",
    }
    number = f"{stimulus.sequencer}-{stimulus.kind}"
    message = MessageStimulus(number, json.dumps(data).encode(), time=stimulus.time)
    return _push(plan, function, message, attributes, None, False, ("event",))


def _change(plan: BuildPlan, function: FunctionPlan, stimulus: ChangeStimulus) -> NativeRequest:
    from portafaas_gcp.documents import event_data

    trigger = function.trigger
    assert isinstance(trigger, TableTrigger)
    database = database_of(plan)
    document = f"{trigger.table}/{document_id(list(stimulus.keys.values()))}"
    source = f"projects/{PROJECT}/databases/{database}"
    # Firestore always sends both images of an update and the old one of a deletion. Where the
    # stimulus has none and nobody looks at it, the row's keys stand in; where somebody would, it
    # is left out as the stimulus has it.
    keys = None if stimulus.kind == "insert" or "old" in trigger.images else stimulus.keys
    old = stimulus.old if stimulus.old is not None else keys
    keys = None if stimulus.kind == "delete" or "new" in trigger.images else stimulus.keys
    new = stimulus.new if stimulus.new is not None else keys
    word = {"insert": "created", "update": "updated", "delete": "deleted"}[stimulus.kind]
    headers = _cloud_event(
        {
            "id": stimulus.id,
            "type": f"google.cloud.firestore.document.v1.{word}",
            "source": f"//firestore.googleapis.com/{source}",
            "subject": f"documents/{document}",
            "time": stimulus.time,
            "dataschema": "https://github.com/googleapis/google-cloudevents/blob/main/proto/"
            "google/events/cloud/firestore/v1/data.proto",
            "database": database,
            "document": document,
            "location": "eur3",
            "namespace": "(default)",
            "project": PROJECT,
        },
        "application/protobuf",
    )
    kept = [None if image is None else stored(image) for image in (new, old)]
    body = event_data(f"{source}/documents/{document}", kept[0], kept[1], stimulus.time)
    return _request("POST", "/", headers, body, ("event",))
