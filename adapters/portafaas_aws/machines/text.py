"""A definition as text, in which ``Fn::Sub`` finds what it is to put in, and nothing else."""

from __future__ import annotations

import json
from typing import Any


class Place(str):
    """An address that the template puts in: ``${ChargeFunction.Arn}``."""

    __slots__ = ()


def encoded(value: Any) -> str:
    """Return *value* as JSON; what looks like a variable of ``Fn::Sub`` and is none is escaped."""
    if isinstance(value, Place):
        return json.dumps(str(value))
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, dict):
        inner = (f"{_plain(name)}:{encoded(one)}" for name, one in value.items())
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(encoded, value)) + "]"
    return json.dumps(value)


def _plain(text: str) -> str:
    # Characters as JSON names them: CloudFormation sees no variable, Step Functions the same text.
    found = json.dumps(text, ensure_ascii=False)
    return found.replace("${", "\\u0024{").replace("{{", "\\u007b\\u007b")
