"""Sends spans and metrics to an OpenTelemetry collector: OTLP over HTTP, as JSON. Ships.

Loaded only when ``OTEL_EXPORTER_OTLP_ENDPOINT`` or one of a signal is set.
https://opentelemetry.io/docs/specs/otlp/#otlphttp
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

from os import environ
from time import monotonic, time

from portafaas.runtime.context import endings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.metrics import Series

#: Seconds that an invocation waits at most for its spans to be taken.
TIMEOUT = 1.0
#: Seconds without another try after one that failed.
PAUSE = 30.0
#: Documents that wait to be sent; the oldest goes first.
MAX_WAITING = 256

_exporter: Exporter | None = None


def start() -> None:
    """Have spans sent at the end of every invocation of this process; may be called again."""
    global _exporter
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    if _exporter is None:
        _exporter = Exporter()
    if send_span not in endings:
        endings.append(send_span)


def endpoint(signal: str) -> str:
    """Return where *signal* (``traces``, ``metrics``) goes, or an empty string.

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp: a
    signal's own endpoint is used as it is, the common one is the folder of ``v1/<signal>``.
    """
    upper = signal.upper()
    if environ.get(f"OTEL_{upper}_EXPORTER", "otlp").strip().lower() == "none":
        return ""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{upper}_ENDPOINT", "").strip()
    if own:
        return own
    common = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    return f"{common.rstrip('/')}/v1/{signal}" if common else ""


def headers(signal: str) -> dict[str, str]:
    """Return the headers to send: ``name=value`` pairs, percent-decoded; bad ones are left out."""
    from portafaas.runtime.text import percent_decode

    found = {"content-type": "application/json", "user-agent": "portafaas-otlp"}
    text = (
        environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_HEADERS")
        or environ.get("OTEL_EXPORTER_OTLP_HEADERS")
        or ""
    )
    for piece in text.split(","):
        name, equals, value = piece.partition("=")
        name, value = name.strip().lower(), percent_decode(value.strip())
        if equals and name and name.isascii() and name.isprintable() and value.isprintable():
            found[name] = value
    return found


def timeout(signal: str) -> float:
    """Return the seconds a request may take: what the environment says in ms, at most TIMEOUT."""
    text = (
        environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT")
        or environ.get("OTEL_EXPORTER_OTLP_TIMEOUT")
        or ""
    )
    try:
        given = float(text) / 1000
    except ValueError:
        return TIMEOUT
    return min(given, TIMEOUT) if given > 0 else TIMEOUT


class Exporter:
    """Sends documents from a thread of its own, so that a slow collector stops nobody."""

    def __init__(self) -> None:
        from collections import deque
        from threading import Condition

        self._ready = Condition()
        self._waiting: Any = deque(maxlen=MAX_WAITING)
        self._thread: Any = None
        self._busy = False
        self._quiet_until = 0.0

    def submit(self, signal: str, document: dict[str, Any]) -> None:
        """Have *document* sent; nothing is sent for a while after a failure."""
        url = endpoint(signal)
        if not url or monotonic() < self._quiet_until:
            return
        import json

        from portafaas.runtime.log import redact

        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)
        body = redact(text, in_json=True).encode("utf-8", "replace")
        with self._ready:
            self._waiting.append((signal, url, body))
            # A forked process has no thread yet, or a dead one.
            if self._thread is None or not self._thread.is_alive():
                import atexit
                import threading

                if self._thread is None:
                    atexit.register(self.wait, TIMEOUT)
                self._thread = threading.Thread(
                    target=self._run, name="portafaas-otlp", daemon=True
                )
                self._thread.start()
            self._ready.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until all is sent, at most *seconds*."""
        ends = monotonic() + seconds
        with self._ready:
            while self._waiting or self._busy:
                left = ends - monotonic()
                if left <= 0:
                    return
                self._ready.wait(left)

    def _run(self) -> None:
        while True:
            with self._ready:
                while not self._waiting:
                    self._ready.wait()
                signal, url, body = self._waiting.popleft()
                self._busy = True
            problem: object = None
            try:
                problem = post(url, headers(signal), body, timeout(signal))
            except Exception as exc:
                problem = exc
            with self._ready:
                if problem is not None:
                    self._quiet_until = monotonic() + PAUSE
                    self._waiting.clear()
                self._busy = False
                self._ready.notify_all()
            if problem is not None:
                self._tell(url, problem)

    @staticmethod
    def _tell(url: str, problem: object) -> None:
        import logging

        place = url.partition("?")[0].rpartition("@")[2]
        logging.getLogger("portafaas.telemetry").warning(
            "%s does not take telemetry, none is sent for %d s: %s", place, PAUSE, problem
        )


def post(url: str, fields: dict[str, str], body: bytes, seconds: float) -> str | None:
    """Send *body*; return why it was not taken, or None. Raises OSError or HTTPException."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "not an http or https URL"
    made = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = made(parts.hostname, parts.port, timeout=seconds)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, fields)
        answer = connection.getresponse()
        answer.read(65536)
        return None if 200 <= answer.status < 300 else f"status {answer.status}"
    finally:
        connection.close()


def send_span(context: Context, payload: Any, result: Any, error: BaseException | None) -> None:
    """Send the span of an invocation that has ended, if it is recorded."""
    if _exporter is None:
        return
    if endpoint("traces") and context.span.sampled:
        from portafaas.runtime.semantics import span_document

        _exporter.submit("traces", span_document(context, payload, result, error, time()))
    if context.target != "azure":
        # Lambda freezes the process and Cloud Run takes its processor away once there is an answer.
        # Azure does neither, and its loop must not stand still.
        _exporter.wait(min(TIMEOUT, context.remaining()))


def send_metrics(context: Context, series: list[Series]) -> None:
    """Send the metrics of an invocation that has ended; :func:`send_span` waits for them."""
    if _exporter is not None and endpoint("metrics"):
        from portafaas.runtime.semantics import metrics_document

        _exporter.submit("metrics", metrics_document(context, series, time()))
