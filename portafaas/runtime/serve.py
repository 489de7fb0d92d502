"""What happens around an http handler, the same on every target. Ships.

``before`` answers what never reaches the handler (preflight, no such route, wrong method, too
large, not authenticated); ``after`` turns what the handler returned into a sendable Response;
``failed`` turns what it raised into one. Rules H-1 to H-30 of ``docs/spec/http.md``.
"""

from __future__ import annotations

from portafaas.runtime.context import HandlerTimeout, ended, endings, log_failure
from portafaas.runtime.deadline import call
from portafaas.runtime.http import HttpError, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function
    from portafaas.runtime.http import Request

#: Largest body, in bytes, that all targets carry: Lambda's payload is 6 MiB with the body in base64
#: (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
MAX_BODY = 4_500_000

# Shorter text than this is within any limit, whatever UTF-8 makes of it.
_SMALL = MAX_BODY // 4

#: ``json.JSONEncoder().encode``, which is json.dumps without its options, once JSON is answered.
_encode: Any = None

_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

_NOT_TOKEN = frozenset(' :;,"()<>@/[]?={}\\')

# Connection-level headers belong to the platform's server (RFC 9110 section 7.6.1); the length
# follows from the body.
_PLATFORM_OWNED = frozenset(
    ("connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade")
)  # fmt: skip


