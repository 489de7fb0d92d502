"""Requests as HTTP APIs tell functions of them, and functions' answers as clients get them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from typing import Any
from urllib.parse import parse_qsl

from tests.aws_cloud.world import ACCOUNT

_TEXT = ("application/json", "application/javascript", "application/xml")


class Request:
    """What a client sent."""

    def __init__(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        self.method = method
        self.raw_path, _, self.query = target.partition("?")
        self.headers: dict[str, str] = {}
        for name, value in headers:
            name = name.lower()
            known = self.headers.get(name)
            self.headers[name] = value if known is None else f"{known},{value}"
        self.body = body

    @property
    def signed(self) -> str:
        """The access key id of a signed request."""
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        _, found, key = rest.partition("Credential=")
        return key.partition("/")[0] if scheme == "AWS4-HMAC-SHA256" and found else ""


Answer = tuple[int, list[tuple[str, str]], bytes]


def message(status: int, text: str) -> Answer:
    """Return an answer of the gateway's own."""
    body = json.dumps({"message": text}, separators=(",", ":")).encode()
    return status, [("content-type", "application/json")], body


def route(keys: dict[str, Any], method: str, path: str) -> tuple[Any, dict[str, str]] | None:
    """Return what *keys* have for the most specific route of the request, and its parameters.

    A full match is preferred to a greedy one, and that to ``$default``; in a path, text to a
    parameter; a method to ANY.
    """
    best: tuple[tuple[Any, ...], Any, dict[str, str]] | None = None
    for key, value in keys.items():
        verb, _, template = key.partition(" ")
        if key == "$default" or verb not in (method, "ANY"):
            continue
        found = match(template, path)
        if found is None:
            continue
        kinds = tuple(_kind(part) for part in template.split("/"))
        rank = (max(kinds), kinds, -len(kinds), verb == "ANY")
        if best is None or rank < best[0]:
            best = rank, value, found
    if best is not None:
        return best[1], best[2]
    return (keys["$default"], {}) if "$default" in keys else None


def _kind(part: str) -> int:
    return 2 if part.endswith("+}") else 1 if part.startswith("{") else 0


def match(template: str, path: str) -> dict[str, str] | None:
    """Return the parameters of *path* if it is like *template*."""
    wanted, given = template.split("/"), path.split("/")
    found: dict[str, str] = {}
    for number, part in enumerate(wanted):
        kind = _kind(part)
        if kind == 2:
            rest = "/".join(given[number:])
            return {**found, part[1:-2]: rest} if rest else None
        if number >= len(given) or (kind == 1 and not given[number]):
            return None
        if kind == 1:
            found[part[1:-1]] = given[number]
        elif part != given[number]:
            return None
    return found if len(given) == len(wanted) else None


def payload(request: Request, scope: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the event, format 2.0."""
    now = time.time()
    headers = dict(request.headers)
    cookie = headers.pop("cookie", "")
    headers.pop("connection", None)
    headers["x-forwarded-for"] = "127.0.0.1"
    headers["x-forwarded-port"] = "443"
    headers["x-forwarded-proto"] = "https"
    headers["x-amzn-trace-id"] = f"Root=1-{int(now):08x}-{os.urandom(12).hex()}"
    headers.setdefault("content-length", str(len(request.body)))
    parameters = scope.pop("pathParameters", None)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": scope["routeKey"],
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "domainPrefix": scope["apiId"],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": uuid.uuid4().hex[:16],
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
            **scope,
        },
        "isBase64Encoded": False,
    }
    if cookie:
        event["cookies"] = cookie.split("; ")
    if parameters:
        event["pathParameters"] = parameters
    values: dict[str, str] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        values[name] = f"{values[name]},{value}" if name in values else value
    if values:
        event["queryStringParameters"] = values
    if request.body:
        event |= _body(request.body, headers.get("content-type", ""))
    return event


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in _TEXT:
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def reply(value: Any) -> Answer | None:
    """Return the HTTP response for a function's answer, or None when it is malformed."""
    if not isinstance(value, dict) or "statusCode" not in value:
        # What has no status is taken for the body.
        text = value if isinstance(value, str) else json.dumps(value)
        return 200, [("content-type", "application/json")], text.encode()
    try:
        status = int(value["statusCode"])
        headers = [(str(n).lower(), str(v)) for n, v in (value.get("headers") or {}).items()]
        headers += [("set-cookie", str(cookie)) for cookie in value.get("cookies") or ()]
        text = value.get("body") or ""
        body = base64.b64decode(text) if value.get("isBase64Encoded") else text.encode()
    except (TypeError, ValueError, AttributeError):
        return None
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    return status, headers, body
