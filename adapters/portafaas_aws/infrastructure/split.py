"""One template as several: nested stacks, for services that one template cannot hold.

Functions go to children by their names alone, so that a new one never moves another; what they
share stays in the root. What a child needs of the root or of another child is a parameter of it,
what others need of it an output. No stack waits for itself: a child names only what is shared, and
of what is shared only a bucket waits for functions, which no function refers to.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-nested-stacks.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from zlib import crc32

from portafaas_aws.infrastructure.document import STACK, Template, att, ref, sub, tags

_VARIABLE = re.compile(r"\$\{(?!!)([^}]+)\}")

#: Most children; ``options.schema.json`` says it too.
MOST = 20


def child_of(function: str, stacks: int) -> int:
    """Return the number of the child that *function* is in; 0 is the root."""
    return crc32(function.encode()) % stacks + 1 if function and stacks > 1 else 0


def split(template: Template, stacks: int) -> dict[str, dict[str, Any]]:
    """Return the documents by file name, the root first; with one stack there is only the root."""
    service = template.plan.service
    document = template.document()
    if stacks < 2:
        return {f"{service}.template.json": document}
    return _Splitter(template, document, stacks).documents()


class _Splitter:
    """Takes a template apart; place 0 is the root."""

    __slots__ = ("given", "outputs", "places", "stacks", "taken", "template", "whole")

    def __init__(self, template: Template, whole: dict[str, Any], stacks: int) -> None:
        self.template = template
        self.whole = whole
        self.stacks = stacks
        self.places = {name: child_of(own, stacks) for name, own in template.owners.items()}
        #: Parameters by child and name: what the root passes.
        self.given: dict[int, dict[str, Any]] = {}
        self.outputs: dict[int, dict[str, Any]] = {}
        self.taken = {*template.resources, *template.parameters}

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return all documents, the root first."""
        template, service = self.template, self.template.plan.service
        used = sorted(set(self.places.values()) - {0})
        resources: dict[int, dict[str, Any]] = {place: {} for place in (0, *used)}
        waits: dict[int, set[str]] = {place: set() for place in used}
        for name, resource in template.resources.items():
            place = self.places[name]
            resources[place][name] = self._resource(place, resource, waits)
        root_outputs = self._rewrite(0, template.outputs)
        for place in used:
            order = {"DependsOn": sorted(waits[place])} if waits[place] else {}
            resources[0][f"{STACK}{place}"] = {
                "Type": "AWS::CloudFormation::Stack",
                **order,
                "Properties": {
                    "TemplateURL": sub(f"${{TemplatesPrefix}}/{service}.{place}.template.json"),
                    "Parameters": dict(sorted(self.given.get(place, {}).items())),
                    "Tags": tags(template.plan),
                },
            }
        found = {f"{service}.template.json": self._root(resources[0], root_outputs, bool(used))}
        for place in used:
            found[f"{service}.{place}.template.json"] = self._child(place, resources[place])
        return found

    def _root(
        self, resources: dict[str, Any], outputs: dict[str, Any], parent: bool
    ) -> dict[str, Any]:
        parameters = dict(self.template.parameters)
        if parent:
            parameters["TemplatesPrefix"] = {
                "Type": "String",
                "Description": (
                    "Where the other templates of the build are, as https://… without a / at the "
                    "end. CloudFormation looks at them again when this changes."
                ),
                "AllowedPattern": "https://[^?#]*[^?#/]",
            }
        root = {**self.whole, "Parameters": parameters, "Resources": resources}
        root.pop("Outputs", None)
        return {**root, "Outputs": outputs} if outputs else root

    def _child(self, place: int, resources: dict[str, Any]) -> dict[str, Any]:
        declared = self.template.parameters
        child = {
            **self.whole,
            "Description": f"Functions {place} of {self.whole['Description']}",
            "Parameters": {
                name: declared.get(name, {"Type": "String"})
                for name in sorted(self.given.get(place, {}))
            },
            "Resources": resources,
        }
        child.pop("Outputs", None)
        outputs = dict(sorted(self.outputs.get(place, {}).items()))
        return {**child, "Outputs": outputs} if outputs else child

    def _resource(
        self, place: int, resource: Mapping[str, Any], waits: Mapping[int, set[str]]
    ) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for key, value in resource.items():
            if key != "DependsOn":
                changed[key] = self._rewrite(place, value) if key == "Properties" else value
                continue
            here = [name for name in value if self.places[name] == place]
            for name in value:
                other = self.places[name]
                if other == place:
                    continue
                # A stack is there when all of it is.
                known = name if other == 0 else f"{STACK}{other}"
                if place == 0:
                    here.append(known)
                else:
                    waits[place].add(known)
            changed[key] = list(dict.fromkeys(here))
        if place == 0 and "DependsOn" in changed:
            # What refers to a stack waits for it.
            named = _stacks(changed["Properties"])
            changed["DependsOn"] = [n for n in changed["DependsOn"] if n not in named]
        if changed.get("DependsOn") == []:
            del changed["DependsOn"]
        return changed

    def _rewrite(self, place: int, value: Any) -> Any:
        if isinstance(value, list):
            return [
                inner if inner.__class__ is str else self._rewrite(place, inner) for inner in value
            ]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            return self._reach(place, value["Ref"], "")
        if "Fn::GetAtt" in value:
            return self._reach(place, *value["Fn::GetAtt"])
        if "Fn::Sub" in value:
            return sub(_VARIABLE.sub(lambda found: self._text(place, found[1]), value["Fn::Sub"]))
        return {
            key: inner if inner.__class__ is str else self._rewrite(place, inner)
            for key, inner in value.items()
        }

    def _text(self, place: int, variable: str) -> str:
        if variable.startswith("AWS::"):
            return f"${{{variable}}}"
        name, _, attribute = variable.partition(".")
        reached = self._reach(place, name, attribute)
        return f"${{{reached['Ref'] if 'Ref' in reached else '.'.join(reached['Fn::GetAtt'])}}}"

    def _reach(self, place: int, name: str, attribute: str) -> dict[str, Any]:
        """Return how *place* says *name* (with *attribute*, if any), arranging for it."""
        own = att(name, attribute) if attribute else ref(name)
        if name.startswith("AWS::") or self.places.get(name, -1) == place:
            return own
        if name in self.template.parameters:
            if place:
                self.given.setdefault(place, {})[name] = own
            return own
        there = self.places[name]
        called = name + attribute.replace(".", "") if attribute else name
        while attribute and called in self.taken:
            called += "X"
        if there:
            self.outputs.setdefault(there, {})[called] = {"Value": own}
            own = att(f"{STACK}{there}", f"Outputs.{called}")
        if place == 0:
            return own
        self.given.setdefault(place, {})[called] = own
        return ref(called)


def _stacks(value: Any) -> set[str]:
    """Return the names that ``Fn::GetAtt`` and ``Fn::Sub`` in *value* begin with."""
    if isinstance(value, list):
        return {name for inner in value for name in _stacks(inner)}
    if not isinstance(value, dict):
        return set()
    if "Fn::GetAtt" in value:
        return {value["Fn::GetAtt"][0]}
    if "Fn::Sub" in value:
        return {found.partition(".")[0] for found in _VARIABLE.findall(value["Fn::Sub"])}
    return {name for inner in value.values() for name in _stacks(inner)}
