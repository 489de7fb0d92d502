"""The HTTP events of AWS other than what encode writes, and the answers they ask for."""

from __future__ import annotations

import base64
import json
import signal
import time
from typing import Any

import pytest


def _v2(path: str = "/orders", **changes: Any) -> dict[str, Any]:
    scope = {
        "http": {"method": "POST", "path": path},
        "domainName": "a.execute-api.eu-west-1.amazonaws.com",
        "stage": "$default",
        **changes.pop("scope", {}),
    }
    return {"rawPath": path, "rawQueryString": "", "requestContext": scope, **changes}


def _rest(path: str = "/orders", **changes: Any) -> dict[str, Any]:
    return {
        "httpMethod": "POST",
        "path": path,
        "headers": {"X-Test-A": "2", "Cookie": "b=2"},
        "multiValueHeaders": {"X-Test-A": ["1", "2"], "Cookie": ["a=1", "b=2"]},
        "requestContext": {"stage": "dev", "path": f"/dev{path}"},
        "queryStringParameters": {"a": "2"},
        "multiValueQueryStringParameters": {"a": ["1 +", "2"]},
        "body": None,
        "isBase64Encoded": False,
        **changes,
    }


def _alb(path: str = "/orders", **changes: Any) -> dict[str, Any]:
    return {
        "httpMethod": "POST",
        "path": path,
        "headers": {"x-test-a": "1", "cookie": "a=1; b=2"},
        "queryStringParameters": {"a": "1%20%2B", "b": ""},
        "requestContext": {"elb": {"targetGroupArn": "arn"}},
        "body": "",
        "isBase64Encoded": False,
        **changes,
    }


def test_named_stage_is_no_part_of_the_path(invoke: Any, handlers: Any) -> None:
    for path in ("/dev/orders", "/orders"):
        assert invoke("create-order", _v2(path, scope={"stage": "dev"}))["statusCode"] == 200
    assert invoke("create-order", _v2("/developer", scope={"stage": "dev"}))["statusCode"] == 404


def test_custom_domain_may_have_a_route_named_like_the_stage(invoke: Any) -> None:
    custom = {"domainName": "api.example.com", "stage": "orders"}
    assert invoke("create-order", _v2("/orders", scope=custom))["statusCode"] == 200
    assert invoke("create-order", _v2("/orders/orders", scope=custom))["statusCode"] == 404
    own = {"stage": "orders"}
    assert invoke("create-order", _v2("/orders", scope=own))["statusCode"] == 404
    assert invoke("create-order", _v2("/orders/orders", scope=own))["statusCode"] == 200


def test_only_function_urls_are_decoded(invoke: Any, handlers: Any) -> None:
    for domain, name in (("x.lambda-url.eu-west-1.on.aws", "a/b"), ("api.example.com", "a%2Fb")):
        handlers.SEEN.clear()
        invoke("url", _v2("/u/a%2Fb", scope={"domainName": domain}))
        seen = [s["path_params"]["name"] for s in handlers.SEEN]
        # One segment only: a decoded slash makes it two, and no route.
        assert seen == ([] if "/" in name else [name])


def test_body_that_claims_to_be_base64(invoke: Any) -> None:
    with pytest.raises(ValueError, match="not base64"):
        invoke("create-order", _v2(body="a", isBase64Encoded=True))


def test_rest_api(invoke: Any, handlers: Any) -> None:
    handlers.SEEN.clear()
    answer = invoke("create-order", _rest())
    (seen,) = handlers.SEEN
    assert seen["headers"] == {"x-test-a": "1,2"}
    assert seen["query"] == [("a", "1 +"), ("a", "2")]
    assert seen["cookies"] == [("a", "1"), ("b", "2")]
    assert answer["multiValueHeaders"] == {"content-type": ["application/json"]}
    assert "headers" not in answer and answer["statusCode"] == 200


def test_rest_api_paths_are_encoded_and_format_1_is_not(invoke: Any, handlers: Any) -> None:
    handlers.SEEN.clear()
    invoke("echo", _rest("/echo/a%2520b"))
    invoke("echo", _rest("/dev/echo/a%20b", version="1.0"))
    assert [s["path"] for s in handlers.SEEN] == ["/echo/a%20b", "/echo/a%20b"]


def test_rest_api_answers_cookies_one_by_one(invoke: Any) -> None:
    event = _rest(multiValueHeaders={"x-test-answer": ["cookies"]})
    answer = invoke("create-order", event)
    assert answer["multiValueHeaders"]["set-cookie"] == [
        "a=1; Path=/; Secure; HttpOnly; SameSite=Lax",
        "b=2; Max-Age=5; Path=/; Secure; HttpOnly; SameSite=Lax",
    ]
    assert answer["multiValueHeaders"]["x-multi"] == ["a, b"]


