"""The function itself: code, role, log group, variables."""

from __future__ import annotations

from typing import Any

from portafaas.adapter import Deployment, Permission
from portafaas.plan import FunctionPlan, HttpTrigger
from portafaas_aws.infrastructure.document import (
    Template,
    arn,
    att,
    logical_id,
    ref,
    tags,
)
from portafaas_aws.infrastructure.iam import LOG, Grant, add_role, use_grants
from portafaas_aws.infrastructure.resources import environment
from portafaas_aws.names import physical_name

_ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
# ``name=SHA-256``, separated by commas or white space, as portafaas.runtime.auth reads it.
_ENTRY = r"[^=,\s]+=[0-9A-Fa-f]{64}"


def add_parameters(template: Template) -> None:
    """Add what a deployment must say: where the package lies, and the digests of the keys."""
    if not template.plan.functions:
        return
    template.parameters["CodeBucket"] = {
        "Type": "String",
        "Description": "S3 bucket of the package, in the region of the stack.",
        "AllowedPattern": r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    }
    template.parameters["CodeKey"] = {
        "Type": "String",
        "Description": (
            "Key of the package in CodeBucket. Lambda takes new code only when the key changes."
        ),
        "MinLength": 1,
        "MaxLength": 1024,
    }
    template.parameters["CodeDigest"] = {
        "Type": "String",
        "Description": "SHA-256 of the package in hex, which every function is tagged with.",
        "AllowedPattern": "[0-9a-f]{64}",
    }
    for function in template.plan.functions:
        name = keys_variable(function)
        if name:
            template.parameters[keys_parameter(name)] = {
                "Type": "String",
                "NoEcho": True,
                "Description": f"{name}: the API keys' digests, name=SHA-256 in hex, by commas.",
                "AllowedPattern": rf"\s*{_ENTRY}([,\s]+{_ENTRY})*[,\s]*",
            }


def keys_variable(function: FunctionPlan) -> str:
    """Return the variable with the keys' digests if the manifest leaves it to the deployment."""
    trigger = function.trigger
    if not isinstance(trigger, HttpTrigger) or trigger.auth is None:
        return ""
    name = trigger.auth.keys if trigger.auth.scheme == "key" else ""
    return "" if name in function.environment else name


def keys_parameter(variable: str) -> str:
    """Return the parameter for *variable*: ``PORTAFAAS_HTTP_KEYS`` is ``PortafaasHttpKeys``."""
    parts = variable.lower().split("_")
    if "" in parts:
        # "A__B" must differ from "A_B".
        parts.append(f"x{len(variable)}")
    return logical_id("-".join(part for part in parts if part), "")


def add_function(
    template: Template, function: FunctionPlan, deployment: Deployment, grants: list[Grant]
) -> list[Permission]:
    """Add *function* with its role and log; *grants* are what its trigger needs."""
    plan = template.plan
    name = physical_name(plan, function.name)
    group = f"/aws/lambda/{name}"
    logs = template.add(
        logical_id(function.name, "Logs"),
        "AWS::Logs::LogGroup",
        {
            "LogGroupName": group,
            "RetentionInDays": plan.options.get("log-retention", plan.logs.retention),
            "Tags": tags(plan),
        },
    )
    log = Grant("Log", LOG, att(logs), arn("logs", f"log-group:{group}:*"), "platform")
    permissions = add_role(
        template,
        function,
        "Role",
        "lambda.amazonaws.com",
        [log, *grants, *use_grants(plan, function)],
    )
    variables: dict[str, Any] = {**deployment.environment, **environment(plan, function)}
    if keys := keys_variable(function):
        variables[keys] = ref(keys_parameter(keys))
    facts: dict[str, Any] = {
        "FunctionName": name,
        "Runtime": f"python{plan.python}",
        "Architectures": [_ARCHITECTURES[plan.architecture]],
        "Handler": deployment.entry,
        "Code": {"S3Bucket": ref("CodeBucket"), "S3Key": ref("CodeKey")},
        "MemorySize": deployment.memory,
        "Timeout": deployment.timeout,
        "Role": att(logical_id(function.name, "Role")),
        "LoggingConfig": {"LogGroup": ref(logs)},
    }
    if function.max_instances:
        # https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
        facts["ReservedConcurrentExecutions"] = function.max_instances
    if variables:
        facts["Environment"] = {"Variables": dict(sorted(variables.items()))}
    facts["Tags"] = [*tags(plan), {"Key": "package-digest", "Value": ref("CodeDigest")}]
    template.add(logical_id(function.name, "Function"), "AWS::Lambda::Function", facts)
    return permissions
