"""Names and durations that lowering, limits and events have in common."""

from __future__ import annotations

from portafaas.plan import BuildPlan, FunctionPlan

#: Longest a Lambda function may run, in seconds.
MAX_TIMEOUT = 900
#: Longest an HTTP API waits, in seconds.
#: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
HTTP_API_TIMEOUT = 30


def physical_name(plan: BuildPlan, name: str) -> str:
    """Return the name a resource gets in the account: ``service-stage-name``."""
    return f"{plan.service}-{plan.stage}-{name}"


def front(function: FunctionPlan) -> str:
    """Return what an http function stands behind: ``http-api`` or ``function-url``."""
    return str(function.options.get("front", "http-api"))


def handler_timeout(function: FunctionPlan) -> int:
    """Return the seconds after which the handler is stopped.

    A second less than what would stop the whole function, so that the caller gets an answer and
    the log says why.
    """
    limit = MAX_TIMEOUT
    if function.kind == "http" and front(function) == "http-api":
        limit = HTTP_API_TIMEOUT
    return min(function.timeout, limit - 1)


def lambda_timeout(function: FunctionPlan) -> int:
    """Return the seconds after which Lambda stops the whole function."""
    return handler_timeout(function) + 1


def route_path(path: str) -> str:
    """Return the path of an HTTP API route: ``/files/{path*}`` is ``/files/{path+}``."""
    return path.replace("*}", "+}")
