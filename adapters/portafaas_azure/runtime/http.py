"""The http bridge. Ships; imports nothing outside the runtime at module level."""

from __future__ import annotations

from portafaas.runtime.context import Context
from portafaas.runtime.http import Headers, Request
from portafaas.runtime.text import percent_decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas.runtime.http import Response


def bind(function: Function) -> Callable[[Any, Any], Awaitable[Any]]:
    """Return the coroutine function that the worker calls: ``(HttpRequest, Context)``."""
    from portafaas.runtime import serve
    from portafaas_azure.runtime.cookies import CookieRefused
    from portafaas_azure.runtime.run import Runner

    runner = Runner(function)
    auth = function.trigger.get("auth")
    iam = auth is not None and auth["scheme"] == "iam"

    async def entry(native: Any, raw: Any) -> Any:
        async with runner.slot():
            request = read(native)
            if iam:
                _identify(request)
            context = Context(
                function,
                raw.invocation_id,
                target="azure",
                trace_parent=request.headers.get("traceparent"),
                raw=raw,
            )
            response = await runner.run(request, context)
            try:
                return write(response)
            except CookieRefused as exc:
                return write(serve.failed(function, request, context, exc))

    return entry


def read(native: Any) -> Request:
    """Return an ``azure.functions.HttpRequest`` as a Request.

    The host has joined repeated headers with ``,``. Raises ValueError when it is no such object.
    """
    try:
        url, method, body = native.url, native.method, native.get_body()
        headers = {name.lower(): value for name, value in native.headers.items() if "_" not in name}
    except AttributeError as exc:
        raise ValueError(f"not an HTTP request of the Functions host: {exc}") from exc
    rest, _, query = url.partition("?")
    start = rest.find("/", rest.find("://") + 3 if "://" in rest else 0)
    request = Request.__new__(Request)
    request.method = method.upper()
    request.path = percent_decode(_path(rest[start:] if start >= 0 else "/", headers))
    request.raw_query = query
    request.headers = Headers.of(headers)
    request.body = body
    request.raw = native
    return request


def _path(path: str, headers: dict[str, str]) -> str:
    """Return the path as the client sent it.

    ASP.NET Core decodes the path, and the host encodes it again but for what looks encoded
    already: ``/%2541`` arrives as ``/%41``. App Service keeps the original in a header, which
    decides between spellings of one path but cannot name another path.
    https://learn.microsoft.com/dotnet/api/microsoft.aspnetcore.http.pathstring.touricomponent
    """
    if "%" not in path:
        return path
    sent = headers.get("x-waws-unencoded-url", "").partition("?")[0]
    if sent[:1] == "/" and sent != path:
        twice = percent_decode(percent_decode(sent))
        if twice == percent_decode(percent_decode(path)):
            return sent
    return path


def _identify(request: Request) -> None:
    """Take the caller's name from App Service Authentication, if that guards this app.

    It sets the header and removes it from what clients send; without it anybody could set it.
    https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
    https://learn.microsoft.com/azure/app-service/reference-app-settings
    """
    subject = request.headers.get("x-ms-client-principal-id")
    if not subject:
        return
    from portafaas_azure.runtime.gate import vouched

    if not vouched():
        return
    from portafaas.runtime.auth import Identity

    request.identity = Identity(subject, {}, (), "iam")


def write(response: Response) -> Any:
    """Return *response* for the worker; raises CookieRefused (a ValueError)."""
    from portafaas_azure.runtime.reply import Reply, ReplyHeaders

    body = response.body
    if isinstance(body, str):
        body = body.encode("utf-8")
    headers = dict(response.headers)
    if not body:
        headers.pop("content-type", None)
    texts: list[str] = []
    if response.cookies:
        from portafaas_azure.runtime.cookies import divide, header_name

        plain, texts = divide(response.cookies)
        headers[header_name(plain)] = response.cookies[plain]
    return Reply(body or b"", response.status, ReplyHeaders(headers, texts))
