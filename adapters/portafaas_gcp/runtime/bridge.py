"""What all bridges share: reading the WSGI environment, answering, registering. Ships.

flask is imported on first use only; under the framework it is loaded already.
"""

from __future__ import annotations

import sys

from portafaas.runtime.context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from portafaas.runtime.function import Function

    Environ = dict[str, Any]

_reply: Any = None


def utf8(text: str) -> str:
    """Return a WSGI string (PEP 3333: bytes as latin-1) as the UTF-8 text it stands for.

    Bytes that are no UTF-8 stay latin-1, which is what older clients mean.
    """
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def wire(text: str) -> str:
    """Return *text* as a WSGI string that carries its UTF-8 bytes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


def headers_of(environ: Environ) -> dict[str, str]:
    """Return the request headers by lower-case name; gunicorn has joined repeated ones by ``,``.

    ``Function-Execution-Id`` is left out: the framework adds it, the context has it.
    """
    headers: dict[str, str] = {}
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            headers[key[5:].replace("_", "-").lower()] = utf8(value)
    headers.pop("function-execution-id", None)
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        value = environ.get(key)
        if value:
            headers[key.replace("_", "-").lower()] = utf8(value)
    return headers


def path_of(environ: Environ) -> str:
    """Return the path of the request, percent-decoded once.

    ``PATH_INFO`` is decoded by the server, with ``%2F`` and ``//`` beyond recovery, so the request
    target is preferred (``RAW_URI`` of gunicorn and werkzeug). It may be in absolute form
    (RFC 9112 section 3.2.2).
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if not raw:
        path: str = environ.get("PATH_INFO") or "/"
        return path.encode("latin-1").decode("utf-8", "replace")
    raw = raw.partition("?")[0]
    if raw[:1] != "/" and "://" in raw:
        rest = raw.partition("://")[2]
        slash = rest.find("/")
        raw = rest[slash:] if slash >= 0 else "/"
    from portafaas.runtime.text import percent_decode

    return percent_decode(utf8(raw))


def invocation_id(environ: Environ) -> str:
    """Return the id the framework or the platform gave this request, else a fresh one."""
    given = environ.get("HTTP_FUNCTION_EXECUTION_ID")
    if given:
        return str(given)
    from os import urandom

    return urandom(8).hex()


def trace_parent(environ: Environ) -> str | None:
    """Return the W3C ``traceparent``, made from ``X-Cloud-Trace-Context`` if only that is there.

    ``TRACE_ID/SPAN_ID;o=OPTIONS``, the span id in decimal:
    https://cloud.google.com/trace/docs/trace-context
    """
    given = environ.get("HTTP_TRACEPARENT")
    if given:
        return str(given)
    legacy = environ.get("HTTP_X_CLOUD_TRACE_CONTEXT")
    if not legacy:
        return None
    trace, _, rest = legacy.partition("/")
    span, _, options = rest.partition(";")
    if len(trace) != 32 or not trace.isalnum() or not span.isdecimal() or not span.isascii():
        return None
    number = int(span)
    if not 0 < number < 2**64:
        return None
    return f"00-{trace.lower()}-{number:016x}-{'01' if options == 'o=1' else '00'}"


def reply(status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Any:
    """Return a flask response with exactly these headers, beside ``Content-Length``."""
    global _reply
    if _reply is None:
        _reply = _reply_class()
    return _reply([body] if body else [], status, [(name, wire(value)) for name, value in headers])


def _reply_class() -> Any:
    from flask import Response

    class Reply(Response):
        """Sends what it is given: no default type, no rewritten ``Location``, nothing removed."""

        default_mimetype = None

        def get_wsgi_headers(self, environ: Environ) -> Any:
            headers = self.headers.copy()
            if self.status_code not in (204, 304):
                size = sum(len(part) for part in self.response)
                headers["Content-Length"] = str(size)
            return headers

    return Reply


def publish(entry: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """Register *entry* with the framework, if that is what imports it, and return it.

    The decorator fixes the signature type, which the platform would set to ``cloudevent`` for a
    function with an event trigger of its own. The hook serves what the framework's routes do not:
    it answers ``/robots.txt`` and ``/favicon.ico`` with 404, looks for ``/static/...`` in a folder
    of its own, and redirects ``/a//b`` to ``/a/b``.
    """
    entry.__name__ = entry.__qualname__ = name
    framework = sys.modules.get("functions_framework")
    if framework is not None:
        framework.http(entry)
        from flask import current_app, has_app_context, request

        if has_app_context():

            def unrouted() -> Any:
                if request.endpoint == "run" and request.routing_exception is None:
                    return None
                return entry(request._get_current_object())  # type: ignore[attr-defined]

            current_app.before_request(unrouted)
    return entry


def context_of(function: Function, request: Any) -> Context:
    """Return the context of a call by the framework."""
    environ = request.environ
    return Context(
        function,
        invocation_id(environ),
        target="gcp",
        trace_parent=trace_parent(environ),
        raw=request,
    )
