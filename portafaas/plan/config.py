"""The service's typed settings, which functions get as one variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas.plan.triggers import Findings

#: Variable with all settings as JSON; ``context.config`` reads it.
VARIABLE = "PORTAFAAS_CONFIG"

_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "list": list,
}
#: The types that a check is of: it must not be there in vain.
_CHECKS: Mapping[str, tuple[str, ...]] = {
    "minimum": ("integer", "number"),
    "maximum": ("integer", "number"),
    "pattern": ("string", "list"),
}


def config(found: Findings, block: Mapping[str, Any], stages: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings by name; PF2017 goes to *found*. *stages* is the manifest's block."""
    values = {}
    for name, spec in block.items():
        path = ("config", name)
        if "value" not in spec:
            having = [
                stage
                for stage, part in stages.items()
                if "value" in (((part or {}).get("config") or {}).get(name) or {})
            ]
            hint = f"; stages that have one: {', '.join(having)}" if having else ""
            where = f" in stage {found.manifest.stage!r}" if found.manifest.stage else ""
            found.add(
                "PF2017", path, f"setting {name!r} has no value{where}", f"give it one{hint}"
            )
            continue
        value = values[name] = spec["value"]
        problem = _problem(spec, value)
        if problem:
            found.add("PF2017", (*path, "value"), f"setting {name!r}: {problem}")
    return values


def _problem(spec: Mapping[str, Any], value: Any) -> str:
    kind = spec["type"]
    wanted = _TYPES[kind]
    for key, kinds in _CHECKS.items():
        if key in spec and kind not in kinds:
            return f"{key} is of {' and '.join(kinds)}, not of type {kind}"
    if spec.get("minimum", 0) > spec.get("maximum", spec.get("minimum", 0)):
        return f"the minimum {spec['minimum']} is more than the maximum {spec['maximum']}"
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        return f"{value!r} is not of type {kind}"
    if "enum" in spec and value not in spec["enum"]:
        return f"{value!r} is not one of {', '.join(map(str, spec['enum']))}"
    if kind in ("integer", "number"):
        if "minimum" in spec and value < spec["minimum"]:
            return f"{value} is less than {spec['minimum']}"
        if "maximum" in spec and value > spec["maximum"]:
            return f"{value} is more than {spec['maximum']}"
    if "pattern" in spec:
        return _pattern(spec["pattern"], value)
    return ""


def _pattern(pattern: str, value: Any) -> str:
    import re

    try:
        compiled = re.compile(pattern)
    except re.error as exc:
        return f"the pattern {pattern!r} is no regular expression: {exc}"
    for text in value if isinstance(value, list) else [value]:
        if not isinstance(text, str) or compiled.fullmatch(text) is None:
            return f"{text!r} does not match {pattern!r}"
    return ""


def variable(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the variable that carries *values*: nothing when there are none."""
    if not values:
        return {}
    import json

    return {VARIABLE: json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))}
