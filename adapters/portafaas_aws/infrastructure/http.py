"""The HTTP API of a service: routes and who may invoke what is behind them.

Cross-origin rules, keys and tokens are the bridge's, so that they are the same on all targets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger
from portafaas_aws.infrastructure.document import (
    Template,
    arn,
    att,
    logical_id,
    ref,
    sub,
    tag_map,
)
from portafaas_aws.names import physical_name, route_path

API = "HttpApi"

Route = Mapping[str, str]


def routes(
    plan: BuildPlan, bindings: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[Route, ...]]:
    """Return the routes of each function, every route key once.

    A function that is given all other methods of a path needs no route for those it names: it
    answers 405 itself. A function's own path comes before the root of another's wildcard, a method
    it names before one that is routed to it for the answer 405 or a preflight. Names of parameters
    do not tell routes apart.
    """
    ranked: list[tuple[int, str, Route]] = []
    for function in plan.functions:
        trigger, binding = function.trigger, bindings[function.name]
        if not isinstance(trigger, HttpTrigger) or binding["type"] != "http-api":
            continue
        for route in binding["routes"]:
            method, _, path = route["routeKey"].partition(" ")
            derived = path != route_path(trigger.path)
            named = method in (trigger.methods or ("ANY",))
            ranked.append((2 * derived + (not named), function.name, route))
    taken: dict[str, tuple[str, str]] = {}
    for _, name, route in sorted(ranked, key=lambda entry: entry[0]):
        shape = re.sub(r"\{[^}]*?(\+?)\}", r"{\1}", route["routeKey"])
        taken.setdefault(shape, (name, route["routeKey"]))
    kept = set(taken.values())
    kinds = {(name, route["routeKey"]): route["authorizationType"] for _, name, route in ranked}
    for name, key in list(kept):
        method, _, path = key.partition(" ")
        rest = (name, f"ANY {path}")
        # A route for every method, to the same function and open to the same callers, does it all.
        if method != "ANY" and rest in kept and kinds[rest] == kinds[name, key]:
            kept.remove((name, key))
    own: dict[str, list[Route]] = {name: [] for _, name, _ in ranked}
    for _, name, route in ranked:
        if (name, route["routeKey"]) in kept:
            own[name].append(route)
    return {name: tuple(found) for name, found in own.items()}


def add_api(template: Template) -> None:
    """Add the API all routes belong to, and the one stage that follows every change."""
    plan = template.plan
    template.add(
        API,
        "AWS::ApiGatewayV2::Api",
        {
            "Name": physical_name(plan, "http", 128),
            "ProtocolType": "HTTP",
            "Tags": tag_map(plan),
        },
    )
    template.add(
        f"{API}Stage",
        "AWS::ApiGatewayV2::Stage",
        {"ApiId": ref(API), "StageName": "$default", "AutoDeploy": True, "Tags": tag_map(plan)},
    )
    template.outputs[f"{API}Endpoint"] = {
        "Description": "Where the routes of the HTTP API are.",
        "Value": att(API, "ApiEndpoint"),
    }


def add_routes(
    template: Template,
    function: FunctionPlan,
    binding: Mapping[str, Any],
    own: tuple[Route, ...],
) -> None:
    """Add the integration of *function*, its routes, and the permission for each."""
    assert isinstance(function.trigger, HttpTrigger)
    logical = logical_id(function.name, "Function")
    integration = template.add(
        logical_id(function.name, "Integration"),
        "AWS::ApiGatewayV2::Integration",
        {
            "ApiId": ref(API),
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": att(logical),
            "PayloadFormatVersion": binding["payloadFormatVersion"],
            "TimeoutInMillis": binding["timeoutInMillis"],
        },
    )
    keys = {route["routeKey"] for route in own}
    for route in own:
        method, _, path = route["routeKey"].partition(" ")
        root = "" if path == route_path(function.trigger.path) else "Root"
        kind = method.capitalize() + root
        template.add(
            logical_id(function.name, f"{kind}Route"),
            "AWS::ApiGatewayV2::Route",
            {
                "ApiId": ref(API),
                "RouteKey": route["routeKey"],
                "AuthorizationType": route["authorizationType"],
                "Target": sub(f"integrations/${{{integration}}}"),
            },
        )
        if method != "ANY" and f"ANY {path}" in keys:
            # The permission of that route is for all methods.
            continue
        template.add(
            logical_id(function.name, f"{kind}Permission"),
            "AWS::Lambda::Permission",
            {
                "Action": "lambda:InvokeFunction",
                "FunctionName": ref(logical),
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": sub(arn("execute-api", source(method, path))),
            },
        )


def source(method: str, path: str) -> str:
    """Return the end of the ARN a route invokes its function under, in any stage.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    verb = "*" if method == "ANY" else method
    # "${" would be a variable of Fn::Sub, "$" is fine.
    return f"${{{API}}}/*/{verb}{re.sub(r'{[^}]*}', '*', path)}"


def add_url(template: Template, function: FunctionPlan, binding: Mapping[str, Any]) -> None:
    """Add the URL of *function*; a public one needs two permissions since October 2025.

    https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    """
    logical = logical_id(function.name, "Function")
    url = template.add(
        logical_id(function.name, "Url"),
        "AWS::Lambda::Url",
        {
            "AuthType": binding["authType"],
            "InvokeMode": binding["invokeMode"],
            "TargetFunctionArn": att(logical),
        },
    )
    if binding["authType"] == "NONE":
        anyone = {"FunctionName": ref(logical), "Principal": "*"}
        template.add(
            logical_id(function.name, "UrlPermission"),
            "AWS::Lambda::Permission",
            {"Action": "lambda:InvokeFunctionUrl", **anyone, "FunctionUrlAuthType": "NONE"},
        )
        template.add(
            logical_id(function.name, "UrlInvokePermission"),
            "AWS::Lambda::Permission",
            {"Action": "lambda:InvokeFunction", **anyone, "InvokedViaFunctionUrl": True},
        )
    template.outputs[logical_id(function.name, "Url")] = {
        "Description": f"The URL of {function.name}.",
        "Value": att(url, "FunctionUrl"),
    }
