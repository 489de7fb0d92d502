"""Bridge of http functions: flask request to handler and back. Ships."""

from __future__ import annotations

from portafaas.runtime import serve
from portafaas.runtime.http import Headers, Request
from portafaas_gcp.runtime.bridge import (
    context_of,
    headers_of,
    path_of,
    publish,
    reply,
    utf8,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.auth import Identity
    from portafaas.runtime.function import Function


def bind(function: Function) -> Callable[[Any], Any]:
    """Return the framework's entry function for an http function."""
    auth = function.trigger.get("auth")
    by_platform = auth is not None and auth["scheme"] == "iam"

    def entry(request: Any) -> Any:
        environ = request.environ
        incoming = Request.__new__(Request)
        incoming.method = environ["REQUEST_METHOD"].upper()
        incoming.path = path_of(environ)
        incoming.raw_query = utf8(environ.get("QUERY_STRING") or "")
        incoming.headers = Headers.of(headers_of(environ))
        # Cached by flask: the framework reads the body again after the response.
        incoming.body = request.get_data()
        incoming.raw = request
        if by_platform:
            incoming.identity = caller(incoming.headers)
        context = context_of(function, request)
        response = serve.run(function, incoming, context)
        body = response.body or b""
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        headers = list(response.headers.items())
        if not body:
            headers = [pair for pair in headers if pair[0] != "content-type"]
        headers += [("set-cookie", cookie) for cookie in response.cookies]
        return reply(response.status, headers, body)

    return publish(entry, function.name.replace("-", "_"))


def caller(headers: Headers) -> Identity | None:
    """Return who Cloud Run let in, from the ID token it has verified; None without a token.

    Only the claims are read: the signature is checked, and then removed, by the platform, which
    looks at ``X-Serverless-Authorization`` first. The service must not be open to ``allUsers``.
    https://cloud.google.com/run/docs/authenticating/service-to-service
    """
    given = headers.get("x-serverless-authorization") or headers.get("authorization") or ""
    scheme, _, token = given.partition(" ")
    parts = token.strip().split(".")
    if scheme.lower() != "bearer" or len(parts) != 3:
        return None
    from binascii import a2b_base64
    from json import loads

    claims = parts[1].replace("-", "+").replace("_", "/")
    try:
        found = loads(a2b_base64(claims + "=" * (-len(claims) % 4)))
    except (ValueError, RecursionError):
        return None
    subject = (found.get("email") or found.get("sub")) if isinstance(found, dict) else None
    if not isinstance(subject, str):
        return None
    from portafaas.runtime.auth import Identity

    return Identity(subject, {}, (), "iam")
