"""How routines of the library are written down."""

from __future__ import annotations

from typing import Any

from portafaas_gcp.workflows.expressions import expression as e

Routine = dict[str, Any]


def routine(params: list[str], *steps: dict[str, Any]) -> Routine:
    """Return a routine."""
    return {"params": params, "steps": list(steps)}


def assign(name: str, *pairs: tuple[str, Any], next: str | None = None) -> dict[str, Any]:
    """Return a step that assigns."""
    step: dict[str, Any] = {"assign": [{variable: value} for variable, value in pairs]}
    if next is not None:
        step["next"] = next
    return {name: step}


def call(
    name: str, routine: str, result: str | None = None, next: str | None = None, /, **args: Any
) -> dict[str, Any]:
    """Return a step that calls."""
    step: dict[str, Any] = {"call": routine, "args": args}
    if result is not None:
        step["result"] = result
    if next is not None:
        step["next"] = next
    return {name: step}


def switch(name: str, *rules: tuple[str, str], next: str | None = None) -> dict[str, Any]:
    """Return a step that goes where the first true condition says."""
    step: dict[str, Any] = {"switch": [{"condition": e(code), "next": to} for code, to in rules]}
    if next is not None:
        step["next"] = next
    return {name: step}


def returns(name: str, value: Any) -> dict[str, Any]:
    """Return a step that returns."""
    return {name: {"return": value}}


def fault(name: str, error: str, cause: Any) -> dict[str, Any]:
    """Return a step that raises an error of the steps around it."""
    return {name: {"raise": {"portafaas": error, "cause": cause}}}
