"""What the dashboard's API is made of: answers, refusals, who may ask, static files."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from portafaas.errors import DiagnosticsError, InvocationError, PortafaasError
from portafaas.record import dataclass, field

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Where all that is ours begins.
ROOT = "/_portafaas/"
#: Bytes that a request may have.
_MOST = 8 << 20
#: Bytes of a body that are handed out to be looked at.
SHOWN = 64 << 10

#: No inline script or style, nothing from elsewhere, and no text that becomes markup.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_GUARDS = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: Codes of diagnostics -> status; what is not named is 422.
_STATUS = {
    "PF7002": 404, "PF8017": 404, "PF8018": 503, "PF8040": 404, "PF8041": 409, "PF8042": 409,
}  # fmt: skip


class Refused(Exception):
    """The request cannot be done: what the client is told."""

    def __init__(self, status: int, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the running application, what its path and query say, its JSON body."""

    dev: Any
    params: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def number(self, name: str, default: int, most: int) -> int:
        """Return a whole number of the query, from 1 to *most*."""
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
            raise Refused(422, "PF8059", f"{name} must be a number from 1 to {most}")
        return int(text)

    def given(self, name: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        """Return a member of the body; without *default* it must be there."""
        body = self.body if isinstance(self.body, dict) else {}
        value = body.get(name, default)
        if value is ...:
            raise Refused(422, "PF8059", f"the body must be a JSON object with {name!r}")
        if value is not default and not isinstance(value, kind):
            raise Refused(422, "PF8059", f"{name!r} cannot be {type(value).__name__}")
        return value


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is no JSON."""

    content: bytes
    headers: tuple[tuple[str, str], ...]


def permitted(scope: Scope) -> None:
    """Raise Refused unless the request comes from this machine's own pages or tools.

    The Host must be a name of the loopback interface: a site that has its name lead here
    (DNS rebinding) says its own. https://www.w3.org/TR/fetch-metadata/ and the Origin tell what
    other pages ask for.
    """
    headers = headers_of(scope)
    host = headers.get("host", "").lower()
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name not in ("127.0.0.1", "localhost", "[::1]") and not name.endswith(".localhost"):
        raise Refused(403, "PF8057", "this is served to this machine only, as localhost")
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}":
        raise Refused(403, "PF8057", "pages of other sites may not use this")
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        # A link from elsewhere may open the dashboard, and no more.
        if headers.get("sec-fetch-mode") != "navigate" or scope["path"].startswith(f"{ROOT}api/"):
            raise Refused(403, "PF8057", "pages of other sites may not use this")
    if scope["method"] == "POST":
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, "PF8058", "content-type must be application/json")


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers by their names in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def segments(scope: Scope) -> list[str]:
    """Return the decoded parts of the path behind ``/_portafaas/``; ``%2F`` is part of one."""
    raw = scope.get("raw_path")
    path = raw.decode("latin-1").partition("?")[0] if raw else scope["path"]
    return [unquote(part) for part in path.removeprefix(ROOT).split("/")]


def query_of(scope: Scope) -> dict[str, str]:
    """Return the query; the last of equal names."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


async def body_of(receive: Receive) -> Any:
    """Return the JSON value that was sent, None for nothing."""
    content = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "PF8059", "the client went away")
        content += message.get("body", b"")
        more = message.get("more_body", False)
        if len(content) > _MOST:
            raise Refused(413, "PF8059", f"the body is longer than {_MOST} bytes")
    if not content:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise Refused(422, "PF8059", f"the body is not JSON: {exc}") from None


def refusal(error: Exception) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of what a deliberate error says; other errors are raised."""
    if isinstance(error, Refused):
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        return error.status, {"error": told}
    if isinstance(error, DiagnosticsError) and error.diagnostics:
        first = error.diagnostics[0]
        told = {"code": first.code, "message": first.message, "hint": first.hint}
        rest = [problem.as_dict() for problem in error.diagnostics]
        return _STATUS.get(first.code, 422), {"error": {**told, "diagnostics": rest}}
    if isinstance(error, InvocationError):
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        return _STATUS.get(error.code, 422), {"error": told}
    if isinstance(error, PortafaasError):
        told = {"code": error.code or "PF8059", "message": error.message, "hint": error.hint}
        return 422, {"error": told}
    raise error


async def answer(send: Send, status: int, value: Any) -> None:
    """Send *value* as JSON."""
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    # Lone surrogates, which JSON may hold and UTF-8 may not.
    data = content.encode("utf-8", "backslashreplace")
    headers = (("content-type", "application/json"), ("cache-control", "no-store"))
    await reply(send, status, data, headers)


async def reply(
    send: Send, status: int, content: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    """Send bytes, and what guards them."""
    named = {name for name, _ in headers}
    all_headers = [
        *headers,
        *((name, value) for name, value in _GUARDS if name not in named),
        ("content-length", str(len(content))),
    ]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in all_headers],
        }
    )
    await send({"type": "http.response.body", "body": content})


_FILES = Path(__file__).parent / "dashboard"


async def static(send: Send, name: str) -> None:
    """Send a file of the dashboard."""
    place = _FILES / name
    if "/" in name or name.startswith(".") or not place.is_file():
        raise Refused(404, "PF8059", "there is nothing here")
    headers = (("content-type", _TYPES[place.suffix]), ("cache-control", "no-cache"))
    await reply(send, 200, place.read_bytes(), headers)


def shown(content: bytes) -> dict[str, Any]:
    """Return a body to be looked at: ``size``, ``text`` or ``base64``, ``cut`` when it is a part.

    A part of text ends between characters.
    """
    part = content[:SHOWN]
    out: dict[str, Any] = {"size": len(content)}
    if len(part) < len(content):
        out["cut"] = True
    try:
        out["text"] = part.decode("utf-8")
    except UnicodeDecodeError as exc:
        if "cut" in out and exc.start > len(part) - 4:
            out["text"] = part[: exc.start].decode("utf-8")
        else:
            from base64 import b64encode

            out["base64"] = b64encode(part).decode("ascii")
    return out