def problem(
    status: int, detail: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an RFC 9457 problem document."""
    import json

    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
    }
    if detail:
        body["detail"] = detail
    response = Response(json.dumps(body), status, headers)
    response.headers["content-type"] = "application/problem+json"
    return response


def before(function: Function, request: Request, context: Context) -> Response | None:
    """Return the response to a request that must not reach the handler, else None.

    Fills ``request.path_params``, ``request.identity`` and ``context.payload``.
    """
    context.payload = request
    trigger = function.trigger
    template = trigger["path"]
    if "{" not in template:
        # The empty path_params need not be stored: that is what an empty slot gives.
        if request.path != template:
            return problem(404)
    else:
        route = function.route
        if route is None:
            from portafaas.runtime.route import Route

            route = function.route = Route(template)
        values = route.match(request.path)
        if values is None:
            return problem(404)
        request.path_params = values
    method = request.method
    cors = trigger.get("cors")
    if (
        cors is not None
        and method == "OPTIONS"
        and "access-control-request-method" in request.headers
    ):
        from portafaas.runtime.cors import preflight

        return preflight(cors, request)
    methods = trigger["methods"]
    if methods and method not in methods:
        return problem(405, headers={"allow": ", ".join(methods)})
    if (
        "auth" not in trigger
        and "rate" not in trigger
        and len(request.body) <= trigger.get("max_body", MAX_BODY)
    ):
        return None
    return gate(function, request, context)


def gate(function: Function, request: Request, context: Context) -> Response | None:
    """Check rate, size of the body and caller; the part of :func:`before` behind the route."""
    trigger = function.trigger
    rate = trigger.get("rate")
    if rate is not None:
        bucket = function.bucket
        if bucket is None:
            from portafaas.runtime.rate import Bucket

            bucket = function.bucket = Bucket(rate)
        wait = bucket.take()
        if wait:
            return problem(429, headers={"retry-after": str(wait)})
    limit = trigger.get("max_body", MAX_BODY)
    if len(request.body) > limit:
        return problem(413, f"the body has {len(request.body)} bytes; the limit is {limit}")
    auth = trigger.get("auth")
    if auth is not None:
        from portafaas.runtime.gate import authenticate

        return authenticate(auth, request, context)
    return None


def after(function: Function, request: Request, result: Any) -> Response:
    """Return what the handler returned as a checked Response.

    None is 204; dict and list are JSON; str is text; bytes are ``application/octet-stream``.
    Raises TypeError or ValueError for anything that cannot be sent.
    """
    global _encode
    if type(result) is dict or type(result) is list:
        if _encode is None:
            from json import JSONEncoder

            _encode = JSONEncoder().encode
        response = Response.__new__(Response)
        response.body = _encode(result)
        response.status = 200
        response.cookies = []
        response.headers = {"content-type": "application/json"}
    elif isinstance(result, Response):
        response = _checked(result)
    elif result is None:
        response = Response(None, 204)
    elif isinstance(result, str):
        _check_text(result)
        response = Response(result, content_type="text/plain; charset=utf-8")
    elif isinstance(result, (bytes, bytearray, memoryview)):
        response = Response(bytes(result), content_type="application/octet-stream")
    elif isinstance(result, (dict, list)):
        response = Response.json(result)
    else:
        raise TypeError(
            f"an http handler must return Response, dict, list, str, bytes or None, "
            f"not {type(result).__name__!r}"
        )
    if response.body is not None and len(response.body) > _SMALL:
        _check_size(response, max(function.trigger.get("max_body", 0), MAX_BODY))
    if response.status == 204 or response.status == 304 or request.method == "HEAD":
        response.body = None
        if response.status == 204:
            response.headers.pop("content-type", None)
    cors = function.trigger.get("cors")
    if cors is not None:
        from portafaas.runtime.cors import decorate

        decorate(cors, request, response)
    return response


def _check_text(text: str) -> None:
    """Raise UnicodeEncodeError, a ValueError, for lone surrogates: no bytes stand for them."""
    if not text.isascii():
        text.encode("utf-8")


def _checked(response: Response) -> Response:
    status = response.status
    if type(status) is not int:
        # http.HTTPStatus is an int; a bool or a str is a mistake.
        if not isinstance(status, int) or isinstance(status, bool):
            raise TypeError(f"status must be an int, not {status!r}")
        response.status = status = int(status)
    if not 200 <= status <= 599:
        raise ValueError(f"status {status} is not between 200 and 599")
    body = response.body
    if isinstance(body, str):
        _check_text(body)
    elif body is not None and not isinstance(body, bytes):
        if not isinstance(body, (bytearray, memoryview)):
            raise TypeError(f"body must be str, bytes or None, not {type(body).__name__!r}")
        response.body = body = bytes(body)
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"header {name!r} must be str, not {type(value).__name__!r}")
        # Beyond ASCII the servers differ: one sends Latin-1, one UTF-8, one answers 500.
        if not value.isascii() or not value.replace("\t", " ").isprintable():
            raise ValueError(f"header {name!r} may hold printable ASCII only")
        name = name.lower()
        if name in _PLATFORM_OWNED:
            continue
        if not (name and name.isascii() and name.isprintable() and _NOT_TOKEN.isdisjoint(name)):
            raise ValueError(f"header name {name!r} is not a token")
        if name == "set-cookie":
            response.cookies.append(value)
        else:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if body is not None and "content-type" not in headers:
        text = isinstance(body, str)
        headers["content-type"] = (
            "text/plain; charset=utf-8" if text else "application/octet-stream"
        )
    response.headers = headers
    for number, cookie in enumerate(response.cookies):
        name, _, rest = cookie.partition("=")
        if rest[:2] == '""' and rest[2:3] in ("", ";"):
            # How Python's own http.cookies deletes; means the same, and every cloud can carry it.
            response.cookies[number] = f"{name}={rest[2:]}"
        if not cookie.isascii() or not cookie.isprintable() or "=" not in cookie:
            raise ValueError(f"cookie {cookie.partition('=')[0]!r} is not a Set-Cookie value")
    return response


def _check_size(response: Response, limit: int) -> None:
    body = response.body or b""
    size = len(body.encode("utf-8", "surrogatepass")) if isinstance(body, str) else len(body)
    if size > limit:
        raise ValueError(f"the response body has {size} bytes; the limit is {limit}")


def failed(
    function: Function, request: Request, context: Context, error: BaseException
) -> Response:
    """Return the response to a request whose handler raised *error*, and log it."""
    if isinstance(error, HttpError):
        response = problem(error.status, error.detail, error.headers)
    elif isinstance(error, HandlerTimeout):
        log_failure(context, "handler exceeded its timeout of %s s", function.timeout)
        response = problem(504, "the function did not answer in time")
    else:
        log_failure(context, "handler failed: %r", error)
        response = _unhandled(error)
    try:
        return after(function, request, response)
    except (TypeError, ValueError) as exc:
        # An HttpError's status and headers are as little to be trusted as a Response's.
        log_failure(context, "handler failed: %r", exc)
        return after(function, request, problem(500))


def _unhandled(error: BaseException) -> Response:
    """Return 503 for what the client may try again, else 500."""
    from portafaas.runtime.taxonomy import Retryable, Throttled

    if not isinstance(error, Retryable):
        return problem(500)
    headers = {}
    if isinstance(error, Throttled) and error.retry_after:
        # Whole seconds: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
        headers["retry-after"] = str(-int(-error.retry_after // 1))
    return problem(503, "the service cannot do this now", headers)


def run(function: Function, request: Request, context: Context) -> Response:
    """Serve one request from a synchronous entry point; never raises for the handler's sake."""
    try:
        result = before(function, request, context)
        if result is None:
            result = call(function.handle, request, context, function.timeout)
        response = after(function, request, result)
    except BaseException as exc:
        response = failed(function, request, context, exc)
        if endings:
            ended(context, request, response, exc)
        return response
    if endings:
        ended(context, request, response)
    return response
