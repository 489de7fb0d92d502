"""API Gateway HTTP APIs and Lambda function URLs (payload format 2.0) to http handlers. Ships.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html

The other HTTP events (REST APIs, load balancers, format 1.0) are in ``rest``. This module is the
hot path: whatever a handler may not look at is left to the first access.
"""

from __future__ import annotations

from time import time

from portafaas.runtime.context import Context
from portafaas.runtime.http import Headers, Request
from portafaas.runtime.serve import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas.runtime.http import Response

#: Longest text, in characters, that is answered without a look at its size on the wire.
_SURE = 1_000_000

#: The scanner of ``json.JSONDecoder``, once a handler has asked for JSON.
_scan: Any = None


class LambdaRequest(Request):
    """A request whose parts are read from the Lambda event when they are asked for."""

    __slots__ = ()

    def json(self) -> Any:
        """Return the body parsed as JSON; see :meth:`Request.json`."""
        global _scan
        if _scan is None:
            from json import JSONDecoder

            _scan = JSONDecoder().scan_once  # type: ignore[attr-defined]
        event = self.raw
        if not event.get("isBase64Encoded"):
            text = event.get("body") or ""
            try:
                # The event holds the body as text already: no need to look for its encoding, nor,
                # most of the time, for space around it.
                value, end = _scan(text, 0)
                if end == len(text):
                    return value
            except (ValueError, StopIteration, RecursionError):
                pass
        # Anything out of the ordinary is left to json.loads: space, byte order marks, mistakes.
        return super().json()


def _headers(request: Request) -> Headers:
    event = request.raw
    values: dict[str, str] = {}
    for name, value in (event.get("headers") or {}).items():
        if "_" not in name:
            name = name.lower()
            values[name] = f"{values[name]},{value}" if name in values else value
    cookies = event.get("cookies")
    if cookies:
        values["cookie"] = "; ".join(cookies)
    return Headers.of(values)


LambdaRequest._fill = {
    **Request._fill,
    "headers": _headers,
    "raw_query": lambda request: request.raw.get("rawQueryString") or "",
}


class LambdaContext(Context):
    """The context of an HTTP request; what few handlers read is found out on first use."""

    __slots__ = ("_request",)

    target = "aws"
    _request: Request

    def __getattr__(self, name: str) -> Any:
        # Reached only while the slot is empty.
        value: Any
        if name == "invocation_id":
            value = self.raw.aws_request_id
        elif name == "attempt":
            value = 1
        elif name == "trace_parent":
            value = self._request.headers.get("traceparent")
        else:
            return super().__getattr__(name)
        setattr(self, name, value)
        return value


def bind(function: Function) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Return the Lambda handler of an http function.

    It takes any HTTP event of AWS and answers in the shape that event asks for. A payload that is
    no HTTP event raises ValueError.
    """
    from portafaas_aws.runtime.start import load

    load(function)
    timeout = function.timeout
    gated = (function.trigger.get("auth") or {}).get("scheme") == "iam"
    make_request, make_context = LambdaRequest.__new__, LambdaContext.__new__

    def invoke(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            scope = event["requestContext"]
            method = scope["http"]["method"]
            path = event["rawPath"]
        except (KeyError, TypeError):
            # No event of payload format 2.0.
            from portafaas_aws.runtime.rest import serve

            return serve(function, event, context)
        if not isinstance(method, str) or not isinstance(path, str):
            raise ValueError("the event's method or rawPath is no text")
        request = make_request(LambdaRequest)
        request.raw = event
        request.method = method.upper()
        if "%" in path and "lambda-url" in scope.get("domainName", ""):
            path = _decoded(path)
        if scope.get("stage", "$default") != "$default":
            path = without_stage(function, scope, path)
        request.path = path
        body = event.get("body")
        if body is None:
            request.body = b""
        elif not isinstance(body, str):
            raise ValueError("the event's body is no text")
        elif event.get("isBase64Encoded"):
            request.body = from_base64(body)
        else:
            request.body = body.encode()
        if gated:
            identify(request, (scope.get("authorizer") or {}).get("iam") or {})
        neutral = make_context(LambdaContext)
        neutral._function = function
        neutral._request = request
        neutral.raw = context
        neutral.deadline = time() + timeout
        response = run(function, request, neutral)
        text = response.body
        if type(text) is str and text and len(text) < _SURE:
            answer: dict[str, Any] = {
                "statusCode": response.status,
                "headers": response.headers,
                "body": text,
                "isBase64Encoded": False,
            }
        else:
            answer = unusual(response)
        if response.cookies:
            answer["cookies"] = response.cookies
        return answer

    return invoke


def _decoded(path: str) -> str:
    # Function URLs pass the path as sent, HTTP APIs decode it.
    # https://github.com/middleapi/standard-server/pull/93
    from portafaas.runtime.text import percent_decode

    return percent_decode(path)


def without_stage(function: Function, scope: dict[str, Any], path: str) -> str:
    """Return *path* without the name of the stage that an HTTP API puts in front of it.

    A custom domain's path has no stage, so there the route decides whether a first segment of that
    name is one. https://github.com/aws-powertools/powertools-lambda-python/issues/621
    """
    prefix = f"/{scope.get('stage')}"
    if path != prefix and not path.startswith(f"{prefix}/"):
        return path
    route: str = function.trigger["path"]
    own = ".execute-api." in scope.get("domainName", "")
    if not own and (route == prefix or route.startswith(f"{prefix}/")):
        return path
    return path[len(prefix) :] or "/"


def from_base64(body: str) -> bytes:
    """Return the bytes of a base64 body; raises ValueError when it is none."""
    from binascii import a2b_base64

    try:
        return a2b_base64(body)
    except ValueError as exc:
        raise ValueError(f"the body is not base64: {exc}") from None


def identify(request: Request, caller: dict[str, Any]) -> None:
    """Set ``request.identity`` to the signer of the request that AWS has verified, if any.

    Only ``requestContext`` is looked at: no client can write there.
    """
    subject = caller.get("userArn")
    if subject:
        from portafaas.runtime.auth import Identity

        request.identity = Identity(subject, {}, (), "iam")


def is_text(content_type: str) -> bool:
    """Tell whether a body of this type is worth trying as text rather than base64."""
    kind = content_type.partition(";")[0].strip().lower()
    return (
        kind.startswith("text/")
        or kind.endswith(("json", "xml", "javascript"))
        or kind == "application/x-www-form-urlencoded"
    )


def unusual(response: Response) -> dict[str, Any]:
    """Return the answer to a request whose response is empty, binary or very long.

    Lambda carries 6 MiB of JSON: text that would grow beyond it when escaped goes as base64.
    """
    body = response.body
    encoded = False
    if not body:
        response.headers.pop("content-type", None)
        body = ""
    elif isinstance(body, str):
        if len(body) >= _SURE:
            from json import dumps

            encoded = len(dumps(body)) > 5_900_000
    else:
        encoded = True
        if is_text(response.headers.get("content-type", "")):
            try:
                # What is decoded here, AWS encodes again: the same bytes.
                body = body.decode("utf-8")
                encoded = len(body) >= _SURE
            except UnicodeDecodeError:
                pass
    if encoded:
        from binascii import b2a_base64

        raw = body.encode("utf-8") if isinstance(body, str) else body
        body = b2a_base64(raw, newline=False).decode("ascii")
    return {
        "statusCode": response.status,
        "headers": response.headers,
        "body": body,
        "isBase64Encoded": encoded,
    }
