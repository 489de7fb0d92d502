"""What comes of a request, as the server has it, and its record."""

from __future__ import annotations

import json
from typing import Any

from portafaas.dev.frames import ERROR, OK, REFUSED, TIMEOUT
from portafaas.dev.record import Invocation

#: How an invocation went, beyond what ``portafaas.dev.frames`` says.
CRASH, MEMORY = 4, 5

#: status, headers, body, how, why, trace; see ``portafaas.dev.worker``.
Answer = tuple[int, list[tuple[bytes, bytes]], bytes, int, str, tuple[str, str, str, str] | None]
#: method, path and query as sent, headers with names in lower case, body, caller.
HttpRequest = tuple[str, str, str, list[tuple[bytes, bytes]], bytes, str | None]
#: How an invocation went, as its record says.
STATUS = {
    OK: "ok", REFUSED: "refused", ERROR: "error", TIMEOUT: "timeout", CRASH: "crash",
    MEMORY: "memory",
}  # fmt: skip
#: Headers whose values are not recorded.
_SECRET = frozenset((b"authorization", b"proxy-authorization", b"x-api-key"))


def problem(status: int, title: str, detail: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body of an RFC 9457 problem document."""
    body = json.dumps(
        {"type": "about:blank", "title": title, "status": status, "detail": detail}
    ).encode()
    length = b"%d" % len(body)
    return [(b"content-type", b"application/problem+json"), (b"content-length", length)], body


def invocation(
    function: str,
    id: str,
    request: HttpRequest,
    answer: Answer,
    began: float,
    seconds: float,
    logs: list[dict[str, Any]],
    mark: str,
) -> Invocation:
    """Return the record of a request."""
    from portafaas.adapter.neutral import outcome_to_json, stimulus_to_json
    from portafaas.adapter.stimulus import HttpStimulus

    method, path, query, headers, body, caller = request
    pairs = tuple(
        (name.decode("latin-1"), "[redacted]" if name in _SECRET else value.decode("latin-1"))
        for name, value in headers
    )
    status, _, _, how, why, trace = answer
    one = Invocation(
        function, "http", began, seconds, STATUS[how], id, mark=mark, logs=logs, error=why,
        request=stimulus_to_json(HttpStimulus(method, path, query, pairs, body, caller)),
        response=outcome_to_json(outcome_of(answer)),
        long=len(body) + len(answer[2]) + len(query) > 16_000,
    )  # fmt: skip
    if how == OK and status >= 500:
        one.status, one.error = "error", f"answered {status}"
    if trace is None:
        # Nobody has seen its ids, so that any will do.
        from portafaas.runtime.trace import Span, parse_parent

        sent = dict(pairs)
        span = Span(parse_parent(sent.get("traceparent")), began, [])
        correlation = sent.get("x-correlation-id") or span.trace_id
        trace = (span.trace_id, span.span_id, span.parent_id, correlation)
    one.trace_id, one.span_id, one.parent_id, one.correlation_id = trace
    one.spans = [
        {
            "name": f"{method} {path}", "start": began, "seconds": seconds,
            "status": "ok" if one.status in ("ok", "refused") else "error",
            "span_id": one.span_id, "parent": one.parent_id,
        }
    ]  # fmt: skip
    return one


def outcome_of(answer: Answer) -> Any:
    """Return the neutral outcome of an answer."""
    from portafaas.adapter.stimulus import HttpOutcome

    status, headers, body = answer[:3]
    kept = sorted(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name not in (b"set-cookie", b"content-length")
    )
    cookies = tuple(value.decode("latin-1") for name, value in headers if name == b"set-cookie")
    return HttpOutcome(status, tuple(kept), cookies, body)
