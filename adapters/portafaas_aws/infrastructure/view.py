"""A template as the rules of ``verify`` look at it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

_VARIABLE = re.compile(r"\$\{(?!!)([^}]+)\}")


T = TypeVar("T")


class View:
    """Looks things up in a template, which stays as it is: what was found once is kept."""

    __slots__ = ("_found", "_typed", "_walked", "document", "parameters", "resources")

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.resources: Mapping[str, Any] = document["Resources"]
        self.parameters: Mapping[str, Any] = document.get("Parameters", {})
        self._typed: dict[str, list[tuple[str, Any]]] | None = None
        self._walked: dict[str, tuple[list[str], list[tuple[str, str]]]] = {}
        self._found: dict[Any, Any] = {}

    def once(self, make: Callable[[View], T]) -> T:
        """Return what *make* says of this template; it is asked once."""
        if make not in self._found:
            self._found[make] = make(self)
        found: T = self._found[make]
        return found

    def uses(self, logical: str) -> tuple[list[str], list[tuple[str, str]]]:
        """Return what :func:`walk` finds in the resource *logical*."""
        found = self._walked.get(logical)
        if found is None:
            found = self._walked[logical] = walk(self.resources[logical])
        return found

    def leading(self, type: str, key: str) -> Mapping[str | None, list[Mapping[str, Any]]]:
        """Return the properties of resources of *type* by what their property *key* refers to."""
        found: dict[str | None, list[Mapping[str, Any]]] | None = self._found.get((type, key))
        if found is None:
            found = self._found[type, key] = {}
            for _, facts in self.of(type):
                found.setdefault(self.target(facts.get(key)), []).append(facts)
        return found

    def of(self, type: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the logical id and the properties of each resource of *type*."""
        if self._typed is None:
            typed: dict[str, list[tuple[str, Any]]] = {}
            for logical, resource in self.resources.items():
                typed.setdefault(resource["Type"], []).append((logical, resource))
            self._typed = typed
        for logical, resource in self._typed.get(type, ()):
            yield logical, resource["Properties"]

    def facts(self, logical: str | None, type: str) -> Mapping[str, Any] | None:
        """Return the properties of *logical*, or None when it is no resource of *type*."""
        resource = self.resources.get(logical or "")
        found: Mapping[str, Any] | None = None
        if resource is not None and resource["Type"] == type:
            found = resource["Properties"]
        return found

    def target(self, value: Any) -> str | None:
        """Return the logical id that *value* is a ``Ref`` or a ``Fn::GetAtt`` of."""
        if value.__class__ is not str and isinstance(value, Mapping) and len(value) == 1:
            if "Ref" in value:
                return str(value["Ref"])
            if "Fn::GetAtt" in value:
                return str(value["Fn::GetAtt"][0])
        return None

    def text(self, value: Any) -> str:
        """Return *value* as ``Fn::Sub`` would write it."""
        if value.__class__ is not str and isinstance(value, Mapping):
            if "Ref" in value:
                return f"${{{value['Ref']}}}"
            if "Fn::GetAtt" in value:
                return f"${{{'.'.join(value['Fn::GetAtt'])}}}"
            if "Fn::Sub" in value:
                return str(value["Fn::Sub"])
        return str(value)

    def statements(self, role: str | None) -> list[Mapping[str, Any]]:
        """Return the statements of *role*; none for what is no role."""
        found: list[Mapping[str, Any]] | None = self._found.get((View.statements, role))
        if found is None:
            facts = self.facts(role, "AWS::IAM::Role") or {}
            found = self._found[View.statements, role] = [
                statement
                for policy in facts.get("Policies", ())
                for statement in policy["PolicyDocument"]["Statement"]
            ]
        return found

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

    def admitted(self, function: str | None, principal: str) -> Sequence[Mapping[str, Any]]:
        """Return the permissions under which *principal* may invoke *function*."""
        return self.once(_admitted).get((function, principal), ())


def _admitted(view: View) -> Mapping[tuple[str | None, Any], list[Mapping[str, Any]]]:
    found: dict[tuple[str | None, Any], list[Mapping[str, Any]]] = {}
    for _, facts in view.of("AWS::Lambda::Permission"):
        key = view.target(facts["FunctionName"]), facts["Principal"]
        found.setdefault(key, []).append(facts)
    return found


def walk(value: Any) -> tuple[list[str], list[tuple[str, str]]]:
    """Return every name that *value* refers to, and what it asks for by ``Fn::GetAtt``.

    The latter as logical ids and attributes; both in no certain order.
    """
    names: list[str] = []
    attributes: list[tuple[str, str]] = []
    rest: list[Any] = [value]
    while rest:
        inner = rest.pop()
        if isinstance(inner, dict):
            for key, each in inner.items():
                if key == "Ref":
                    names.append(str(each))
                elif key == "Fn::GetAtt":
                    names.append(str(each[0]))
                    attributes.append((each[0], each[1]))
                elif key == "Fn::Sub":
                    names += _variables(each)
                elif each.__class__ is not str:
                    rest.append(each)
        elif isinstance(inner, (list, tuple)):
            rest += inner
    return names, attributes


def _variables(text: str) -> Iterator[str]:
    for name in _VARIABLE.findall(text):
        yield name if name.startswith("AWS::") else name.partition(".")[0]
