"""HTTP stimuli to the events of HTTP APIs and function URLs (payload format 2.0).

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import base64
from typing import Any

from portafaas.adapter import HttpStimulus
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger
from portafaas.runtime.text import parse_query, percent_decode
from portafaas_aws.names import front, route_path

_API = "a1b2c3d4e5"
_ACCOUNT = "123456789012"


def http_event(plan: BuildPlan, function: FunctionPlan, stimulus: HttpStimulus) -> dict[str, Any]:
    """Return the event of one request, to whatever the function stands behind."""
    trigger = function.trigger
    assert isinstance(trigger, HttpTrigger)
    url = front(function) == "function-url"
    domain = (
        f"{_API}.lambda-url.us-east-1.on.aws"
        if url
        else f"{_API}.execute-api.us-east-1.amazonaws.com"
    )
    # HTTP APIs decode the path, function URLs do not. An HTTP API is also said to cut the path at a
    # decoded question mark (%3F in the request), which is not imitated here and cannot be undone by
    # a function. https://github.com/middleapi/standard-server/pull/93
    path = stimulus.path if url else percent_decode(stimulus.path)
    headers, cookies = _headers(stimulus, domain)
    route = "$default" if url else f"{stimulus.method} {route_path(trigger.path)}"
    scope: dict[str, Any] = {
        "accountId": _ACCOUNT,
        "apiId": _API,
        "domainName": domain,
        "domainPrefix": _API,
        "http": {
            "method": stimulus.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": "203.0.113.1",
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": "JKJaXmPLvHcESHA=",
        "routeKey": route,
        "stage": "$default",
        "time": "23/Nov/2026:10:00:00 +0000",
        "timeEpoch": 1_795_428_000_000,
    }
    if stimulus.caller is not None:
        scope["authorizer"] = {
            "iam": {
                "accessKey": "AKIAIOSFODNN7EXAMPLE",
                "accountId": _ACCOUNT,
                "callerId": "AIDACKCEVSQ6C2EXAMPLE",
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": stimulus.caller,
                "userId": "AIDACKCEVSQ6C2EXAMPLE",
            }
        }
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": stimulus.query,
        "headers": headers,
        "requestContext": scope,
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    parameters: dict[str, str] = {}
    for name, value in parse_query(stimulus.query):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    if parameters:
        event["queryStringParameters"] = parameters
    if stimulus.body:
        event |= _body(stimulus.body, headers.get("content-type", ""))
    return event


def _headers(stimulus: HttpStimulus, domain: str) -> tuple[dict[str, str], list[str]]:
    """Return headers as the gateway joins them, and the cookies, which it takes out."""
    headers: dict[str, str] = {}
    for name, value in stimulus.headers:
        name = name.lower()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    cookie = headers.pop("cookie", "")
    headers.setdefault("host", domain)
    headers.setdefault("content-length", str(len(stimulus.body)))
    headers.setdefault("x-forwarded-for", "203.0.113.1")
    headers.setdefault("x-forwarded-port", "443")
    headers.setdefault("x-forwarded-proto", "https")
    headers.setdefault("x-amzn-trace-id", "Root=1-6b041aa0-0123456789abcdef01234567")
    return headers, cookie.split("; ") if cookie else []


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the body as text for text types, else in base64; forms count as binary.

    Observed on AWS: https://github.com/ministackorg/ministack/pull/766
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in (
        "application/json",
        "application/javascript",
        "application/xml",
    ):
        try:
            return {"body": body.decode("utf-8"), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": base64.b64encode(body).decode("ascii"), "isBase64Encoded": True}
