"""What a Lambda package needs around it, as one CloudFormation template; pure, no I/O.

No macros and no SAM: the template is what gets deployed, and its statements are all there are.
``docs/infrastructure-aws.md`` says what each line of the manifest becomes.
"""

from __future__ import annotations

from portafaas.adapter import Infrastructure, Permission
from portafaas.errors import Diagnostic
from portafaas.plan import BuildPlan
from portafaas_aws.infrastructure.alerts import (
    add_alarm,
    add_channels,
    add_failures,
    watched,
)
from portafaas_aws.infrastructure.document import Template
from portafaas_aws.infrastructure.functions import add_function, add_parameters
from portafaas_aws.infrastructure.http import add_api, routes
from portafaas_aws.infrastructure.resources import add_resources
from portafaas_aws.infrastructure.split import split
from portafaas_aws.infrastructure.triggers import after, before
from portafaas_aws.infrastructure.workflows import add_workflows
from portafaas_aws.lowering import deployed


def emit(plan: BuildPlan) -> Infrastructure:
    """Return the template ``<service>.template.json``, and what it permits.

    With ``targets: {aws: {stacks: N}}`` functions are in templates of their own, which are nested
    in it: ``<service>.<n>.template.json``.

    What CloudFormation would refuse is an error among the notes, and there is no document. Raises
    AssertionError, naming every fault, should the template break a rule of ``verify``.
    """
    from portafaas_aws.infrastructure.limits import check

    refused = tuple(found for found in check(plan, whole=False) if found.severity == "error")
    if refused:
        return Infrastructure({}, (), refused)
    from portafaas_aws.infrastructure.limits_size import crowded, exceeding

    template, permissions = build(plan)
    document = template.document()
    documents = split(template, stacks_of(plan))
    if refused := tuple(exceeding(template, documents)):
        return Infrastructure({}, (), refused)
    from portafaas_aws.infrastructure.rules_split import joined
    from portafaas_aws.infrastructure.verify import verify

    faults = verify(document, permissions, plan)
    if len(documents) > 1:
        # ``exceeding`` found nothing.
        faults += joined(documents, document, measured=True)
    if faults:
        raise AssertionError("the template would not deploy or work:\n  " + "\n  ".join(faults))
    notes = (*_notes(plan), *crowded(template))
    from portafaas_aws.infrastructure.explained import redeliveries, resources

    return Infrastructure(
        documents, tuple(permissions), notes, resources(template, documents), redeliveries(template)
    )


def stacks_of(plan: BuildPlan) -> int:
    """Return how many nested stacks the functions of *plan* are in; 1 is no nesting."""
    return int(plan.options.get("stacks", 1))


def build(plan: BuildPlan) -> tuple[Template, list[Permission]]:
    """Return the template of *plan*, unverified, and what it permits."""
    template = Template(plan)
    deployments = {deployment.function: deployment for deployment in deployed(plan)}
    bindings = {name: deployment.binding for name, deployment in deployments.items()}
    add_parameters(template)
    add_resources(template, bindings)
    fronted = [name for name, binding in bindings.items() if binding["type"] == "http-api"]
    if fronted:
        template.asked = tuple(f"$.functions.{name}.trigger.http" for name in fronted)
        add_api(template)
    add_channels(template)
    owned = routes(plan, bindings)
    permissions: list[Permission] = []
    failing = watched(plan)
    for function in plan.functions:
        binding = bindings[function.name]
        template.owner = function.name
        trigger = (f"$.functions.{function.name}.trigger.{function.kind}",)
        template.asked = trigger
        grants = before(template, function, binding)
        template.asked = (f"$.functions.{function.name}",)
        permissions += add_function(template, function, deployments[function.name], grants)
        template.asked = trigger
        permissions += after(template, function, binding, owned.get(function.name, ()))
        if function.name in failing:
            add_failures(template, function.name)
    template.owner = ""
    permissions += add_workflows(template)
    for alert in plan.alerts:
        template.owner = alert.function
        template.asked = (f"$.alerts.{alert.name}",)
        add_alarm(template, alert)
    return template, permissions


def _notes(plan: BuildPlan) -> list[Diagnostic]:
    """Return what AWS cannot give as narrowly as the manifest asks."""
    from portafaas.plan import HttpTrigger
    from portafaas_aws.names import front

    return [
        Diagnostic(
            "PF3010",
            f"the URL of {function.name!r} admits everyone (Principal *): Lambda has no narrower "
            "permission for a URL without IAM; the bridge checks keys and tokens "
            "(https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html)",
            path=f"$.functions.{function.name}.targets.aws.front",
            hint="auth: iam, or front: http-api",
            severity="note",
        )
        for function in plan.functions
        if isinstance(function.trigger, HttpTrigger)
        and front(function) == "function-url"
        and (function.trigger.auth is None or function.trigger.auth.scheme != "iam")
    ]
