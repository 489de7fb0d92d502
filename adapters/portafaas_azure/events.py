"""Neutral stimuli as the Functions host sends them.

Shapes of requests: ``portafaas.vendor.contract``. What the host puts in:
https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script.Grpc/MessageExtensions/GrpcMessageConversionExtensions.cs
and, for Service Bus, ``ServiceBusTriggerBindingStrategy`` of
https://github.com/Azure/azure-sdk-for-net/tree/main/sdk/servicebus/Microsoft.Azure.WebJobs.Extensions.ServiceBus
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
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
)
from portafaas.runtime.text import parse_query, percent_decode, percent_encode

_HEX = frozenset("0123456789abcdefABCDEF")
_PATH_SAFE = "/!$&'()*+,;=:@"
_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/portafaas"


def encode(plan: BuildPlan, function: FunctionPlan, stimulus: Stimulus) -> list[NativeRequest]:
    """Return one request per invocation; messages come one by one."""
    match stimulus:
        case HttpStimulus():
            return [_http(plan, function, stimulus)]
        case QueueStimulus():
            trigger = function.trigger
            ordered = isinstance(trigger, QueueTrigger) and plan.queue(trigger.queue).ordered
            return [
                _message(item, item.attributes, {"SessionId": item.key if ordered else None})
                for item in stimulus.messages
            ]
        case TopicStimulus():
            return [_topic(plan, function, stimulus.message)]
        case ObjectStimulus():
            return [_object(plan, function, stimulus)]
        case ChangeStimulus():
            return _change(plan, function, stimulus)
        case ScheduleStimulus():
            timer = {
                "Schedule": {"AdjustForDST": True},
                "ScheduleStatus": {
                    "Last": "0001-01-01T00:00:00+00:00",
                    "Next": stimulus.time.replace("Z", "+00:00"),
                    "LastUpdated": "0001-01-01T00:00:00+00:00",
                },
                "IsPastDue": False,
            }
            return [NativeRequest({"trigger": {"type": "json", "value": timer}, "metadata": {}})]
        case TaskStimulus():
            return [_task(stimulus)]
        case _:
            assert_never(stimulus)


def _task(stimulus: TaskStimulus) -> NativeRequest:
    names = ("input", "workflow", "run", "step", "attempt", "key")
    document = {name: getattr(stimulus, name) for name in names}
    text = json.dumps({**document, "place": f"{stimulus.step}!{stimulus.attempt}"})
    # The input of an activity is JSON; the orchestrator's is a text that is JSON.
    return NativeRequest({"trigger": {"type": "string", "value": json.dumps(text)}, "metadata": {}})


def _http(plan: BuildPlan, function: FunctionPlan, stimulus: HttpStimulus) -> NativeRequest:
    guarded = isinstance(function.trigger, HttpTrigger) and (
        function.trigger.auth is not None and function.trigger.auth.scheme == "iam"
    )
    host = f"{plan.service}-{plan.stage}.azurewebsites.net"
    headers: dict[str, str] = {}
    for name, value in (("host", host), *stimulus.headers):
        name = name.lower()
        if guarded and name.startswith("x-ms-client-principal"):
            continue  # App Service Authentication removes what a client says about itself.
        if name == "host" and name in headers:
            headers[name] = value
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    query = f"?{stimulus.query}" if stimulus.query else ""
    headers["x-original-url"] = headers["x-waws-unencoded-url"] = stimulus.path + query
    if stimulus.caller is not None:
        headers["x-ms-client-principal-id"] = stimulus.caller
        headers["x-ms-client-principal-idp"] = "aad"
    values: dict[str, str] = {}
    for name, value in parse_query(stimulus.query):
        if value:
            values[name] = f"{values[name]},{value}" if name in values else value
    native = {
        "method": stimulus.method,
        "url": f"https://{headers['host']}{host_path(stimulus.path)}{query}",
        "headers": headers,
        "params": _params(function, stimulus.path),
        "query": values,
        "body": base64.b64encode(stimulus.body).decode("ascii") if stimulus.body else None,
    }
    return NativeRequest({"trigger": {"type": "http", "value": native}, "metadata": {}})


def host_path(path: str) -> str:
    """Return *path* as the host renders it: decoded but for ``%2F``, then encoded again.

    What looks percent-encoded after decoding stays as it is (``PathString.ToUriComponent``).
    """
    pieces = path.replace("%2f", "%2F").split("%2F")
    decoded = "%2F".join(percent_decode(piece) for piece in pieces)
    out, rest = "", decoded
    while rest:
        if rest[0] == "%" and len(rest) > 2 and _HEX.issuperset(rest[1:3]):
            out, rest = out + rest[:3], rest[3:]
        else:
            out, rest = out + percent_encode(rest[0], _PATH_SAFE), rest[1:]
    return out


def _params(function: FunctionPlan, path: str) -> dict[str, str]:
    from portafaas.runtime.route import Route

    if not isinstance(function.trigger, HttpTrigger):
        return {}
    values = Route(function.trigger.path).match(percent_decode(path)) or {}
    return {name: value for name, value in values.items() if value}


def native_message(item: MessageStimulus) -> NativeRequest:
    """Return what the host sends for a message of Service Bus, without a session."""
    return _message(item, item.attributes, {})


def _message(
    item: MessageStimulus, attributes: Mapping[str, str], more: Mapping[str, str | None]
) -> NativeRequest:
    def text(value: str | None) -> dict[str, Any] | None:
        return None if value is None else {"type": "string", "value": value}

    def value(content: Any) -> dict[str, Any]:
        return {"type": "json", "value": content}

    metadata: dict[str, Any] = {
        "MessageId": text(item.id),
        "LockToken": text("00000000-0000-0000-0000-000000000001"),
        "DeliveryCount": value(item.attempt),
        "SequenceNumber": value(1),
        "EnqueuedTimeUtc": value(item.time),
        "EnqueuedTime": value(item.time),
        "ContentType": text(item.content_type),
        "ApplicationProperties": value(dict(attributes)),
        "UserProperties": value(dict(attributes)),
        **{name: text(content) for name, content in more.items()},
    }
    return NativeRequest(
        {
            "trigger": {"type": "bytes", "value": base64.b64encode(item.body).decode("ascii")},
            "metadata": {name: data for name, data in metadata.items() if data is not None},
        },
        (item.id,),
    )


def _topic(plan: BuildPlan, function: FunctionPlan, item: MessageStimulus) -> NativeRequest:
    attributes = {
        f"cloudEvents:{name[3:]}" if name.startswith("ce-") else name: value
        for name, value in item.attributes.items()
    }
    topic = getattr(function.trigger, "topic", "")
    ordered = any(found.ordered for found in plan.topics if found.name == topic)
    field = "SessionId" if ordered else "PartitionKey"
    return _message(item, attributes, {field: item.key})


def _object(plan: BuildPlan, function: FunctionPlan, stimulus: ObjectStimulus) -> NativeRequest:
    trigger = function.trigger
    bucket = trigger.bucket if isinstance(trigger, ObjectTrigger) else ""
    account = "".join(c for c in plan.service.lower() if c.isalnum())[:24] or "portafaas"
    created = stimulus.kind == "created"
    encoded = percent_encode(stimulus.key, "/")
    data: dict[str, Any] = {
        "api": "PutBlob" if created else "DeleteBlob",
        "requestId": "00000000-0000-0000-0000-000000000000",
        "eTag": stimulus.etag,
        "contentType": "application/octet-stream",
        "contentLength": stimulus.size,
        "blobType": "BlockBlob",
        "url": f"https://{account}.blob.core.windows.net/{bucket}/{encoded}",
        "sequencer": stimulus.sequencer,
        "storageDiagnostics": {"batchId": "00000000-0000-0000-0000-000000000000"},
    }
    event = {
        "topic": f"{_SUBSCRIPTION}/providers/Microsoft.Storage/storageAccounts/{account}",
        "subject": f"/blobServices/default/containers/{bucket}/blobs/{stimulus.key}",
        "eventType": f"Microsoft.Storage.{'BlobCreated' if created else 'BlobDeleted'}",
        "id": f"00000000-0000-0000-0000-{stimulus.sequencer[-12:].rjust(12, '0').lower()}",
        "data": data,
        "dataVersion": "",
        "metadataVersion": "1",
        "eventTime": stimulus.time,
    }
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    item = MessageStimulus(f"{event['id']}-1", body, time=stimulus.time)
    properties = {"aeg-subscription-name": function.name, "aeg-event-type": "Notification"}
    request = _message(item, properties, {})
    return NativeRequest(request.payload, ("event",))


def _change(
    plan: BuildPlan, function: FunctionPlan, stimulus: ChangeStimulus
) -> list[NativeRequest]:
    if stimulus.kind == "delete" or stimulus.new is None:
        return []  # The change feed has no deletions: nothing is delivered.
    from datetime import datetime

    from portafaas_azure.runtime.shapes import stored

    trigger = function.trigger
    document: dict[str, Any] = {**stimulus.keys, **stimulus.new}
    if isinstance(trigger, TableTrigger):
        table = plan.table(trigger.table)
        document = stored(document, [table.key, *([table.sort] if table.sort else [])])
    document |= {
        "_rid": "AAAAAAAAAAABAAAAAAAAAA==",
        "_self": "dbs/AAAAAA==/colls/AAAAAAAAAAA=/docs/AAAAAAAAAAABAAAAAAAAAA==/",
        "_etag": f'"{stimulus.id}"',
        "_attachments": "attachments/",
        "_ts": int(datetime.fromisoformat(stimulus.time).timestamp()),
        "_lsn": 1,
    }
    return [
        NativeRequest(
            {"trigger": {"type": "json", "value": [document]}, "metadata": {}}, ("event",)
        )
    ]
