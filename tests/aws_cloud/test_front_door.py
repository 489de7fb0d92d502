"""The HTTP front door: which route serves, what the function gets, what the client gets."""

from __future__ import annotations

import pytest

from tests.aws_cloud.cloud import ACCOUNT, REGION, Cloud
from tests.aws_cloud.http_events import route

# The examples of https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
ROUTES = ["GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default"]


@pytest.mark.parametrize(
    ("method", "path", "key", "parameters"),
    [
        ("GET", "/pets/dog/1", "GET /pets/dog/1", {}),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}", {"id": "2"}),
        ("GET", "/pets/cat/1", "GET /pets/{proxy+}", {"proxy": "cat/1"}),
        ("POST", "/test/5", "ANY /{proxy+}", {"proxy": "test/5"}),
        ("POST", "/pets/dog/1", "ANY /{proxy+}", {"proxy": "pets/dog/1"}),
        ("GET", "/", "$default", {}),
    ],
)
def test_the_most_specific_route_serves(
    method: str, path: str, key: str, parameters: dict[str, str]
) -> None:
    for keys in (ROUTES, ROUTES[::-1]):
        assert route({k: k for k in keys}, method, path) == (key, parameters)


def test_a_method_is_preferred_to_any() -> None:
    keys = {k: k for k in ("ANY /a/{b}", "POST /a/{b}", "ANY /a")}
    assert route(keys, "POST", "/a/1") == ("POST /a/{b}", {"b": "1"})
    assert route(keys, "PUT", "/a/1") == ("ANY /a/{b}", {"b": "1"})
    assert route(keys, "GET", "/a/") is None
    assert route(keys, "GET", "/a/1/2") is None


def test_requests_arrive_as_an_http_api_tells_them(cloud: Cloud) -> None:
    cloud.request(
        "GET",
        "/files/a%20b/c?x=1&x=2&y=%C3%BC&z=",
        headers={"Cookie": "a=1; b=2", "X-One": "1", "User-Agent": "t"},
    )
    (made,) = cloud.invocations
    event = made["event"]
    assert event["version"] == "2.0" and event["rawPath"] == "/files/a b/c"
    assert event["routeKey"] == event["requestContext"]["routeKey"]
    assert event["routeKey"] in ("GET /files/{path+}", "ANY /files/{path+}")
    assert event["pathParameters"] == {"path": "a b/c"}
    assert event["rawQueryString"] == "x=1&x=2&y=%C3%BC&z="
    assert event["queryStringParameters"] == {"x": "1,2", "y": "ü", "z": ""}
    assert event["cookies"] == ["a=1", "b=2"] and "cookie" not in event["headers"]
    assert event["headers"]["x-one"] == "1"
    assert event["requestContext"]["http"]["userAgent"] == "t"
    assert "body" not in event and event["isBase64Encoded"] is False


def test_what_the_client_gets(cloud: Cloud) -> None:
    content = bytes(range(256))
    cloud.client("s3").put_object(
        Bucket=f"notes-archive-{ACCOUNT}-{REGION}", Key="raw", Body=content
    )
    answer = cloud.request("GET", "/files/raw")
    assert answer.body == content
    assert answer.headers["content-type"] == "application/octet-stream"
    # The wildcard's empty case has a route; the function finds nothing.
    assert cloud.request("GET", "/files").status == 404
    assert cloud.request("DELETE", "/notes/1").status == 405
    missing = cloud.request("GET", "/nowhere")
    assert (missing.status, missing.json()) == (404, {"message": "Not Found"})
    assert len([i for i in cloud.invocations if i["function"] == "notes-files"]) == 2
    assert cloud.request("POST", "/notes", b"no json").status == 400


def test_a_function_that_fails_is_an_error_of_the_gateway(cloud: Cloud) -> None:
    awslambda = cloud.client("lambda")
    before = awslambda.get_function_configuration(FunctionName="notes-show")["Handler"]
    awslambda.update_function_configuration(FunctionName="notes-show", Handler="_portafaas.none")
    broken = cloud.request("GET", "/notes/1")
    assert (broken.status, broken.json()) == (500, {"message": "Internal Server Error"})
    awslambda.update_function_configuration(FunctionName="notes-show", Handler=before)
    assert cloud.request("GET", "/notes/1").status == 404


def test_an_api_without_permission_invokes_nothing(cloud: Cloud) -> None:
    awslambda = cloud.client("lambda")
    (api,) = cloud.client("apigatewayv2").get_apis()["Items"]
    fronts = cloud.client("apigatewayv2")
    made = fronts.create_integration(
        ApiId=api["ApiId"], IntegrationType="AWS_PROXY", PayloadFormatVersion="2.0",
        IntegrationUri=awslambda.get_function(FunctionName="notes-show")["Configuration"]["FunctionArn"],
    )  # fmt: skip
    route = fronts.create_route(
        ApiId=api["ApiId"], RouteKey="GET /uninvited", Target=f"integrations/{made['IntegrationId']}"
    )
    assert cloud.request("GET", "/uninvited").status == 500
    assert cloud.invocations == []
    fronts.delete_route(ApiId=api["ApiId"], RouteId=route["RouteId"])
