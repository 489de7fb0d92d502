"""Rules of ``verify`` about a template that was taken apart: put together, it is the same.

Only what binds the templates is looked at here; the other rules run on the whole. Nothing is
shared with ``split``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas_aws.infrastructure.view import View, walk

#: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_RESOURCES, MAX_PARAMETERS, MAX_OUTPUTS, MAX_BYTES = 500, 200, 200, 1_000_000
#: What an operation on a stack and those nested in it may touch.
MAX_NESTED = 2500

_NESTED = "AWS::CloudFormation::Stack"
_VARIABLE = re.compile(r"\$\{(?!!)([^}]+)\}")

Documents = Mapping[str, Mapping[str, Any]]


def sizes(document: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Yield what *document* has too much of, how much that is, and how much it may have."""
    for what, count, most in (
        ("resources", len(document["Resources"]), MAX_RESOURCES),
        ("parameters", len(document.get("Parameters", {})), MAX_PARAMETERS),
        ("outputs", len(document.get("Outputs", {})), MAX_OUTPUTS),
        ("bytes", _bytes(document), MAX_BYTES),
    ):
        if count > most:
            yield what, count, most


def _bytes(document: Mapping[str, Any]) -> int:
    """Return the size of *document* as it is written, or less where that is far from the limit."""
    short = len(json.dumps(document))
    # Lines and indentation take four times as much as all else at the very most.
    return short if short < MAX_BYTES // 5 else len(json.dumps(document, indent=2))


def joined(
    documents: Documents, whole: Mapping[str, Any], *, measured: bool = False
) -> list[str]:
    """Return where *documents*, the root first, differ from the template *whole*.

    Each reference resolves in its own document, no stack waits for itself, each child is used once
    and given what it asks for, and together they have the resources, parameters and outputs of
    *whole*, each waiting at least for what it waits for there. Whoever has
    looked at the :func:`sizes` of the documents says that they are *measured*.
    """
    try:
        return list(_faults(documents, whole, measured))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the templates have a value of the wrong type: {error!r}"]


def _faults(
    documents: Documents, whole: Mapping[str, Any], measured: bool
) -> Iterator[str]:
    from portafaas_aws.infrastructure.verify import references

    views = {name: View(document) for name, document in documents.items()}
    for name, document in documents.items():
        for what, count, most in () if measured else sizes(document):
            yield f"{name} has {count} {what}; CloudFormation takes {most}"
        for fault in references(views[name]):
            yield f"{name}: {fault}"
    root_name, *rest = documents
    root = views[root_name]
    nested: dict[str, str] = {}
    for logical, facts in root.of(_NESTED):
        url = re.fullmatch(r"\$\{TemplatesPrefix\}/(.+)", str(facts["TemplateURL"].get("Fn::Sub")))
        child = documents.get(url[1]) if url else None
        if url is None or child is None or url[1] == root_name:
            yield f"{logical} is made of no template of the build"
            continue
        nested[logical] = url[1]
        if facts.get("Parameters", {}).keys() != child.get("Parameters", {}).keys():
            yield f"{logical} is not given the parameters of {url[1]}"
        if any("Default" in each for each in child.get("Parameters", {}).values()):
            yield f"{url[1]} has parameters that need not be given"
    if sorted(nested.values()) != sorted(rest):
        yield f"{sorted(rest)} are nested as {sorted(nested.values())}"
        return
    yield from _same(_Joined(views, root, nested), whole)


