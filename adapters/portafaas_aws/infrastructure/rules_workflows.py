"""Rules of ``verify`` about state machines: each is whole, and may do what its states do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_aws.infrastructure.view import View

#: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
_DEFINITION, _STATE = 1_048_576, 80
_PLACE = re.compile(r"\$\{([^}]+)\}")
_MACHINE = "AWS::StepFunctions::StateMachine"


def _machines(view: View) -> Iterator[str]:
    for logical, facts in view.of(_MACHINE):
        if facts.get("StateMachineType") != "STANDARD":
            yield f"{logical} keeps no history: it is not STANDARD"
        text = view.text(facts.get("DefinitionString"))
        if len(text.encode()) > _DEFINITION:
            yield f"{logical}: its definition has over {_DEFINITION} bytes"
        try:
            document = json.loads(text)
        except ValueError as error:
            yield f"{logical}: its definition is no JSON: {error}"
            continue
        seen: set[str] = set()
        yield from (f"{logical}: {fault}" for fault in _states(document, seen))
        yield from (f"{logical} {fault}" for fault in _access(view, facts, document))
        yield from _log(view, logical, facts)


def _states(machine: Mapping[str, Any], seen: set[str]) -> Iterator[str]:
    """Yield what no interpreter would take: dangling, unreachable and double names."""
    states = machine["States"]
    reached, waiting = set(), [machine["StartAt"]]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        if name not in states:
            yield f"there is no state {name!r} among its neighbours"
            continue
        reached.add(name)
        state = states[name]
        targets = [state.get("Next"), state.get("Default")]
        targets += [rule.get("Next") for rule in state.get("Choices", ())]
        targets += [rule.get("Next") for rule in state.get("Catch", ())]
        waiting += [target for target in targets if target]
    for name, state in states.items():
        if name not in reached:
            yield f"nothing leads to {name!r}"
        if name in seen or len(name) > _STATE:
            yield f"the name {name!r} is taken, or longer than {_STATE} characters"
        seen.add(name)
        ends = [key for key in ("Next", "End") if key in state]
        wanted = 0 if state["Type"] in ("Choice", "Succeed", "Fail") else 1
        if len(ends) != wanted:
            yield f"{name!r} has {' and '.join(ends) or 'neither Next nor End'}"
        yield from _retries(name, state)
        for inner in _inner(state):
            yield from _states(inner, seen)


def _inner(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    own = [state["ItemProcessor"]] if "ItemProcessor" in state else []
    return [*own, *state.get("Branches", ())]


def _retries(name: str, state: Mapping[str, Any]) -> Iterator[str]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""
    for key in ("Retry", "Catch"):
        rules = state.get(key, ())
        for place, rule in enumerate(rules):
            errors = rule["ErrorEquals"]
            last = place == len(rules) - 1
            if not errors or ("States.ALL" in errors and (len(errors) > 1 or not last)):
                yield f"{name!r}: States.ALL stands alone and last in {key}"
            interval, rate = rule.get("IntervalSeconds", 1), rule.get("BackoffRate", 1)
            most = rule.get("MaxDelaySeconds", interval + 1)
            whole = all(type(n) is int for n in (interval, most, rule.get("MaxAttempts", 0)))
            if not whole or interval < 1 or rate < 1 or not interval < most <= 31_622_400:
                yield f"{name!r}: a retrier has {interval!r}, {rate!r}, {most!r}"
    for key in ("TimeoutSeconds", "Seconds"):
        if type(state.get(key, 1)) is not int:
            yield f"{name!r}: {key} is {state[key]!r}"


def _access(view: View, facts: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    """The role permits what the tasks call, and no function or machine beside."""
    wanted: set[tuple[str, str]] = set()
    for state in _every(document):
        if state["Type"] != "Task":
            continue
        resource, parameters = state["Resource"], state.get("Parameters", {})
        if resource.startswith("${"):
            wanted.add(("lambda:InvokeFunction", resource))
        elif "sns:publish" in resource:
            wanted.add(("sns:Publish", parameters["TopicArn"]))
        elif "states:startExecution" in resource:
            wanted.add(("states:StartExecution", parameters["StateMachineArn"]))
        else:
            yield f"calls {resource}, of which nothing is known"
    calls = ("lambda:InvokeFunction", "sns:Publish", "states:StartExecution")
    granted = {
        (action, view.text(statement["Resource"]))
        for statement in view.statements(view.target(facts.get("RoleArn")))
        for action in statement["Action"]
        if action in calls
    }
    for action, resource in sorted(wanted ^ granted):
        may = "may not" if (action, resource) in wanted else "need not"
        yield f"{may} {action} on {resource}"
    for _, resource in wanted:
        name = _PLACE.findall(resource)[0].partition(".")[0]
        types = ("AWS::Lambda::Function", "AWS::SNS::Topic", _MACHINE)
        if view.resources.get(name, {}).get("Type") not in types:
            yield f"calls {name}, which is nothing to call"


def _every(machine: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for state in machine["States"].values():
        yield state
        for inner in _inner(state):
            yield from _every(inner)


def _log(view: View, logical: str, facts: Mapping[str, Any]) -> Iterator[str]:
    logging = facts.get("LoggingConfiguration", {})
    groups = [
        view.facts(view.target(one["CloudWatchLogsLogGroup"]["LogGroupArn"]), "AWS::Logs::LogGroup")
        for one in logging.get("Destinations", ())
    ]
    if len(groups) != 1 or groups[0] is None:
        yield f"{logical} writes to no log of the template"
    elif not str(groups[0].get("LogGroupName")).startswith("/aws/vendedlogs/states/"):
        # Others fill up the account's resource policy.
        yield f"{logical}: its log is not one of vended logs"
    if logging.get("IncludeExecutionData"):
        yield f"{logical} writes documents into its log"


RULES = (_machines,)
