"""Rules of ``verify`` about what was asked for: the template says what ``lowering`` says.

Functions are found by their entries, all else by what refers to it, never by logical ids.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from portafaas.adapter import Deployment
from portafaas.plan import BuildPlan, FunctionPlan, QueuePlan
from portafaas.plan.machines import every_step
from portafaas_aws.infrastructure.rules_access import invoked
from portafaas_aws.infrastructure.rules_alerts import tells
from portafaas_aws.infrastructure.view import View

if TYPE_CHECKING:
    from portafaas_aws.bindings import Sharing


def keeps(view: View, plan: BuildPlan) -> Iterator[str]:
    """Yield where the template differs from the deployments and resources of *plan*."""
    from portafaas_aws.bindings import Sharing
    from portafaas_aws.lowering import deployed

    functions = {function.name: function for function in plan.functions}
    by_entry = {facts.get("Handler"): name for name, facts in view.of("AWS::Lambda::Function")}
    for deployment in deployed(plan):
        logical = by_entry.pop(deployment.entry, None)
        if logical is None:
            yield f"there is no function for {deployment.function}"
        else:
            own = functions[deployment.function]
            yield from _function(view, plan, own, logical, deployment)
    for logical in by_entry.values():
        yield f"nobody asked for {logical}"
    sharing = Sharing(plan)
    for queue in plan.queues:
        yield from _queue(view, plan, queue, sharing)
    channels = {name for alert in plan.alerts for name in alert.notify}
    waiting = any(
        "signal" in step for w in plan.workflows for _, step in every_step(w.machine)
    )
    for type, wanted in (
        ("AWS::SNS::Topic", len(plan.topics) + len(channels) + waiting),
        ("AWS::StepFunctions::StateMachine", len(plan.workflows)),
        ("AWS::S3::Bucket", len(plan.buckets)),
        ("AWS::DynamoDB::Table", len(plan.tables)),
        ("AWS::SecretsManager::Secret", len(plan.secrets)),
    ):
        found = sum(1 for _ in view.of(type))
        if found != wanted:
            yield f"{found} of {wanted} {type}"
    yield from _details(view, plan)
    yield from tells(view, plan)


def _details(view: View, plan: BuildPlan) -> Iterator[str]:
    buckets = sorted(
        facts.get("VersioningConfiguration", {}).get("Status") == "Enabled"
        for _, facts in view.of("AWS::S3::Bucket")
    )
    if buckets != sorted(bucket.versioned for bucket in plan.buckets):
        yield "the versioned buckets are not those of the manifest"
    tables = sorted(
        (
            [entry["AttributeName"] for entry in facts["KeySchema"]],
            str(facts.get("TimeToLiveSpecification", {}).get("AttributeName", "")),
            facts.get("TimeToLiveSpecification", {"Enabled": True}).get("Enabled"),
        )
        for _, facts in view.of("AWS::DynamoDB::Table")
    )
    if tables != sorted(
        ([name for name in (t.key, t.sort) if name], t.ttl, True) for t in plan.tables
    ):
        yield "the keys of the tables are not those of the manifest"


def _function(
    view: View, plan: BuildPlan, function: FunctionPlan, logical: str, deployment: Deployment
) -> Iterator[str]:
    facts, binding = view.resources[logical]["Properties"], deployment.binding
    variables = facts.get("Environment", {}).get("Variables", {})
    machine = {"aarch64": ["arm64"]}.get(plan.architecture, [plan.architecture])
    yield from _same(logical, facts, {
        "FunctionName": binding["functionName"],
        "MemorySize": deployment.memory,
        "Timeout": deployment.timeout,
        "Runtime": f"python{plan.python}",
        "Architectures": machine,
        "ReservedConcurrentExecutions": function.max_instances or None,
    })  # fmt: skip
    log = view.target(facts.get("LoggingConfig", {}).get("LogGroup"))
    days = plan.options.get("log-retention") or plan.logs.retention
    kept = view.facts(log, "AWS::Logs::LogGroup") or {}
    yield from _same(str(log), kept, {"RetentionInDays": days})
    yield from _same(logical, variables, deployment.environment)
    # A task's function may be there before the first step that calls it.
    if binding["type"] != "states" and logical not in view.once(invoked):
        yield f"nothing invokes {logical}"
    match binding["type"]:
        case "sqs" | "sns-sqs" | "dynamodb-stream":
            yield from _mapping(view, logical, binding)
        case "s3-sqs":
            yield from _mapping(view, logical, binding)
            yield from _notified(view, logical, binding)
        case "scheduler-sqs":
            yield from _mapping(view, logical, binding)
            yield from _scheduled(view, logical, binding)
        case "http-api":
            yield from _routes(view, logical, binding)
        case "function-url":
            urls = _pointing(view, "AWS::Lambda::Url", "TargetFunctionArn", logical)
            yield from _same(logical, urls, {
                "AuthType": binding["authType"], "InvokeMode": binding["invokeMode"],
            })  # fmt: skip


def _pointing(view: View, type: str, key: str, logical: str) -> Mapping[str, Any]:
    found = view.leading(type, key).get(logical)
    return found[0] if found else {}


def _same(
    logical: str, facts: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[str]:
    for key, value in wanted.items():
        if facts.get(key) != value:
            yield f"{logical}: {key} is {facts.get(key)!r} and not {value!r}"


def _mapping(view: View, logical: str, binding: Mapping[str, Any]) -> Iterator[str]:
    found = _pointing(view, "AWS::Lambda::EventSourceMapping", "FunctionName", logical)
    wanted = dict(binding["eventSourceMapping"])
    pattern = wanted.pop("FilterCriteria", None)
    source = view.target(found.get("EventSourceArn"))
    queue = view.facts(source, "AWS::SQS::Queue")
    if queue is not None and queue.get("FifoQueue"):
        wanted.pop("MaximumBatchingWindowInSeconds", None)
    yield from _same(logical, found, wanted)
    filters = found.get("FilterCriteria", {"Filters": ()})["Filters"]
    patterns = [json.loads(entry["Pattern"]) for entry in filters]
    if patterns != ([pattern] if pattern else []):
        yield f"{logical} is not told of the changes it wants"
    if queue is not None:
        yield from _attributes(view, str(source), queue, binding["queue"])
    table = view.facts(source, "AWS::DynamoDB::Table")
    if table is not None:
        yield from _same(str(source), table, {"TableName": binding["table"]})
        yield from _same(
            str(source), table["StreamSpecification"], {"StreamViewType": binding["streamViewType"]}
        )
    if "subscription" in binding:
        wanted = dict(binding["subscription"])
        subscribed = _pointing(view, "AWS::SNS::Subscription", "Endpoint", str(source))
        topic = view.facts(view.target(subscribed.get("TopicArn")), "AWS::SNS::Topic") or {}
        yield from _same(logical, topic, {"TopicName": wanted.pop("TopicName")})
        yield from _same(logical, subscribed, wanted)
        if "FilterPolicy" in subscribed and "FilterPolicy" not in wanted:
            yield f"{logical} is not told of all it wants"


def _attributes(
    view: View, logical: str, facts: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[str]:
    rest = dict(wanted)
    redrive = rest.pop("RedrivePolicy", None)
    yield from _same(logical, facts, rest)
    if redrive is None:
        return
    found = facts.get("RedrivePolicy", {})
    dead = view.facts(view.target(found.get("deadLetterTargetArn")), "AWS::SQS::Queue") or {}
    yield from _same(logical, dead, {"QueueName": redrive["deadLetterQueueName"]})
    yield from _same(logical, found, {"maxReceiveCount": redrive["maxReceiveCount"]})


def _queue(
    view: View, plan: BuildPlan, queue: QueuePlan, sharing: Sharing
) -> Iterator[str]:
    from portafaas_aws.bindings import queue_facts

    wanted = queue_facts(plan, queue, sharing)
    found = view.once(_queues).get(wanted["QueueName"])
    if found is None:
        yield f"there is no queue for {queue.name}"
    else:
        yield from _attributes(view, *found, wanted)


def _queues(view: View) -> Mapping[Any, tuple[str, Mapping[str, Any]]]:
    found: dict[Any, tuple[str, Mapping[str, Any]]] = {}
    for logical, facts in view.of("AWS::SQS::Queue"):
        found.setdefault(facts.get("QueueName"), (logical, facts))
    return found


def _routed(view: View) -> tuple[Mapping[str, str], Mapping[str, dict[str, str]], list[str]]:
    """Return the authorization of each route, the same by what is behind it, and all in order."""
    routes = {
        facts["RouteKey"]: (facts["AuthorizationType"], view.text(facts["Target"]))
        for _, facts in view.of("AWS::ApiGatewayV2::Route")
    }
    behind: dict[str, dict[str, str]] = {}
    for key, (kind, target) in routes.items():
        behind.setdefault(target, {})[key] = kind
    return {key: kind for key, (kind, _) in routes.items()}, behind, sorted(routes)


def _integrated(view: View) -> Mapping[str | None, list[str]]:
    """Return what routes call the integrations, by what is behind these."""
    found: dict[str | None, list[str]] = {}
    for name, facts in view.of("AWS::ApiGatewayV2::Integration"):
        own = found.setdefault(view.target(facts["IntegrationUri"]), [])
        own.append(f"integrations/${{{name}}}")
    return found


def _routes(view: View, logical: str, binding: Mapping[str, Any]) -> Iterator[str]:
    """Another function may own what a wildcard's root or a 405 would need; never what is named."""
    routes, behind, ordered = view.once(_routed)
    wanted = {route["routeKey"]: route["authorizationType"] for route in binding["routes"]}
    own: dict[str, str] = {}
    for name in view.once(_integrated).get(logical, ()):
        own |= behind.get(name, {})
    for key, kind in wanted.items():
        # A route for all methods, to the same function and callers, is one for each.
        rest = f"ANY {key.partition(' ')[2]}"
        if key not in routes and own.get(rest) == kind:
            own[key] = kind
    if not own.items() <= wanted.items():
        yield f"{logical} has routes or authorizations that it did not ask for"
    if binding["routes"][0]["routeKey"] not in own:
        yield f"{logical} lacks the route {binding['routes'][0]['routeKey']}"
    for key in wanted.keys() - routes.keys() - own.keys():
        if key.startswith("OPTIONS ") and _shape(key, "ANY") in map(_shape, routes):
            # Preflight requests reach another function of the path, which handles OPTIONS itself.
            continue
        shape = key.partition("{")[0]
        # The first that is not before it begins with it, if any does.
        at = bisect_left(ordered, shape)
        if not any(other.startswith(shape) for other in (*ordered[at : at + 1], *own)):
            yield f"{logical} lacks the route {key}"
    facts = _pointing(view, "AWS::ApiGatewayV2::Integration", "IntegrationUri", logical)
    yield from _same(logical, facts, {
        "TimeoutInMillis": binding["timeoutInMillis"],
        "PayloadFormatVersion": binding["payloadFormatVersion"],
    })  # fmt: skip