class _Joined:
    """The documents, seen as one template."""

    def __init__(
        self, views: Mapping[str, View], root: View, nested: Mapping[str, str]
    ) -> None:
        self.root = root
        self.views = {"": root, **{logical: views[name] for logical, name in nested.items()}}
        self.children = {logical: views[name].document for logical, name in nested.items()}
        self.homes: dict[str, str] = {}
        self.orders: dict[tuple[str, str], set[str]] = {}
        for place, document in (("", root.document), *self.children.items()):
            for logical in document["Resources"]:
                if logical not in nested:
                    if logical in self.homes:
                        raise ValueError(f"{logical} is in two templates")
                    self.homes[logical] = place

    def resource(self, logical: str) -> Mapping[str, Any]:
        """Return a resource where it is."""
        place = self.homes[logical]
        found: Mapping[str, Any] = self.views[place].resources[logical]
        return found

    def value(self, value: Any, place: str) -> Any:
        """Return *value* of the template *place* with all that is passed about put in its place."""
        if isinstance(value, list):
            return [
                inner if inner.__class__ is str else self.value(inner, place) for inner in value
            ]
        if value.__class__ is not dict and not isinstance(value, Mapping):
            return value
        if "Ref" in value:
            return self.name(str(value["Ref"]), place) or value
        if "Fn::GetAtt" in value:
            return self.name(".".join(value["Fn::GetAtt"]), place) or value
        if "Fn::Sub" in value:
            return {"Fn::Sub": _VARIABLE.sub(lambda m: self.text(m[1], place), value["Fn::Sub"])}
        return {
            key: inner if inner.__class__ is str else self.value(inner, place)
            for key, inner in value.items()
        }

    def text(self, name: str, place: str) -> str:
        """Return the variable of ``Fn::Sub`` that *name* is in the whole."""
        value = self.name(name, place)
        if value is None:
            return f"${{{name}}}"
        return f"${{{value['Ref'] if 'Ref' in value else '.'.join(value['Fn::GetAtt'])}}}"

    def name(self, name: str, place: str) -> Any:
        """Return what a name stands for that is passed from another template, else None."""
        if place and name in self.children[place].get("Parameters", {}):
            given = self.root.resources[place]["Properties"]["Parameters"][name]
            return self.value(given, "")
        stack, _, output = name.partition(".Outputs.")
        if not place and output:
            return self.value(self.children[stack]["Outputs"][output]["Value"], stack)
        return None

    def waits(self, place: str, logical: str) -> set[str]:
        """Return what a resource of *place* waits for there, near and far."""
        if (place, logical) in self.orders:
            return self.orders[place, logical]
        view = self.views[place]
        seen = self.orders[place, logical] = set()
        rest = [logical]
        while rest:
            waiting = rest.pop()
            after = view.resources[waiting].get("DependsOn", ())
            for name in (*view.uses(waiting)[0], *after):
                if name in view.resources and name not in seen:
                    seen.add(name)
                    rest.append(name)
        return seen


def _same(parts: _Joined, whole: Mapping[str, Any]) -> Iterator[str]:
    flat: Mapping[str, Any] = whole["Resources"]
    for logical in flat.keys() ^ parts.homes.keys():
        yield f"{logical} is in only one of the whole and its parts"
    for logical in flat.keys() & parts.homes.keys():
        place = parts.homes[logical]
        found = {k: v for k, v in parts.resource(logical).items() if k != "DependsOn"}
        wanted = {k: v for k, v in flat[logical].items() if k != "DependsOn"}
        if parts.value(found, place) != wanted:
            yield f"{logical} is not what it is in the whole"
        for first in flat[logical].get("DependsOn", ()):
            other = parts.homes[first]
            if other == place:
                late = first not in parts.waits(place, logical)
            else:
                late = (other or first) not in parts.waits("", place or logical)
            if late:
                yield f"{logical} does not wait for {first}"
    prefix = {"TemplatesPrefix"} if parts.children else set()
    parameters = parts.root.parameters
    if parameters.keys() - prefix != whole["Parameters"].keys() or prefix - parameters.keys():
        yield "the parameters of the root are not those of the whole"
    for name, wanted in whole["Parameters"].items():
        everywhere = [parts.root.document, *parts.children.values()]
        for document in everywhere:
            if document.get("Parameters", {}).get(name, wanted) != wanted:
                yield f"the parameter {name} is not the same everywhere"
        for place, child in parts.children.items():
            given = parts.root.resources[place]["Properties"]["Parameters"].get(name)
            if name in child.get("Parameters", {}) and given != {"Ref": name}:
                yield f"{place} is given something else for {name}"
    asked: dict[str, set[str]] = {}
    everything = [parts.root.uses(logical)[1] for logical in parts.root.resources]
    everything.append(walk(parts.root.document.get("Outputs", {}))[1])
    for stack, attribute in (each for found in everything for each in found):
        asked.setdefault(stack, set()).add(attribute.removeprefix("Outputs."))
    text = json.dumps(parts.root.document)
    for place, child in parts.children.items():
        view = parts.views[place]
        used = {name for logical in view.resources for name in view.uses(logical)[0]}
        used |= {*walk(child.get("Outputs", {}))[0]}
        if unused := child.get("Parameters", {}).keys() - used:
            yield f"{place} does not use {', '.join(sorted(unused))}"
        told = asked.get(place, set()) | _named(text, place)
        if spare := child.get("Outputs", {}).keys() - told:
            yield f"nobody uses {', '.join(sorted(spare))} of {place}"
    outputs = parts.value(parts.root.document.get("Outputs", {}), "")
    if outputs != whole.get("Outputs", {}):
        yield "the outputs of the root are not those of the whole"


def _named(text: str, place: str) -> set[str]:
    """Return the outputs of *place* that *text*, the root, has variables of."""
    return set(re.findall(rf"\$\{{{place}\.Outputs\.(\w+)\}}", text))
