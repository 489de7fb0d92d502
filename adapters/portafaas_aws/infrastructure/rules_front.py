"""Rules of ``verify`` about what calls a function from outside: HTTP and schedules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_aws.infrastructure.view import View

_ROUTE = re.compile(
    r"(ANY|GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) "
    r"(/|(/([A-Za-z0-9._~!$&'()+,;=:@-]+|\{[a-z_][a-z0-9_]*\}))*(/\{[a-z_][a-z0-9_]*\+\})?)\Z"
)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def _apis(view: View) -> Iterator[str]:
    for logical, facts in view.of("AWS::ApiGatewayV2::Api"):
        if facts.get("ProtocolType") != "HTTP":
            yield f"{logical} is no HTTP API"
        if "CorsConfiguration" in facts:
            yield f"{logical} would answer preflight requests in the place of the functions"
        if not any(
            view.target(stage["ApiId"]) == logical
            and stage.get("StageName") == "$default"
            and stage.get("AutoDeploy") is True
            for _, stage in view.of("AWS::ApiGatewayV2::Stage")
        ):
            yield f"{logical}: nothing deploys its routes at the root"
    for logical, stage in view.of("AWS::ApiGatewayV2::Stage"):
        if "DefaultRouteSettings" in stage or "RouteSettings" in stage:
            yield f"{logical} would refuse requests in the place of the functions"
    seen: dict[str, str] = {}
    for logical, facts in view.of("AWS::ApiGatewayV2::Route"):
        key = str(facts.get("RouteKey"))
        if not _ROUTE.match(key):
            yield f"{logical}: {key!r} is no route key"
            continue
        shape = re.sub(r"\{[^}]*?(\+?)\}", r"{\1}", key)
        if shape in seen:
            yield f"{logical} and {seen[shape]} have the same route"
        seen[shape] = logical
        yield from _route(view, logical, facts, key)


def _route(view: View, logical: str, facts: Mapping[str, Any], key: str) -> Iterator[str]:
    if facts.get("AuthorizationType") not in ("NONE", "AWS_IAM"):
        yield f"{logical}: AuthorizationType is {facts.get('AuthorizationType')!r}"
    if "AuthorizerId" in facts or "AuthorizationScopes" in facts:
        yield f"{logical} would check tokens in the place of the functions"
    behind = re.fullmatch(r"integrations/\$\{(\w+)\}", view.text(facts.get("Target")))
    name = behind[1] if behind else None
    integration = view.facts(name, "AWS::ApiGatewayV2::Integration")
    if integration is None:
        yield f"{logical} leads nowhere"
        return
    function = view.target(integration.get("IntegrationUri"))
    if integration.get("ApiId") != facts.get("ApiId"):
        yield f"{name} is of another API than {logical}"
    runs = view.facts(function, "AWS::Lambda::Function")
    if runs is None or integration.get("IntegrationType") != "AWS_PROXY":
        yield f"{name} is not in front of a function"
        return
    if integration.get("PayloadFormatVersion") != "2.0":
        yield f"{name}: the bridge reads payloads of version 2.0"
    waits = integration.get("TimeoutInMillis", 30_000)
    if not 50 <= waits <= 30_000 or runs["Timeout"] * 1000 > waits:
        yield f"{name} waits {waits} ms for {function}, which may take {runs['Timeout']} s"
    method, _, path = key.partition(" ")
    verb = "*" if method == "ANY" else method
    rest = re.sub(r"{[^}]*}", "*", path)
    # The permission for all methods of a path is for each of them.
    ends = tuple(f":${{{view.target(facts['ApiId'])}}}/*/{each}{rest}" for each in (verb, "*"))
    if not any(
        view.text(p.get("SourceArn")).endswith(ends) and p["Action"] == "lambda:InvokeFunction"
        for p in view.admitted(function, "apigateway.amazonaws.com")
    ):
        yield f"{logical} may not invoke {function}"


def _permissions(view: View) -> Iterator[str]:
    routes = [
        str(facts.get("RouteKey")).replace("ANY ", "* ").replace(" ", "")
        for _, facts in view.of("AWS::ApiGatewayV2::Route")
    ]
    ways = {re.sub(r"\{[^}]*\}", "*", route) for route in routes}
    for logical, facts in view.of("AWS::Lambda::Permission"):
        function = view.target(facts["FunctionName"])
        if facts["Principal"] == "apigateway.amazonaws.com" and (
            view.text(facts.get("SourceArn")).partition("}/*/")[2] not in ways
        ):
            yield f"{logical} is for a route that does not exist"
        if facts["Principal"] != "*":
            if "SourceArn" not in facts:
                yield f"{logical} lets any account have {facts['Principal']} invoke {function}"
        elif not (
            facts.get("FunctionUrlAuthType") == "NONE" or facts.get("InvokedViaFunctionUrl") is True
        ):
            yield f"{logical} lets everyone invoke {function}"
        elif function not in view.once(_public):
            yield f"{logical} opens {function}, which has no public URL"
    for logical, url in view.of("AWS::Lambda::Url"):
        function = view.target(url["TargetFunctionArn"])
        given = {permission["Action"] for permission in view.admitted(function, "*")}
        wanted = {"lambda:InvokeFunction", "lambda:InvokeFunctionUrl"}
        if "Cors" in url:
            yield f"{logical} would answer preflight requests in the place of the functions"
        if url.get("InvokeMode", "BUFFERED") != "BUFFERED":
            yield f"{logical}: the bridge answers with one value"
        if url.get("AuthType") not in ("NONE", "AWS_IAM"):
            yield f"{logical}: AuthType is {url.get('AuthType')!r}"
        if url.get("AuthType") == "NONE" and given != wanted:
            yield f"{logical} is public and may not invoke {function}"


def _public(view: View) -> set[str | None]:
    return {
        view.target(url["TargetFunctionArn"])
        for _, url in view.of("AWS::Lambda::Url")
        if url["AuthType"] == "NONE"
    }


def _schedules(view: View) -> Iterator[str]:
    for logical, facts in view.of("AWS::Scheduler::Schedule"):
        target = facts["Target"]
        inbox, role = view.target(target.get("Arn")), view.target(target.get("RoleArn"))
        reached = view.facts(inbox, "AWS::SQS::Queue")
        read = view.leading("AWS::Lambda::EventSourceMapping", "EventSourceArn")
        if reached is None or reached.get("FifoQueue") or inbox not in read:
            yield f"{logical} reaches no queue that a function reads"
        if not view.may(role, ("sqs:SendMessage",), target.get("Arn")):
            yield f"{logical} may not send to {inbox}"
        dead = target.get("DeadLetterConfig", {}).get("Arn")
        queue = view.facts(view.target(dead), "AWS::SQS::Queue")
        if queue is None or queue.get("FifoQueue"):
            yield f"{logical}: what cannot be delivered is lost"
        elif not view.may(role, ("sqs:SendMessage",), dead):
            yield f"{logical}: what cannot be delivered may not be sent to {view.target(dead)}"
        if facts.get("FlexibleTimeWindow") != {"Mode": "OFF"}:
            yield f"{logical} is not on time"
        if facts.get("State", "ENABLED") != "ENABLED":
            yield f"{logical} is switched off"
        if not cron_fits(str(facts.get("ScheduleExpression"))):
            yield f"{logical}: {facts.get('ScheduleExpression')!r} is no expression of Scheduler"
        if not _zone(facts.get("ScheduleExpressionTimezone")):
            yield f"{logical}: no time zone {facts.get('ScheduleExpressionTimezone')!r}"
        age = target.get("RetryPolicy", {}).get("MaximumEventAgeInSeconds", 0)
        if not 60 <= age <= 86_400:
            yield f"{logical}: MaximumEventAgeInSeconds {age} is not between 60 and 86400"
        try:
            time = json.loads(target.get("Input", "")).get("time")
        except (ValueError, AttributeError):
            time = None
        if time != "<aws.scheduler.scheduled-time>":
            yield f"{logical} does not tell the function which instant it stands for"


def _zone(name: Any) -> bool:
    from zoneinfo import ZoneInfo

    try:
        return bool(ZoneInfo(name).key)
    except (ValueError, OSError, KeyError, TypeError):
        return False


def cron_fits(expression: str) -> bool:
    """Return whether *expression* is a ``cron(...)`` of Scheduler: six fields, one day a ``?``.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    """
    match = re.fullmatch(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)", expression)
    if match is None:
        return False
    minute, hour, day, month, weekday, year = match.groups()
    return (
        (day == "?") != (weekday == "?")
        and _field(minute, 0, 59)
        and _field(hour, 0, 23)
        and (day in ("?", "L", "LW") or re.fullmatch(r"\d+W", day) or _field(day, 1, 31))
        and _field(month, 1, 12, _MONTHS)
        and (weekday == "?" or _weekday(weekday))
        and _field(year, 1970, 2199)
    ) is True


def _weekday(text: str) -> bool:
    single = re.fullmatch(r"(\w+?)(L|#[1-5])", text)
    return _field(single[1] if single else text, 1, 7, _DAYS)


def _field(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> bool:
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isdigit() and int(step) > 0):
            return False
        if span == "*":
            continue
        values = []
        for end in span.split("-"):
            if end in names:
                values.append(names.index(end) + low)
            elif end.isdigit() and low <= int(end) <= high:
                values.append(int(end))
            else:
                return False
        if len(values) > 2 or values != sorted(values):
            return False
    return True


RULES = (_apis, _permissions, _schedules)
