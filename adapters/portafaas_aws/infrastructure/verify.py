"""Checks a template before it is written: what CloudFormation or AWS would refuse, and what would
deploy and then not work.

No rule shares code with what builds the template, so that one mistake does not make both wrong.
``cfn-lint`` knows the shape of each type; these rules know how the parts belong together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from portafaas.adapter import Permission
from portafaas.plan import BuildPlan
from portafaas_aws.infrastructure import (
    rules_access,
    rules_alerts,
    rules_failures,
    rules_front,
    rules_plan,
    rules_queues,
    rules_sources,
    rules_workflows,
)
from portafaas_aws.infrastructure.rules_split import sizes
from portafaas_aws.infrastructure.view import View, walk

_NAMES: Mapping[str, tuple[str, int]] = {
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::SNS::Topic": ("TopicName", 256),
    "AWS::S3::Bucket": ("BucketName", 63),
    "AWS::DynamoDB::Table": ("TableName", 255),
    "AWS::SecretsManager::Secret": ("Name", 512),
    "AWS::Scheduler::Schedule": ("Name", 64),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", 80),
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),
}
_KEPT = (
    "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret",
)  # fmt: skip
_UNTAGGED = (
    "AWS::ApiGatewayV2::Integration", "AWS::ApiGatewayV2::Route",
    "AWS::Lambda::Permission", "AWS::Lambda::Url", "AWS::Logs::MetricFilter",
    "AWS::SNS::Subscription", "AWS::SQS::QueuePolicy", "AWS::Scheduler::Schedule",
)  # fmt: skip

_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "AWS::ApiGatewayV2::Api": ("ApiEndpoint",),
    "AWS::DynamoDB::Table": ("Arn", "StreamArn"),
    "AWS::Lambda::Url": ("FunctionUrl",),
    "AWS::SQS::Queue": ("Arn", "QueueName"),
}

Rule = Callable[[View], Iterator[str]]


def verify(
    document: Mapping[str, Any],
    permissions: Iterable[Permission] = (),
    plan: BuildPlan | None = None,
) -> list[str]:
    """Return what is wrong with the template *document*, one sentence a fault.

    With *permissions* the statements of all roles must permit exactly those, with *plan* the
    template must say what ``lowering`` says of it. A template that will be taken apart may be too
    large: ``rules_split`` looks at its parts.
    """
    faults: list[str] = []
    try:
        view = View(document)
        faults += references(view)
        if faults:
            # Every other rule follows references.
            return faults
        if plan is None or plan.options.get("stacks", 1) == 1:
            for what, count, most in sizes(document):
                faults.append(f"the template has {count} {what}; CloudFormation takes {most}")
        for rule in (_shape, _names, _attributes, *RULES):
            faults += rule(view)
        faults += rules_access.permits(view, list(permissions))
        return faults + list(rules_plan.keeps(view, plan)) if plan is not None else faults
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # Types are cfn-lint's; still a template that no rule can read is none to deploy.
        return [*faults, f"the template has a value of the wrong type: {error!r}"]


def references(view: View) -> Iterator[str]:
    """Yield names that are used and do not exist, and resources that wait for themselves."""
    known = {*view.resources, *view.parameters}
    edges: dict[str, list[str]] = {}
    asked: list[tuple[str, str]] = []
    for logical, resource in view.resources.items():
        names, attributes = view.uses(logical)
        asked += attributes
        used = [*names, *resource.get("DependsOn", ())]
        for name in used:
            if name not in known and not name.startswith("AWS::"):
                yield f"{logical} refers to {name}, which does not exist"
        edges[logical] = [name for name in used if name in view.resources]
    for part, value in view.document.items():
        if part != "Resources":
            asked += walk(value)[1]
    for logical, attribute in asked:
        if logical in view.resources:
            type = view.resources[logical]["Type"]
            if type == "AWS::CloudFormation::Stack" and attribute.startswith("Outputs."):
                # Whether there is such an output, the child says: ``rules_split``.
                continue
            if attribute not in _ATTRIBUTES.get(type, ("Arn",)):
                yield f"{logical} ({type}) has no attribute {attribute}"
    for name in walk(view.document.get("Outputs", {}))[0]:
        if name not in known and not name.startswith("AWS::"):
            yield f"an output refers to {name}, which does not exist"
    missing = {name: len(others) for name, others in edges.items()}
    waiting: dict[str, list[str]] = {}
    for name, others in edges.items():
        for other in others:
            waiting.setdefault(other, []).append(name)
    ready = [name for name, count in missing.items() if not count]
    while ready:
        done = ready.pop()
        del missing[done]
        for name in waiting.get(done, ()):
            missing[name] -= 1
            if not missing[name]:
                ready.append(name)
    if missing:
        yield f"these wait for one another: {', '.join(missing)}"


def _shape(view: View) -> Iterator[str]:
    used = {name for logical in view.resources for name in view.uses(logical)[0]}
    for name in view.parameters:
        if name not in used:
            yield f"nothing uses the parameter {name}"
    if "{{resolve:" in json.dumps(view.document):
        yield "a secret would be resolved into plain text"
    for name, parameter in view.parameters.items():
        if "Default" in parameter and parameter.get("NoEcho"):
            yield f"the parameter {name} is not echoed, yet its default is in the template"


def _names(view: View) -> Iterator[str]:
    taken: dict[tuple[str, str], str] = {}
    for type, (key, limit) in _NAMES.items():
        for logical, facts in view.of(type):
            name = view.text(facts.get(key, ""))
            # The longest region has 15 characters.
            length = len(name.replace("${AWS::AccountId}", "1" * 12).replace(
                "${AWS::Region}", "r" * 15))  # fmt: skip
            if not 1 <= length <= limit:
                yield f"{logical}: {key} {name!r} has {length} characters; at most {limit}"
            other = taken.setdefault((type, name), logical)
            if other != logical:
                yield f"{logical} and {other} are both called {name!r}"


def _attributes(view: View) -> Iterator[str]:
    for logical, resource in view.resources.items():
        type = resource["Type"]
        if type in _KEPT and (
            resource.get("DeletionPolicy") not in ("Retain", "RetainExceptOnCreate")
            or resource.get("UpdateReplacePolicy") != "Retain"
        ):
            yield f"{logical} holds data, which would be lost with it"
        tags = resource["Properties"].get("Tags", ())
        flat = tags if isinstance(tags, Mapping) else {t["Key"]: t["Value"] for t in tags}
        if type not in _UNTAGGED and (
            flat.get("managed-by") != "portafaas" or "service" not in flat
        ):
            yield f"{logical} lacks the tags of the service"


RULES: tuple[Rule, ...] = (
    *rules_access.RULES,
    *rules_queues.RULES,
    *rules_sources.RULES,
    *rules_failures.RULES,
    *rules_front.RULES,
    *rules_alerts.RULES,
    *rules_workflows.RULES,
)
