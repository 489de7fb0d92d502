"""A template as the rules of ``verify`` look at it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_VARIABLE = re.compile(r"\$\{(?!!)([^}]+)\}")


class View:
    """Looks things up in a template."""

    __slots__ = ("document", "parameters", "resources")

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.resources: Mapping[str, Any] = document["Resources"]
        self.parameters: Mapping[str, Any] = document.get("Parameters", {})

    def of(self, type: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the logical id and the properties of each resource of *type*."""
        for logical, resource in self.resources.items():
            if resource["Type"] == type:
                yield logical, resource["Properties"]

    def facts(self, logical: str | None, type: str) -> Mapping[str, Any] | None:
        """Return the properties of *logical*, or None when it is no resource of *type*."""
        resource = self.resources.get(logical or "")
        found: Mapping[str, Any] | None = None
        if resource is not None and resource["Type"] == type:
            found = resource["Properties"]
        return found

    def references(self, value: Any) -> Iterator[str]:
        """Yield every name that *value* refers to."""
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "Ref":
                    yield str(inner)
                elif key == "Fn::GetAtt":
                    yield str(inner[0])
                elif key == "Fn::Sub":
                    for name in _VARIABLE.findall(inner):
                        yield name if name.startswith("AWS::") else name.partition(".")[0]
                else:
                    yield from self.references(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                yield from self.references(inner)

    def attributes(self, value: Any) -> Iterator[tuple[str, str]]:
        """Yield every logical id and attribute that *value* asks for by ``Fn::GetAtt``."""
        if isinstance(value, dict):
            if "Fn::GetAtt" in value:
                yield value["Fn::GetAtt"][0], value["Fn::GetAtt"][1]
            for inner in value.values():
                yield from self.attributes(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                yield from self.attributes(inner)

    def target(self, value: Any) -> str | None:
        """Return the logical id that *value* is a ``Ref`` or a ``Fn::GetAtt`` of."""
        if isinstance(value, Mapping) and len(value) == 1:
            if "Ref" in value:
                return str(value["Ref"])
            if "Fn::GetAtt" in value:
                return str(value["Fn::GetAtt"][0])
        return None

    def text(self, value: Any) -> str:
        """Return *value* as ``Fn::Sub`` would write it."""
        if isinstance(value, Mapping):
            if "Ref" in value:
                return f"${{{value['Ref']}}}"
            if "Fn::GetAtt" in value:
                return f"${{{'.'.join(value['Fn::GetAtt'])}}}"
            if "Fn::Sub" in value:
                return str(value["Fn::Sub"])
        return str(value)

    def statements(self, role: str | None) -> list[Mapping[str, Any]]:
        """Return the statements of *role*; none for what is no role."""
        facts = self.facts(role, "AWS::IAM::Role") or {}
        return [
            statement
            for policy in facts.get("Policies", ())
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def may(self, role: str | None, actions: Sequence[str], resource: Any) -> bool:
        """Return whether *role* permits all *actions* on exactly *resource*."""
        granted = {
            action
            for statement in self.statements(role)
            if statement["Resource"] == resource and statement["Effect"] == "Allow"
            for action in statement["Action"]
        }
        return set(actions) <= granted

    def role_of(self, function: str | None) -> str | None:
        """Return the logical id of the role of *function*."""
        facts = self.facts(function, "AWS::Lambda::Function") or {}
        return self.target(facts.get("Role"))

    def admitted(self, function: str | None, principal: str) -> Iterator[Mapping[str, Any]]:
        """Yield the permissions under which *principal* may invoke *function*."""
        for _, facts in self.of("AWS::Lambda::Permission"):
            if self.target(facts["FunctionName"]) == function and facts["Principal"] == principal:
                yield facts
