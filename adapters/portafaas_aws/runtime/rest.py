"""REST APIs, load balancers and HTTP APIs with payload format 1.0 to http handlers. Ships.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html

Loaded when such an event arrives. What differs between the senders:

* Path: REST APIs and load balancers pass it percent-encoded, HTTP APIs decoded and, for a named
  stage, with the stage in front (https://github.com/middleapi/standard-server/pull/93).
* Query: decoded by both APIs, passed as sent by load balancers
  (https://github.com/Kludex/mangum/issues/178). It is put together again from its parts.
* Headers: load balancers send either ``headers`` or ``multiValueHeaders`` and want the same back.
"""

from __future__ import annotations

from portafaas.runtime.http import Headers, Request
from portafaas.runtime.serve import run
from portafaas.runtime.text import percent_decode, percent_encode
from portafaas_aws.runtime.http import from_base64, identify, unusual, without_stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.runtime.function import Function
    from portafaas.runtime.http import Response


def serve(function: Function, event: Any, context: Any) -> dict[str, Any]:
    """Serve one event that has ``httpMethod`` and ``path``; raises ValueError for any other."""
    from portafaas.runtime.context import Context

    request = _request(function, event)
    neutral = Context(
        function,
        context.aws_request_id,
        target="aws",
        trace_parent=request.headers.get("traceparent"),
        raw=context,
    )
    response = run(function, request, neutral)
    return _answer(response, several=bool(event.get("multiValueHeaders")))


def _request(function: Function, event: Any) -> Request:
    method = event.get("httpMethod") if isinstance(event, dict) else None
    path = event.get("path") if isinstance(event, dict) else None
    if not isinstance(method, str) or not isinstance(path, str):
        raise ValueError(
            "not an HTTP event: neither requestContext.http and rawPath nor httpMethod and path"
        )
    scope = event.get("requestContext") or {}
    balancer = "elb" in scope
    if event.get("version") == "1.0":
        if scope.get("stage", "$default") != "$default":
            path = without_stage(function, scope, path)
    else:
        path = percent_decode(path)
    request = Request(method, path, query=_query(event, sent_as_is=balancer), raw=event)
    request.headers = Headers.of(_headers(event))
    body = event.get("body") or ""
    request.body = from_base64(body) if event.get("isBase64Encoded") else body.encode()
    scheme = (function.trigger.get("auth") or {}).get("scheme")
    if scheme == "iam" and not balancer:
        identify(request, scope.get("identity") or {})
    return request


def _query(event: dict[str, Any], *, sent_as_is: bool) -> str:
    several = event.get("multiValueQueryStringParameters")
    if several is None:
        single = event.get("queryStringParameters") or {}
        several = {name: [value] for name, value in single.items()}
    pairs = [(name, value) for name, values in several.items() for value in values]
    if not sent_as_is:
        pairs = [(percent_encode(name), percent_encode(value)) for name, value in pairs]
    return "&".join(f"{name}={value}" for name, value in pairs)


def _headers(event: dict[str, Any]) -> dict[str, str]:
    several = event.get("multiValueHeaders")
    if not several:
        several = {name: [value] for name, value in (event.get("headers") or {}).items()}
    headers: dict[str, str] = {}
    for name, values in several.items():
        if "_" not in name:
            name = name.lower()
            between = "; " if name == "cookie" else ","
            text = between.join(values)
            headers[name] = f"{headers[name]}{between}{text}" if name in headers else text
    return headers


def _answer(response: Response, *, several: bool) -> dict[str, Any]:
    answer = unusual(response)
    headers = answer["headers"]
    if several:
        lists = {name: [value] for name, value in headers.items()}
        if response.cookies:
            lists["set-cookie"] = list(response.cookies)
        del answer["headers"]
        answer["multiValueHeaders"] = lists
    else:
        for number, cookie in enumerate(response.cookies):
            headers[_spelling("set-cookie", number)] = cookie
    return answer


def _spelling(name: str, number: int) -> str:
    """Return *name* in the *number*-th mixture of cases.

    The only way to send several cookies through a map of single values: HTTP ignores the case.
    """
    letters = []
    for char in name:
        if char.isalpha():
            number, upper = divmod(number, 2)
            char = char.upper() if upper else char
        letters.append(char)
    return "".join(letters)