def _shape(key: str, method: str = "") -> str:
    """Return a route key without the names of its parameters; with another *method*, if given."""
    own, _, path = key.partition(" ")
    parts = ("{}" if part.startswith("{") else part for part in path.split("/"))
    return f"{method or own} {'/'.join(parts)}"


def _source(view: View, function: str) -> str | None:
    """Return what the mapping of *function* reads."""
    found = _pointing(view, "AWS::Lambda::EventSourceMapping", "FunctionName", function)
    return view.target(found.get("EventSourceArn"))


def _notifications(view: View) -> Mapping[str | None, list[tuple[str, Any, Any]]]:
    found: dict[str | None, list[tuple[str, Any, Any]]] = {}
    for _, facts in view.of("AWS::S3::Bucket"):
        name = view.text(facts["BucketName"])
        for entry in facts.get("NotificationConfiguration", {}).get("QueueConfigurations", ()):
            own = found.setdefault(view.target(entry["Queue"]), [])
            own.append((name, entry["Event"], entry.get("Filter", {})))
    return found


def _notified(view: View, logical: str, binding: Mapping[str, Any]) -> Iterator[str]:
    found = view.once(_notifications).get(_source(view, logical), [])
    rules = binding["filter"]["Key"]["FilterRules"]
    narrowed = {"S3Key": {"Rules": rules}} if rules else {}
    if found != [(binding["bucket"], event, narrowed) for event in binding["events"]]:
        yield f"{logical} is not told of the objects it wants"


def _scheduled(view: View, logical: str, binding: Mapping[str, Any]) -> Iterator[str]:
    found = view.once(_schedules).get(_source(view, logical))
    if found is None:
        yield f"{logical} has no schedule"
        return
    name, facts = found
    wanted = ("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow")
    yield from _same(name, facts, {key: binding[key] for key in wanted})
    yield from _same(name, facts, {"Name": binding["functionName"]})
    if json.loads(facts["Target"].get("Input", "null")) != binding["Input"]:
        yield f"{name}: the input is not the one the bridge reads"


def _schedules(view: View) -> Mapping[str | None, tuple[str, Mapping[str, Any]]]:
    found: dict[str | None, tuple[str, Mapping[str, Any]]] = {}
    for name, facts in view.of("AWS::Scheduler::Schedule"):
        found.setdefault(view.target(facts["Target"]["Arn"]), (name, facts))
    return found
