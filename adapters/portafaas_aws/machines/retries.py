"""Retry rules of steps as retriers of states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from portafaas.runtime import states as rules
from portafaas_aws.machines.scope import LATE, State
from portafaas_aws.runtime.task import OWN, RESERVED

#: Errors of the service around a function's call, which says that nothing is wrong with the call.
#: https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html
TRANSIENT = (
    "Lambda.ClientExecutionTimeoutException", "Lambda.ServiceException",
    "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException",
)  # fmt: skip
TRANSIENT_RETRY = {
    "IntervalSeconds": 1, "MaxAttempts": 6, "BackoffRate": 2, "JitterStrategy": "FULL",
}  # fmt: skip


def whole(seconds: float) -> int:
    """Return whole seconds, a year at most."""
    return ceil(min(seconds, 31_536_000))


def private(name: str) -> str:
    """Return how a function tells of an error whose name is the service's own."""
    return OWN + name.removeprefix(RESERVED)


def named(given: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return retry rules with the names that functions tell.

    A timeout that a function tells is an error like others to the service. So a rule for
    ``States.TaskFailed``, which has to leave it alone, comes after the one that is for it.
    """
    found: list[Mapping[str, Any]] = []
    plain = (rules.ALL, rules.TASK_FAILED)
    for rule in given:
        errors = list(rule["errors"])
        errors += [
            private(name) for name in errors if name.startswith(RESERVED) and name not in plain
        ]
        errors += [LATE] * (rules.TIMEOUT in errors)
        found.append({**rule, "errors": errors})
    timeout = private(rules.TIMEOUT)
    owner = next(
        (i for i, r in enumerate(found) if {rules.ALL, timeout} & set(r["errors"])), len(found)
    )
    wide = next(
        (i for i, rule in enumerate(found) if rules.TASK_FAILED in rule["errors"]), len(found)
    )
    if wide < owner:
        # Whatever else the owner is for, the other takes.
        late = found.pop(owner) if owner < len(found) else {**found[wide], "attempts": 1}
        found.insert(wide, {**late, "errors": [rules.TIMEOUT, timeout, LATE]})
    return found


def retriers(given: Sequence[Mapping[str, Any]]) -> list[State]:
    """Return retry rules as retriers; what comes after one for all errors is never asked.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    found: list[State] = []
    for rule in given:
        wide = rules.ALL in rule["errors"]
        retrier: State = {
            "ErrorEquals": [rules.ALL] if wide else list(rule["errors"]),
            "IntervalSeconds": whole(rules.delay(rule, 1)),
            "MaxAttempts": rule["attempts"] - 1,
            "BackoffRate": rule["factor"],
        }
        most = rule.get("max")
        if most is not None and most > rule["initial"]:
            retrier["MaxDelaySeconds"] = whole(most)
        elif most is not None:
            retrier["BackoffRate"] = 1
        if rule["jitter"]:
            retrier["JitterStrategy"] = "FULL"
        found.append(retrier)
        if wide:
            break
    return found