def test_load_balancer(invoke: Any, handlers: Any) -> None:
    handlers.SEEN.clear()
    answer = invoke("create-order", _alb())
    (seen,) = handlers.SEEN
    assert seen["query"] == [("a", "1 +"), ("b", "")]
    assert seen["raw_query"] == "a=1%20%2B&b="
    assert seen["cookies"] == [("a", "1"), ("b", "2")]
    assert answer["headers"] == {"content-type": "application/json"}
    assert "multiValueHeaders" not in answer


def test_load_balancer_cookies_get_names_of_their_own(invoke: Any) -> None:
    answer = invoke("create-order", _alb(headers={"x-test-answer": "cookies"}))
    names = [name for name in answer["headers"] if name.lower() == "set-cookie"]
    assert len(names) == 2


def test_load_balancer_with_several_values(invoke: Any, handlers: Any) -> None:
    handlers.SEEN.clear()
    event = _alb(
        multiValueHeaders={"x-test-a": ["1", "2"]},
        multiValueQueryStringParameters={"a": ["%26", "2"]},
    )
    del event["headers"], event["queryStringParameters"]
    answer = invoke("create-order", event)
    assert handlers.SEEN[0]["query"] == [("a", "&"), ("a", "2")]
    assert handlers.SEEN[0]["headers"] == {"x-test-a": "1,2"}
    assert answer["multiValueHeaders"] == {"content-type": ["application/json"]}


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (_rest("/signed", httpMethod="GET"), 401),
        (
            _rest(
                "/signed",
                httpMethod="GET",
                requestContext={"identity": {"userArn": "arn:aws:iam::1:user/ada"}},
            ),
            200,
        ),
        (
            _alb(
                "/signed",
                httpMethod="GET",
                requestContext={"elb": {}, "identity": {"userArn": "arn"}},
            ),
            401,
        ),
        (_v2("/signed", scope={"http": {"method": "GET"}, "authorizer": {"lambda": {}}}), 401),
    ],
)
def test_signed_callers(invoke: Any, event: dict[str, Any], status: int) -> None:
    assert invoke("signed", event)["statusCode"] == status


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "x",
        {},
        {"Records": []},
        {"requestContext": {}},
        {"requestContext": None, "httpMethod": "GET"},
        {"requestContext": {"http": {}}, "rawPath": "/"},
        {"httpMethod": 1, "path": "/"},
    ],
)
def test_other_payloads_are_refused(bound: Any, context: Any, event: Any) -> None:
    with pytest.raises(ValueError, match="not an HTTP event"):
        bound("create-order")(event, context)


@pytest.mark.parametrize(
    ("answer", "encoded"),
    [("text", False), ("text-bytes", False), ("bytes", True), ("latin", True), ("long", True)],
)
def test_only_what_is_no_text_is_base64(invoke: Any, answer: str, encoded: bool) -> None:
    event = _v2(headers={"x-test-answer": answer})
    value = invoke("create-order", event)
    assert value["isBase64Encoded"] is encoded
    # What Lambda takes, escapes included.
    # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    assert len(json.dumps(value)) <= 6 * 1024 * 1024
    if answer == "long":
        assert base64.b64decode(value["body"]) == b'"' * 4_400_000


def test_slow_handler_is_stopped_on_the_main_thread(bound: Any, context: Any) -> None:
    start = time.monotonic()
    answer = bound("create-order", timeout=1)(_v2(headers={"x-test-answer": "sleep"}), context)
    assert answer["statusCode"] == 504
    assert time.monotonic() - start < 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_handler_that_cannot_be_loaded_answers_500(bound: Any, context: Any) -> None:
    broken = bound("create-order", module="no_such_module_at_all")
    for _ in range(2):
        answer = broken(_v2(), context)
        assert answer["statusCode"] == 500
        assert json.loads(answer["body"])["title"] == "Internal Server Error"


def test_context_fills_itself(bound: Any, context: Any, handlers: Any, monkeypatch: Any) -> None:
    seen: list[Any] = []

    class Reader(handlers.Echo):  # type: ignore[misc]
        def handle(self, request: Any, context: Any) -> None:
            context.attempt = 4
            seen.extend([context.invocation_id, context.target, context.attempt])
            seen.extend([context.service, 28 < context.remaining() <= 30, context.raw])
            seen.append(context.logger.extra["invocation_id"])

    monkeypatch.setattr(handlers, "Echo", Reader)
    bound("create-order")(_v2(), context)
    id = context.aws_request_id
    assert seen == [id, "aws", 4, "shop", True, context, id]
