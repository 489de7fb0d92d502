"""A function's environment and retry settings: defaults, its own, and what they may not be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.plan.model import HttpTrigger, Retry, Trigger
from portafaas.plan.triggers import Findings
from portafaas.plan.values import seconds

# Reserved by one platform or another; a function that sets one would behave differently there.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings
# https://cloud.google.com/run/docs/configuring/services/environment-variables
_RESERVED = (
    "AWS_",
    "LAMBDA_",
    "_HANDLER",
    "FUNCTIONS_",
    "WEBSITE_",
    "X_GOOGLE_",
    "K_",
    "PORTAFAAS_",
)
_RESERVED_NAMES = frozenset(
    ("PORT", "TZ", "FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE", "PYTHONPATH", "PYTHONHOME")
)
#: Lambda: all variables together (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
_ENVIRONMENT_BYTES = 4096


def environment(
    found: Findings,
    path: tuple[str, ...],
    defaults: Mapping[str, Any],
    spec: Mapping[str, Any],
    ours: Mapping[str, str],
) -> dict[str, str]:
    """Return the variables of a function: ours, the defaults' and its own.

    PF2011 goes to *found*.
    """
    merged: dict[str, str] = dict(ours)
    for origin, values in ((("defaults",), defaults), (path, spec)):
        for name, value in (values.get("environment") or {}).items():
            if name.startswith(_RESERVED) or name in _RESERVED_NAMES:
                found.add(
                    "PF2011",
                    (*origin, "environment", name),
                    f"variable {name!r} is reserved by a platform",
                    "choose another name",
                )
            merged[name] = str(value).lower() if isinstance(value, bool) else str(value)
    size = sum(len(name) + len(value.encode()) for name, value in merged.items())
    if size > _ENVIRONMENT_BYTES:
        found.add(
            "PF2011",
            (*path, "environment"),
            f"the environment has {size} bytes; at most {_ENVIRONMENT_BYTES}",
            "ship a configuration file, or use secrets",
        )
    return dict(sorted(merged.items()))


def instances(
    found: Findings, path: tuple[str, ...], defaults: Mapping[str, Any], spec: Mapping[str, Any]
) -> tuple[int, int]:
    """Return how many instances are kept ready, and the most there may be (0: no bound).

    PF2020 goes to *found*; of the defaults once.
    """
    least, most = (
        int(spec.get(name, defaults.get(name, 0))) for name in ("min-instances", "max-instances")
    )
    if most and least > most:
        own = "min-instances" in spec or "max-instances" in spec
        problem = found.manifest.diagnostic(
            "PF2020",
            (*(path if own else ("defaults",)), "min-instances"),
            f"{least} instances are kept ready, but there may be {most} at most",
            "lower 'min-instances' or raise 'max-instances'",
        )
        if problem not in found.problems:
            found.problems.append(problem)
    return least, most


def retry(
    found: Findings,
    path: tuple[str, ...],
    trigger: Trigger,
    defaults: Mapping[str, Any],
    spec: Mapping[str, Any],
) -> Retry:
    """Return how a function's failed deliveries are repeated; PF2014 goes to *found*."""
    own = spec.get("retry")
    if own is not None and isinstance(trigger, HttpTrigger):
        found.add(
            "PF2014",
            (*path, "retry"),
            "an http function is never retried by a platform",
            "retry in the client, or send the work to a queue",
        )
    values = {**(defaults.get("retry") or {}), **(own or {})}
    initial, longest = seconds(values.get("initial", 1)), seconds(values.get("max", 60))
    if initial > longest:
        origin = path if own is not None else ("defaults",)
        found.add(
            "PF2014",
            (*origin, "retry"),
            f"the first delay ({initial:g} s) is longer than the longest ({longest:g} s)",
            "lower 'initial' or raise 'max'",
        )
    return Retry(
        values.get("attempts", 5),
        values.get("backoff", "exponential"),
        initial,
        longest,
        values.get("jitter", True),
        seconds(values.get("max-age", 86_400)),
        bool(values),
    )
