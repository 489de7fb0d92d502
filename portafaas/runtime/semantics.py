"""An invocation in OpenTelemetry's terms: spans and metrics as OTLP JSON. Ships.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids are hexadecimal, enums are
numbers, 64-bit numbers are text.
https://opentelemetry.io/docs/specs/semconv/faas/faas-spans/
https://opentelemetry.io/docs/specs/semconv/http/http-spans/
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
https://opentelemetry.io/docs/specs/semconv/resource/faas/
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.metrics import Series
    from portafaas.runtime.trace import Span

# opentelemetry/proto/trace/v1/trace.proto: Span.SpanKind, Status.StatusCode
_SERVER, _CONSUMER = 2, 5
_ERROR = 2
# opentelemetry/proto/metrics/v1/metrics.proto: AggregationTemporality
_DELTA = 1
#: Default bounds: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#explicit-bucket-histogram-aggregation
BOUNDS = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)

_TRIGGERS = {
    "http": "http",
    "queue": "pubsub",
    "topic": "pubsub",
    "object": "datasource",
    "table": "datasource",
    "schedule": "timer",
}
#: Target and kind -> ``messaging.system``.
_SYSTEMS = {
    ("aws", "queue"): "aws_sqs",
    ("aws", "topic"): "aws.sns",
    ("azure", "queue"): "servicebus",
    ("azure", "topic"): "servicebus",
    ("gcp", "queue"): "gcp_pubsub",
    ("gcp", "topic"): "gcp_pubsub",
}
#: https://opentelemetry.io/docs/specs/semconv/resource/cloud/
_PLATFORMS = {
    "aws": "aws_lambda",
    "azure": "azure.functions",
    "gcp": "gcp_cloud_functions",
}
_OPERATIONS = {
    "created": "insert",
    "deleted": "delete",
    "insert": "insert",
    "update": "edit",
    "upsert": "edit",
    "delete": "delete",
}
_SCOPE = {"name": "portafaas.runtime"}

_cold = True


def value_of(value: Any) -> dict[str, Any]:
    """Return an AnyValue."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [value_of(item) for item in value]}}
    return {"stringValue": str(value)}


def pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return KeyValues of what is not None."""
    return [
        {"key": name, "value": value_of(value)}
        for name, value in attributes.items()
        if value is not None
    ]


def resource(context: Context) -> dict[str, Any]:
    """Return who sends: ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` win over our own.

    https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
    """
    from os import environ

    from portafaas.runtime.text import percent_decode

    facts: dict[str, Any] = {
        "service.name": context.service,
        "faas.name": context.function,
        "faas.max_memory": context.memory * 1024 * 1024,
        "telemetry.sdk.name": "portafaas",
        "telemetry.sdk.language": "python",
    }
    if context.target in _PLATFORMS:
        facts["cloud.provider"] = context.target
        facts["cloud.platform"] = _PLATFORMS[context.target]
    site = environ.get("WEBSITE_SITE_NAME")
    if context.target == "azure" and site:
        # As https://opentelemetry.io/docs/specs/semconv/registry/attributes/faas/ wants it.
        facts["faas.name"] = f"{site}/{context.function}"
    if context._function.stage:
        facts["deployment.environment.name"] = context._function.stage
    for piece in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, equals, value = piece.partition("=")
        if equals and name.strip():
            facts[percent_decode(name.strip())] = percent_decode(value.strip())
    named = environ.get("OTEL_SERVICE_NAME", "").strip()
    if named:
        facts["service.name"] = named
    return {"attributes": pairs(facts)}


def span_document(
    context: Context, payload: Any, result: Any, error: BaseException | None, end: float
) -> dict[str, Any]:
    """Return an ExportTraceServiceRequest with the invocation's span."""
    span = context.span
    kind = context._function.kind
    facts = _facts(context, payload, result)
    out: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": _name(context, payload),
        "kind": _CONSUMER if kind in ("queue", "topic") else _SERVER,
        "startTimeUnixNano": _nano(span.start),
        "endTimeUnixNano": _nano(max(end, span.start)),
        "attributes": pairs({**facts, **span.attributes}),
        # The two lowest bits: sampled, and whether the parent is known to be remote (bits 8, 9).
        "flags": (1 if span.sampled else 0) | 0x100 | (0x200 if span.parent_id else 0),
    }
    if span.parent_id:
        out["parentSpanId"] = span.parent_id
    if span.state:
        out["traceState"] = span.state
    if span.links:
        out["links"] = [
            {"traceId": link.trace_id, "spanId": link.span_id}
            | ({"traceState": link.state} if link.state else {})
            for link in span.links
        ]
    _judge(out, span, kind, result, error)
    return {
        "resourceSpans": [
            {
                "resource": resource(context),
                "scopeSpans": [{"scope": _SCOPE, "spans": [out]}],
            }
        ]
    }


def _nano(seconds: float) -> str:
    return str(round(seconds * 1_000_000) * 1000)


def _name(context: Context, payload: Any) -> str:
    trigger = context._function.trigger
    kind = context._function.kind
    if kind == "http":
        return f"{payload.method} {trigger['path']}"
    if kind in ("queue", "topic"):
        return f"process {trigger[kind]}"
    return context.function


def _facts(context: Context, payload: Any, result: Any) -> dict[str, Any]:
    global _cold
    function = context._function
    trigger, kind = function.trigger, function.kind
    facts: dict[str, Any] = {
        "faas.invocation_id": context.invocation_id,
        "faas.trigger": _TRIGGERS.get(kind, "other"),
        "faas.coldstart": _cold,
        "portafaas.correlation_id": context.correlation_id,
    }
    _cold = False
    if kind == "http":
        sent = payload.headers.get("x-forwarded-proto", "").rpartition(",")[2].strip()
        facts["http.request.method"] = payload.method
        facts["url.path"] = payload.path
        facts["url.scheme"] = sent if sent in ("http", "https") else "http"
        facts["http.route"] = trigger["path"]
        facts["server.address"] = (payload.headers.get("host") or "").partition(":")[0] or None
        facts["user_agent.original"] = payload.headers.get("user-agent")
        facts["http.response.status_code"] = result.status
    elif kind in ("queue", "topic"):
        facts["messaging.system"] = _SYSTEMS.get((context.target, kind), "portafaas")
        facts["messaging.destination.name"] = trigger[kind]
        facts["messaging.operation.name"] = "process"
        facts["messaging.operation.type"] = "process"
        messages = getattr(payload, "messages", None)
        if messages is not None:
            facts["messaging.batch.message_count"] = len(messages)
        else:
            facts["messaging.message.id"] = payload.id
            body = getattr(payload, "body", None)
            if body is not None:
                facts["messaging.message.body.size"] = len(body)
            else:
                facts["cloudevents.event_id"] = payload.id
                facts["cloudevents.event_source"] = payload.source
                facts["cloudevents.event_type"] = payload.type
                facts["cloudevents.event_subject"] = payload.subject
    elif kind in ("object", "table"):
        facts["faas.document.collection"] = trigger["bucket" if kind == "object" else "table"]
        facts["faas.document.operation"] = _OPERATIONS.get(payload.kind, payload.kind)
        facts["faas.document.time"] = payload.time
        facts["faas.document.name"] = payload.key if kind == "object" else None
    elif kind == "schedule":
        facts["faas.time"] = payload.time
        facts["faas.cron"] = trigger["cron"]
    return facts


def _judge(
    out: dict[str, Any], span: Span, kind: str, result: Any, error: BaseException | None
) -> None:
    """Set status, ``error.type`` and the event of an exception.

    An answer below 500 is no error of the server, whatever made it.
    """
    if kind == "http" and result.status < 500:
        return
    failed = len(result) if isinstance(result, list) else 0
    if error is None and not failed and kind != "http":
        return
    if error is not None:
        name = type(error).__qualname__
        module = type(error).__module__
        full = name if module == "builtins" else f"{module}.{name}"
        try:
            text = str(error)
        except Exception:
            text = ""
        out["events"] = [
            {
                "timeUnixNano": out["endTimeUnixNano"],
                "name": "exception",
                "attributes": pairs(
                    {"exception.type": full, "exception.message": text[:4096] or None}
                ),
            }
        ]
    else:
        full = str(result.status) if kind == "http" else "failed_messages"
    out["attributes"] += pairs({"error.type": full})
    out["status"] = {"code": _ERROR}


def metrics_document(context: Context, series: list[Series], end: float) -> dict[str, Any]:
    """Return an ExportMetricsServiceRequest: counts as delta sums, values as delta histograms."""
    from portafaas.runtime.trace import begun

    found: dict[str, dict[str, Any]] = {}
    begin = _nano(begun(context))
    for one in series:
        point: dict[str, Any] = {
            "attributes": pairs(one.attributes),
            "startTimeUnixNano": begin,
            "timeUnixNano": _nano(end),
        }
        if one.kind == "count":
            total = one.values[0]
            if isinstance(total, int) and abs(total) < 2**63:
                point["asInt"] = str(total)
            else:
                point["asDouble"] = float(total)
            empty: dict[str, Any] = {
                "name": one.name,
                "unit": "1",
                "sum": {"aggregationTemporality": _DELTA, "isMonotonic": True, "dataPoints": []},
            }
            found.setdefault(one.name, empty)["sum"]["dataPoints"].append(point)
        else:
            counts = [0] * (len(BOUNDS) + 1)
            for value in one.values:
                # A value on a bound belongs below it.
                counts[sum(1 for bound in BOUNDS if value > bound)] += 1
            point.update(
                count=str(len(one.values)),
                sum=float(sum(one.values)),
                min=float(min(one.values)),
                max=float(max(one.values)),
                bucketCounts=[str(count) for count in counts],
                explicitBounds=[float(bound) for bound in BOUNDS],
            )
            empty = {
                "name": one.name,
                "unit": one.unit or "1",
                "histogram": {"aggregationTemporality": _DELTA, "dataPoints": []},
            }
            found.setdefault(one.name, empty)["histogram"]["dataPoints"].append(point)
    return {
        "resourceMetrics": [
            {
                "resource": resource(context),
                "scopeMetrics": [{"scope": _SCOPE, "metrics": list(found.values())}],
            }
        ]
    }
