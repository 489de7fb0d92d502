"""How much of a service one template, one stack and one HTTP API hold: PF3002."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan
from portafaas_aws.infrastructure.document import Template
from portafaas_aws.infrastructure.rules_split import MAX_NESTED, sizes

_STACK = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"
_HTTP_API = "https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html"
#: Of one HTTP API: integrations, which cannot be raised, and routes, which can on request.
_INTEGRATIONS, _ROUTES = 300, 300


def check(plan: BuildPlan) -> Iterator[Diagnostic]:
    """Make the templates of *plan*, which is otherwise sound, and yield what is too much."""
    from portafaas_aws.infrastructure import build, stacks_of
    from portafaas_aws.infrastructure.split import split

    template = build(plan)[0]
    yield from exceeding(template, split(template, stacks_of(plan)))


def exceeding(
    template: Template, documents: Mapping[str, Mapping[str, Any]]
) -> Iterator[Diagnostic]:
    """Yield what is too much in *template*, and in the *documents* that it was split into."""
    integrations = _count(template, "AWS::ApiGatewayV2::Integration")
    if integrations > _INTEGRATIONS:
        yield Diagnostic(
            "PF3002",
            f"{integrations} functions are behind the HTTP API; it takes {_INTEGRATIONS} "
            f"({_HTTP_API})",
            path="$.functions",
            hint="give some of them targets: {aws: {front: function-url}}, or split the service",
        )
    count = len(template.resources)
    if count > MAX_NESTED:
        yield Diagnostic(
            "PF3002",
            f"the service has {count} resources; an operation on a stack and those nested in it "
            f"takes at most {MAX_NESTED} ({_STACK})",
            path="$.functions",
            hint="split the service",
        )
        return
    stacks = int(template.plan.options.get("stacks", 1))
    found = [
        (name, fault)
        for name, document in documents.items()
        for fault in sizes(document)
    ]
    if not found:
        return
    told = [
        f"{'the template of the service' if stacks == 1 else name} has {count} {what}; "
        f"at most {most}"
        for name, (what, count, most) in found
    ]
    yield Diagnostic(
        "PF3002",
        f"{', '.join(told)} ({_STACK})",
        path="$.functions" if stacks == 1 else "$.targets.aws.stacks",
        hint=_hint(template),
    )


def _hint(template: Template) -> str:
    """Return how many stacks the service fits into."""
    from portafaas_aws.infrastructure.split import MOST, split

    for stacks in range(2, MOST + 1):
        if not any(fault for each in split(template, stacks).values() for fault in sizes(each)):
            return f"targets: {{aws: {{stacks: {stacks}}}}}"
    return "split the service: more stacks do not help"


def crowded(template: Template) -> Iterator[Diagnostic]:
    """Warn of what AWS takes only of accounts that have asked for it."""
    routes = _count(template, "AWS::ApiGatewayV2::Route")
    if routes > _ROUTES:
        yield Diagnostic(
            "PF3002",
            f"the HTTP API has {routes} routes; an account has a quota of {_ROUTES} unless it was "
            f"raised ({_HTTP_API})",
            path="$.functions",
            hint="ask for a higher quota before you deploy",
            severity="warning",
        )


def _count(template: Template, type: str) -> int:
    return sum(resource["Type"] == type for resource in template.resources.values())
