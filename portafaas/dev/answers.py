"""What comes of a request, as the server has it."""

from __future__ import annotations

import json

#: How an invocation went, beyond what ``portafaas.dev.frames`` says.
CRASH, MEMORY = 4, 5

#: status, headers, body, how, why, trace; see ``portafaas.dev.worker``.
Answer = tuple[int, list[tuple[bytes, bytes]], bytes, int, str, tuple[str, str, str, str] | None]
#: method, path and query as sent, headers with names in lower case, body, caller.
HttpRequest = tuple[str, str, str, list[tuple[bytes, bytes]], bytes, str | None]


def problem(status: int, title: str, detail: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body of an RFC 9457 problem document."""
    body = json.dumps(
        {"type": "about:blank", "title": title, "status": status, "detail": detail}
    ).encode()
    length = b"%d" % len(body)
    return [(b"content-type", b"application/problem+json"), (b"content-length", length)], body
