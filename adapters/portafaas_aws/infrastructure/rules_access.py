"""Rules of ``verify`` about functions and what they may do."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from portafaas.adapter import Permission
from portafaas_aws.infrastructure.view import View

_ACTION = re.compile(r"[a-z0-9-]+:[A-Z][A-Za-z]+\Z")
#: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_RUNTIMES = ("python3.10", "python3.11", "python3.12", "python3.13")
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
)  # fmt: skip

_OWN_SCHEDULES = {
    "aws:SourceAccount": "${AWS::AccountId}",
    "aws:SourceArn": (
        "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule-group/default"
    ),
}

_OWN_MACHINES = (
    "${AWS::AccountId}",
    "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:*",
)
#: What a machine's log needs can be given on everything only.
#: https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
_WIDE = re.compile(r"logs:[A-Za-z]*(LogDeliver(y|ies)|ResourcePolic(y|ies)|LogGroups)")


def _functions(view: View) -> Iterator[str]:
    roles: Counter[str | None] = Counter()
    for logical, facts in view.of("AWS::Lambda::Function"):
        if facts.get("Runtime") not in _RUNTIMES:
            yield f"{logical}: Lambda has no runtime {facts.get('Runtime')!r}"
        if not re.fullmatch(r"_portafaas\.[a-z_][a-z0-9_]*", str(facts.get("Handler"))):
            yield f"{logical}: {facts.get('Handler')!r} is not in the entry module"
        for key, low, high in (("Timeout", 1, 900), ("MemorySize", 128, 10_240)):
            value = facts.get(key)
            if not isinstance(value, int) or not low <= value <= high:
                yield f"{logical}: {key} {value!r} is not between {low} and {high}"
        code = {key: view.target(value) for key, value in facts.get("Code", {}).items()}
        if code != {"S3Bucket": "CodeBucket", "S3Key": "CodeKey"}:
            yield f"{logical} does not run the package of the parameters"
        roles[view.role_of(logical)] += 1
        yield from _log(view, logical, facts)
        yield from _variables(view, logical, facts)
    for role, users in roles.items():
        if users > 1 or role is None:
            yield f"{users} functions run as {role}; each has a role of its own"


def _log(view: View, logical: str, facts: Mapping[str, Any]) -> Iterator[str]:
    group = view.target(facts.get("LoggingConfig", {}).get("LogGroup"))
    log = view.facts(group, "AWS::Logs::LogGroup")
    if log is None:
        yield f"{logical} writes to no log of the template"
        return
    if log.get("LogGroupName") != f"/aws/lambda/{facts.get('FunctionName')}":
        yield f"{group} is not named after {logical}"
    if log.get("RetentionInDays") not in _DAYS:
        yield f"{group}: CloudWatch keeps no log {log.get('RetentionInDays')!r} days"
    actions = ("logs:CreateLogStream", "logs:PutLogEvents")
    if not view.may(view.role_of(logical), actions, {"Fn::GetAtt": [group, "Arn"]}):
        yield f"{logical} may not write its log"


def _variables(view: View, logical: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """What a function is told the name of it may use, and the other way round."""
    variables = facts.get("Environment", {}).get("Variables", {})
    named: set[str] = set()
    size = sum(len(name) + len(text) for name, text in variables.items() if isinstance(text, str))
    if size > 4096:
        yield f"{logical}: its variables have {size} bytes; Lambda takes 4096"
    for name, value in variables.items():
        if name.startswith(("AWS_", "LAMBDA_")):
            yield f"{logical}: Lambda sets {name} itself"
        if re.match(r"PORTAFAAS_(QUEUE|TOPIC|BUCKET|TABLE|SECRET|WORKFLOW)_", name):
            named.add(_named(view, value))
    granted = {
        _named(view, statement["Resource"])
        for statement in view.statements(view.role_of(logical))
        if re.match(r"(Read|Write|Send|Publish|Start)", statement.get("Sid", ""))
    }
    for name in sorted(named ^ granted):
        what = "may not use" if name in named else "is not told the name of"
        yield f"{logical} {what} {name}"


def _named(view: View, value: Any) -> str:
    """Return the resource that a variable or a statement is about; buckets go by their names."""
    text = view.target(value) or view.text(value)
    return text.rpartition(":::")[2].removesuffix("/*")


def invoked(view: View) -> set[str | None]:
    """Return all that anything invokes."""
    sources = (
        ("AWS::Lambda::Permission", "FunctionName"),
        ("AWS::Lambda::EventSourceMapping", "FunctionName"),
        ("AWS::Lambda::Url", "TargetFunctionArn"),
    )
    found = {view.target(facts[key]) for type, key in sources for _, facts in view.of(type)}
    for logical, _ in view.of("AWS::StepFunctions::StateMachine"):
        found.update(view.uses(logical)[0])
    return found


def _roles(view: View) -> Iterator[str]:
    used = {view.role_of(logical): "lambda" for logical, _ in view.of("AWS::Lambda::Function")}
    for _, facts in view.of("AWS::Scheduler::Schedule"):
        used[view.target(facts["Target"].get("RoleArn"))] = "scheduler"
    for _, facts in view.of("AWS::StepFunctions::StateMachine"):
        used[view.target(facts.get("RoleArn"))] = "states"
    for logical, facts in view.of("AWS::IAM::Role"):
        service = used.get(logical)
        if service is None:
            yield f"nothing takes {logical}"
            continue
        documents = [
            facts["AssumeRolePolicyDocument"],
            *(policy["PolicyDocument"] for policy in facts["Policies"]),
        ]
        if any(document.get("Version") != "2012-10-17" for document in documents):
            yield f"{logical} is written in another policy language"
        trusts = documents[0]["Statement"]
        if len(trusts) != 1:
            yield f"{logical} is for {len(trusts)} services"
        for trust in trusts:
            if trust.get("Principal") != {"Service": f"{service}.amazonaws.com"}:
                yield f"{logical} does not trust {service}.amazonaws.com alone"
            if trust.get("Action") != "sts:AssumeRole" or trust.get("Effect") != "Allow":
                yield f"{logical} cannot be taken"
            if service == "scheduler" and {
                key: view.text(value)
                for key, value in trust.get("Condition", {}).get("StringEquals", {}).items()
            } != _OWN_SCHEDULES:
                yield f"{logical} may be taken for schedules of others, or not for its own"
            if service == "states" and not _own_machines(view, trust.get("Condition", {})):
                yield f"{logical} may be taken for machines of others, or not for its own"
        if facts.get("ManagedPolicyArns"):
            yield f"{logical} has policies that the manifest did not ask for"
        yield from _statements(view, logical)


def _own_machines(view: View, condition: Mapping[str, Any]) -> bool:
    account = condition.get("StringEquals", {}).get("aws:SourceAccount")
    source = condition.get("ArnLike", {}).get("aws:SourceArn")
    return (view.text(account), view.text(source)) == _OWN_MACHINES


def _statements(view: View, role: str) -> Iterator[str]:
    sids = Counter(statement.get("Sid") for statement in view.statements(role))
    for sid, count in sids.items():
        if count > 1 or not sid:
            yield f"{role}: {count} statements are called {sid!r}"
    for statement in view.statements(role):
        where = f"{role}: statement {statement.get('Sid')}"
        if statement.get("Effect") != "Allow":
            yield f"{where} does not allow"
        for action in statement["Action"]:
            if not _ACTION.match(action):
                yield f"{where} has the action {action!r}"
        resource = view.text(statement["Resource"])
        # Objects of a bucket are the one thing nobody can list beforehand.
        narrow = resource.removesuffix("/*") if ":s3:::" in resource else resource
        if ":execution:" in resource:
            # Nor all runs of a machine.
            narrow = resource.removesuffix(":*")
        elif resource == "*" and all(_WIDE.fullmatch(action) for action in statement["Action"]):
            narrow = ""
        if "*" in narrow or "?" in narrow:
            yield f"{where} is about {resource!r}"


def permits(view: View, permissions: Sequence[Permission]) -> Iterator[str]:
    """The roles permit what *permissions* say, action by action, and nothing else."""
    if not permissions:
        return
    # The entry is the name of the function, as an identifier.
    holders = {
        view.role_of(logical): str(facts["Handler"]).rpartition(".")[2].replace("_", "-")
        for logical, facts in view.of("AWS::Lambda::Function")
    }
    for _, facts in view.of("AWS::Scheduler::Schedule"):
        inbox = view.target(facts["Target"].get("Arn"))
        readers = [
            view.target(mapping["FunctionName"])
            for _, mapping in view.of("AWS::Lambda::EventSourceMapping")
            if view.target(mapping["EventSourceArn"]) == inbox
        ]
        runs = view.role_of(readers[0] if readers else None)
        holders[view.target(facts["Target"].get("RoleArn"))] = holders.get(runs, "")
    for _, facts in view.of("AWS::StepFunctions::StateMachine"):
        comment = json.loads(view.text(facts["DefinitionString"]))["Comment"]
        holders[view.target(facts.get("RoleArn"))] = f"workflow:{comment.split('.')[0][9:]}"
    told = Counter(
        (permission.function, permission.grant, _short(permission.scope))
        for permission in permissions
    )
    found: Counter[tuple[str, str, str]] = Counter()
    for role, _ in view.of("AWS::IAM::Role"):
        for statement in view.statements(role):
            scope = _short(_scope(view, statement["Resource"]))
            found.update((holders.get(role, ""), action, scope) for action in statement["Action"])
    for what, rest in (("not told", found - told), ("not permitted", told - found)):
        for function, action, scope in rest:
            yield f"{function}: {action} on {scope} is {what}"


def _short(scope: str) -> str:
    """Return the name at the end of an ARN, without account and region."""
    return re.sub(r"\$\{AWS::\w+\}", "", scope).split(":", 5)[-1]


def _scope(view: View, resource: Any) -> str:
    """Return what a statement is about, as a permission names it."""
    logical = view.target(resource)
    if logical is None:
        return view.text(resource)
    facts = view.resources[logical]["Properties"]
    match view.resources[logical]["Type"]:
        case "AWS::SQS::Queue":
            name = facts["QueueName"]
        case "AWS::SNS::Topic":
            name = facts["TopicName"]
        case "AWS::DynamoDB::Table":
            stream = "/stream/*" if resource.get("Fn::GetAtt", ("", ""))[1] == "StreamArn" else ""
            name = f"table/{facts['TableName']}{stream}"
        case "AWS::SecretsManager::Secret":
            name = f"secret:{facts['Name']}-??????"
        case "AWS::Logs::LogGroup":
            name = f"log-group:{facts['LogGroupName']}:*"
        case "AWS::StepFunctions::StateMachine":
            name = f"stateMachine:{facts['StateMachineName']}"
        case "AWS::Lambda::Function":
            name = f"function:{facts['FunctionName']}"
        case _:
            name = logical
    return f"arn:::::{name}"


RULES = (_functions, _roles)
