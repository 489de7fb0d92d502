"""Takes the spans that a package in a vendor's runtime exports, as a collector at the user's would.

The shipped exporter speaks OTLP over HTTP, as JSON: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

#: Variable of where spans go.
ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
#: Those with which the user has said something about that.
SAID = (ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED")
#: Bytes of a document that is read.
_MOST = 4 << 20


class Collector:
    """Listens on 127.0.0.1 until it is closed, in a thread; keeps what comes until it is taken."""

    def __init__(self) -> None:
        self._found: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                status = 413
                if size <= _MOST:
                    status = collector._taken(self.rfile.read(size))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: what handlers print is the only log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="collector", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where spans are to be sent."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def _taken(self, body: bytes) -> int:
        try:
            found = list(spans(json.loads(body)))
        except (ValueError, KeyError, TypeError, AttributeError):
            # Of another exporter than ours: what it sends is for nobody here.
            return 415
        with self._changed:
            self._found += found
            self._changed.notify_all()
        return 200

    def taken(self, seconds: float, since: float = 0.0) -> list[dict[str, Any]]:
        """Return what has come of what ended *since*; the first is waited for, at most *seconds*.

        What ended before came too late for who wanted it.
        """
        end = monotonic() + seconds
        with self._changed:
            while True:
                self._found = [one for one in self._found if one["end"] >= since]
                left = end - monotonic()
                if self._found or left <= 0:
                    break
                self._changed.wait(left)
            found, self._found = self._found, []
        return found

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def spans(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the invocations of an ExportTraceServiceRequest as ``portafaas.local.observed`` tells.

    Spans that are not of the shipped exporter are left out. Raises KeyError, TypeError,
    AttributeError or ValueError for what is no such request.
    """
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                facts = _attributes(span)
                if "faas.invocation_id" not in facts:
                    continue
                thrown = next(
                    (_attributes(one) for one in span.get("events", ())
                     if one.get("name") == "exception"), {}
                )  # fmt: skip
                name = thrown.get("exception.type", "")
                text = thrown.get("exception.message")
                yield {
                    "observed": "span",
                    "start": int(span["startTimeUnixNano"]) / 1e9,
                    "end": int(span["endTimeUnixNano"]) / 1e9,
                    "trace_id": span["traceId"],
                    "span_id": span["spanId"],
                    "parent_id": span.get("parentSpanId", ""),
                    "of": facts.get("messaging.message.id", ""),
                    "invocation_id": facts["faas.invocation_id"],
                    "correlation_id": facts.get("portafaas.correlation_id", ""),
                    "error": f"{name}: {text}" if text else name,
                    "failed": span.get("status", {}).get("code") == 2,
                }


def _attributes(span: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes that are texts."""
    return {
        one["key"]: one["value"]["stringValue"]
        for one in span.get("attributes", ())
        if "stringValue" in one["value"]
    }
