"""Spans and metrics on their way to a collector, read with OpenTelemetry's own messages."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry import trace as api
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

from portafaas.runtime import otlp, semantics
from portafaas.runtime.context import Context, endings
from portafaas.runtime.deliver import run_event, run_messages
from portafaas.runtime.event import Event, ObjectEvent, ScheduleEvent
from portafaas.runtime.handler import batch_handler
from portafaas.runtime.http import HttpError, Request, Response
from portafaas.runtime.message import Message
from portafaas.runtime.nesting import nested
from portafaas.runtime.serve import run

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


class Collector:
    """Takes what is sent to it; ``status`` is its answer, ``hold`` keeps it waiting until set."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.hold: threading.Event | None = None
        outer = self

        class Taker(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append((self.path, headers, body))
                if outer.hold is not None:
                    outer.hold.wait(10)
                self.send_response(outer.status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def documents(self, path: str = "/v1/traces") -> list[Any]:
        """Return the documents sent to *path* as protobuf messages."""
        kind: Any = ExportTraceServiceRequest
        if path.endswith("metrics"):
            kind = ExportMetricsServiceRequest
        return [
            json_format.Parse(json.dumps(_base64(json.loads(body))), kind())
            for sent, _, body in self.requests
            if sent == path
        ]

    def spans(self) -> list[Any]:
        """Return all spans."""
        return [
            span
            for document in self.documents()
            for resource in document.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        if self.hold is not None:
            self.hold.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def _base64(value: Any) -> Any:
    """Return OTLP JSON as protobuf's own mapping: ids are bytes, so base64 instead of hex.

    https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
    """
    if isinstance(value, list):
        return [_base64(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(bytes.fromhex(item)).decode()
        if name in ("traceId", "spanId", "parentSpanId")
        else _base64(item)
        for name, item in value.items()
    }


@pytest.fixture
def collector(monkeypatch: Any) -> Iterator[Collector]:
    """Have spans and metrics of this process sent to a collector."""
    made = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
    monkeypatch.setattr(otlp, "_exporter", None)
    monkeypatch.setattr(semantics, "_cold", True)
    kept = endings[:]
    otlp.start()
    yield made
    exporter = otlp._exporter
    endings[:] = kept
    made.close()
    if exporter is not None:
        exporter.wait(2)


def facts(attributes: Any) -> dict[str, Any]:
    """Return KeyValues as a dict."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes
    }


def test_a_request(make: Any, collector: Collector, monkeypatch: Any) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b, service.name=no,bad")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Key=a%3Db,bad, y = z")
    function = make(lambda request, context: {"a": 1}, path="/a/{id}", methods=["GET"])
    sent = Request(
        path="/a/7",
        query="token=hidden",
        headers={"traceparent": GOOD, "tracestate": "a=1", "host": "x.example:8080",
                 "user-agent": "me", "x-forwarded-proto": "https", "x-correlation-id": "c-1"},
    )  # fmt: skip
    before = time.time_ns()
    context = Context(function, "id-1", target="aws", trace_parent=GOOD)
    assert run(function, sent, context).status == 200
    (path, headers, body) = collector.requests[0]
    assert path == "/v1/traces"
    assert headers["content-type"] == "application/json"
    assert (headers["x-key"], headers["y"]) == ("a=b", "z")
    assert b"hidden" not in body
    (span,) = collector.spans()
    assert span.trace_id.hex() == TRACE == context.trace_id
    assert span.parent_span_id.hex() == SPAN
    assert span.span_id.hex() == context.span_id
    assert (span.name, span.kind, span.trace_state) == ("GET /a/{id}", 2, "a=1")
    assert before - 2_000_000 <= span.start_time_unix_nano <= span.end_time_unix_nano
    assert span.end_time_unix_nano <= time.time_ns()
    assert span.status.code == 0
    assert span.flags == 0x301
    assert facts(span.attributes) == {
        "faas.invocation_id": "id-1", "faas.trigger": "http", "faas.coldstart": True,
        "portafaas.correlation_id": "c-1", "http.request.method": "GET", "url.path": "/a/7",
        "url.scheme": "https", "http.route": "/a/{id}", "server.address": "x.example",
        "user_agent.original": "me", "http.response.status_code": 200,
    }  # fmt: skip
    resource = facts(collector.documents()[0].resource_spans[0].resource.attributes)
    assert resource == {
        "service.name": "named", "faas.name": "f", "faas.max_memory": 256 * 1024 * 1024,
        "telemetry.sdk.name": "portafaas", "telemetry.sdk.language": "python",
        "cloud.provider": "aws", "cloud.platform": "aws_lambda", "team": "a b",
    }  # fmt: skip


def test_on_azure_a_function_has_its_app_s_name_before_it(make: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("WEBSITE_SITE_NAME", "my-app")
    function = make()
    for target, name in (("azure", "my-app/f"), ("aws", "f")):
        found = semantics.resource(Context(function, "1", target=target))["attributes"]
        assert {"key": "faas.name", "value": {"stringValue": name}} in found


def fail(error: BaseException) -> Any:
    def handle(payload: Any, context: Context) -> Any:
        raise error

    return handle


@pytest.mark.parametrize(
    ("handle", "status", "code", "kind"),
    [
        (fail(ValueError("boom")), 500, 2, "ValueError"),
        (fail(HttpError(404, "x")), 404, 0, None),
        (fail(HttpError(503, "x")), 503, 2, "portafaas.runtime.http.HttpError"),
        (lambda request, context: Response(None, 502), 502, 2, "502"),
        (lambda request, context: Response(None, 404), 404, 0, None),
    ],
)
def test_the_status_of_a_request(
    make: Any, collector: Collector, handle: Any, status: int, code: int, kind: str | None
) -> None:
    function = make(handle)
    run(function, Request(), Context(function, "1"))
    (span,) = collector.spans()
    found = facts(span.attributes)
    assert (found["http.response.status_code"], span.status.code) == (status, code)
    assert found.get("error.type") == kind
    if kind == "ValueError":
        (event,) = span.events
        assert event.name == "exception"
        assert facts(event.attributes) == {
            "exception.type": "ValueError", "exception.message": "boom",
        }  # fmt: skip


def test_a_handler_that_breaks_its_context(make: Any, collector: Collector) -> None:
    def handle(request: Request, context: Context) -> None:
        context.metrics.count("n")
        for name in ("deadline", "invocation_id", "raw", "payload", "trace_parent"):
            setattr(context, name, None)

    function = make(handle)
    assert run(function, Request(), Context(function, "1")).status == 204
    assert len(collector.spans()) <= 1


def test_only_the_first_invocation_is_cold(make: Any, collector: Collector) -> None:
    function = make(lambda request, context: None)
    for _ in range(2):
        run(function, Request(), Context(function, "1"))
    assert [facts(s.attributes)["faas.coldstart"] for s in collector.spans()] == [True, False]


def test_messages(make: Any, collector: Collector) -> None:
    def handle(message: Message, context: Context) -> None:
        if message.id == "2":
            raise KeyError("x")

    function = make(handle, kind="queue", queue="jobs", batch=2)
    sent = [
        Message("1", b"abc", attributes={"traceparent": GOOD}, queue="jobs"),
        Message("2", b"", queue="jobs"),
    ]
    context = Context(function, "id", target="aws")
    assert run_messages(function, sent, context) == ["2"]
    one, two = collector.spans()
    assert (one.name, one.kind, one.status.code) == ("process jobs", 5, 0)
    assert (one.trace_id.hex(), one.parent_span_id.hex()) == (TRACE, SPAN)
    assert two.trace_id.hex() != TRACE
    assert (two.parent_span_id, two.status.code) == (b"", 2)
    found = facts(one.attributes)
    assert found["messaging.system"] == "aws_sqs"
    assert found["messaging.message.id"] == "1"
    assert found["messaging.message.body.size"] == 3
    assert found["messaging.destination.name"] == "jobs"
    assert facts(two.attributes)["error.type"] == "KeyError"


def test_a_batch_has_links(make: Any, collector: Collector) -> None:
    @batch_handler
    def handle(batch: Any, context: Context) -> Any:
        from portafaas.runtime.message import BatchResult

        return BatchResult(["2"])

    function = make(handle, kind="queue", queue="jobs", batch=2)
    sent = [
        Message(str(n), b"", attributes={"traceparent": GOOD, "tracestate": "a=1"}, queue="jobs")
        for n in (1, 2)
    ]
    run_messages(function, sent, Context(function, "id", target="gcp"))
    (span,) = collector.spans()
    assert [(link.trace_id.hex(), link.span_id.hex(), link.trace_state) for link in span.links] == [
        (TRACE, SPAN, "a=1")
    ] * 2
    assert span.trace_id.hex() != TRACE
    assert facts(span.attributes)["messaging.batch.message_count"] == 2
    assert facts(span.attributes)["error.type"] == "failed_messages"
    assert span.status.code == 2


EVENTS = [
    ("topic", {"topic": "news", "filter": {}}, Event("1", "/s", "t", {"a": 1}),
     ("process news", 5, {"faas.trigger": "pubsub", "cloudevents.event_type": "t"})),
    ("object", {"bucket": "up", "on": ["created"]},
     ObjectEvent("1", "/s", bucket="up", key="a/b", kind="created", time="2026-01-01T00:00:00.000Z"),
     ("f", 2, {"faas.trigger": "datasource", "faas.document.operation": "insert",
               "faas.document.collection": "up", "faas.document.name": "a/b"})),
    ("schedule", {"cron": "* * * * *", "timezone": "UTC"},
     ScheduleEvent("1", "/s", time="2026-01-01T00:00:00.000Z"),
     ("f", 2, {"faas.trigger": "timer", "faas.cron": "* * * * *",
               "faas.time": "2026-01-01T00:00:00.000Z"})),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "trigger", "event", "wanted"), EVENTS)
def test_events(
    make: Any, collector: Collector, kind: str, trigger: Any, event: Any, wanted: Any
) -> None:
    function = make(lambda event, context: None, kind=kind, **trigger)
    run_event(function, event, Context(function, "1"))
    (span,) = collector.spans()
    name, number, attributes = wanted
    assert (span.name, span.kind) == (name, number)
    assert attributes.items() <= facts(span.attributes).items()


def test_an_event_that_the_filter_drops_has_no_span(make: Any, collector: Collector) -> None:
    function = make(lambda e, c: None, kind="topic", topic="t", filter={"type": ["other"]})
    run_event(function, Event("1", "/s", "t"), Context(function, "1"))
    assert collector.requests == []


def test_metrics(make: Any, collector: Collector) -> None:
    def handle(request: Request, context: Context) -> None:
        context.metrics.count("orders", place="a")
        context.metrics.count("orders", 2, place="b")
        context.metrics.count("weight", 1.5)
        for value in (0, 5, 5.1, 20_000):
            context.metrics.record("took", value, "ms")

    function = make(handle)
    run(function, Request(), Context(function, "1"))
    (document,) = collector.documents("/v1/metrics")
    orders, weight, took = document.resource_metrics[0].scope_metrics[0].metrics
    assert (orders.name, orders.unit) == ("orders", "1")
    assert (orders.sum.aggregation_temporality, orders.sum.is_monotonic) == (1, True)
    points = [(point.as_int, facts(point.attributes)) for point in orders.sum.data_points]
    assert points == [(1, {"place": "a"}), (2, {"place": "b"})]
    assert weight.sum.data_points[0].as_double == 1.5
    (point,) = took.histogram.data_points
    assert (took.unit, took.histogram.aggregation_temporality) == ("ms", 1)
    assert (point.count, point.sum, point.min, point.max) == (4, 20010.1, 0, 20000)
    assert list(point.bucket_counts) == [1, 1, 1, *[0] * 12, 1]
    assert len(point.explicit_bounds) == len(point.bucket_counts) - 1


def test_what_is_not_sampled_is_not_sent(make: Any, collector: Collector) -> None:
    function = make(lambda request, context: None)
    sent = Request(headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
    run(function, sent, Context(function, "1", trace_parent=sent.headers["traceparent"]))
    assert collector.requests == []


def test_a_collector_that_refuses_harms_nobody(
    make: Any, collector: Collector, caplog: Any
) -> None:
    collector.status = 503
    function = make(lambda request, context: None)
    for _ in range(3):
        assert run(function, Request(), Context(function, "1")).status == 204
    assert len(collector.requests) == 1
    assert otlp._exporter is not None
    otlp._exporter._thread.join(0.2)
    assert [record.name for record in caplog.records] == ["portafaas.telemetry"]
    assert "status 503" in caplog.text


def test_a_slow_collector_costs_no_more_than_is_left(make: Any, collector: Collector) -> None:
    collector.hold = threading.Event()
    function = make(lambda request, context: None, timeout=0.3)
    begin = time.monotonic()
    assert run(function, Request(), Context(function, "1")).status == 204
    assert time.monotonic() - begin < 0.9


def test_azure_s_loop_does_not_wait(make: Any, collector: Collector) -> None:
    collector.hold = threading.Event()
    function = make(lambda request, context: None)
    begin = time.monotonic()
    run(function, Request(), Context(function, "1", target="azure"))
    assert time.monotonic() - begin < 0.5


def test_nobody_listens(make: Any, collector: Collector, monkeypatch: Any) -> None:
    collector.server.server_close()
    function = make(lambda request, context: None)
    assert run(function, Request(), Context(function, "1")).status == 204


ENDPOINTS = [
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1"}, "http://a:1/v1/traces"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1/x/"}, "http://a:1/x/v1/traces"),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b"},
     "http://b"),
    ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://b"}, ""),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, ""),
    ({}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "url"), ENDPOINTS)
def test_endpoints(monkeypatch: Any, environment: dict[str, str], url: str) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert otlp.endpoint("traces") == url


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 1.0), ("250", 0.25), ("90000", 1.0), ("x", 1.0), ("0", 1.0)]
)
def test_timeouts(monkeypatch: Any, text: str, seconds: float) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", text)
    assert otlp.timeout("traces") == seconds


def test_the_user_s_spans_nest(make: Any) -> None:
    provider = TracerProvider()
    tracer = provider.get_tracer("x")
    seen: list[Any] = []

    def handle(payload: Any, context: Context) -> None:
        with tracer.start_as_current_span("inner") as span:
            seen.append((context, span))

    async def wait(payload: Any, context: Context) -> None:
        handle(payload, context)

    def later(payload: Any, context: Context) -> Any:
        return wait(payload, context)

    for one in (handle, wait, later):
        function = make(nested(one))
        run(function, Request(), Context(function, "1", trace_parent=GOOD))
    assert len(seen) == 3
    for context, span in seen:
        assert api.format_trace_id(span.get_span_context().trace_id) == TRACE == context.trace_id
        assert api.format_span_id(span.parent.span_id) == context.span_id
    assert not api.get_current_span().get_span_context().is_valid


CHILD = """
import sys
from portafaas.runtime.context import Context
from portafaas.runtime.function import Function
from portafaas.runtime.http import Request
from portafaas.runtime.serve import run
sys.path.insert(0, {folder!r})
function = Function({{
    "name": "f", "service": "shop", "kind": "http", "handler": "mine:handle", "timeout": 5,
    "memory": 256, "source": "/shop/f", "trigger": {{"methods": [], "path": "/"}},
}})
print(run(function, Request(), Context(function, "1")).status)
print(sorted(n for n in sys.modules if n in (
    "portafaas.runtime.otlp", "portafaas.runtime.nesting", "portafaas.runtime.trace",
    "portafaas.runtime.metrics", "portafaas.runtime.resources", "opentelemetry", "logging")))
"""


@pytest.mark.parametrize("set_up", [False, True])
def test_a_process_exports_when_its_environment_says_so(
    tmp_path: Any, collector: Collector, set_up: bool
) -> None:
    (tmp_path / "mine.py").write_text("def handle(request, context):\n    return None\n")
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url} if set_up else {}
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(folder=str(tmp_path))],
        env={"PATH": ""} | environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    status, modules = done.stdout.splitlines()
    assert (status, done.stderr) == ("204", "")
    assert len(collector.spans()) == int(set_up)
    if not set_up:
        assert modules == "[]"
