"""Whether a document is one that Google Cloud would take, and does what portafaas promises.

Runs on every document that is emitted. Neither Terraform nor the provider look at most of this
before they are half-way through: ranges, grants that are missing, who may be called by whom.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.plan import BuildPlan
from portafaas_gcp.infrastructure import graph, schema, spec
from portafaas_gcp.infrastructure.promises import promises
from portafaas_gcp.infrastructure.rules import rules
from portafaas_gcp.infrastructure.view import View

#: What variables are in examples of values.
_VARIABLES = {
    "project": "project-1",
    "region": "europe-west1",
    "source_digest": "0" * 64,
    "value": "user:jane@example.com",
}
_TOP = {"//", "terraform", "provider", "variable", "locals", "data", "resource", "output"}


def verify(document: Mapping[str, Any], plan: BuildPlan | None = None) -> list[str]:
    """Return what is wrong with *document*, each as ``address: problem``; nothing if it is sound.

    Takes any JSON value in the shape of a Terraform document, and raises nothing. With *plan* it
    is also held against what the manifest asks for and no document can know: thresholds, times.
    """
    found = list(_frame(document))
    resources: Any = document.get("resource", {})
    for kind, blocks in resources.items():
        if kind not in schema.RESOURCES:
            found.append(f"{kind}: no such type of resource here")
            continue
        for name, body in blocks.items():
            found += _block(f"{kind}.{name}", schema.RESOURCES[kind].arguments, body)
    for kind, blocks in document.get("data", {}).items():
        if kind not in schema.DATA:
            found.append(f"data.{kind}: no such type of data source here")
            continue
        for name, body in blocks.items():
            found += _block(f"data.{kind}.{name}", schema.DATA[kind].arguments, body)
    found += _references(document)
    if found:
        return found  # the rules take the shape for granted
    view = View(document)
    found += rules(view)
    return found if plan is None else [*found, *promises(view, plan)]


def _frame(document: Mapping[str, Any]) -> Iterator[str]:
    for name in document.keys() - _TOP:
        yield f"{name}: not in a document of portafaas"
    terraform = document.get("terraform", {})
    if terraform.get("required_version") != ">= 1.5.0":
        yield "terraform: required_version must be >= 1.5.0"
    google = terraform.get("required_providers", {}).get("google", {})
    if google.get("source") != "hashicorp/google" or "<" not in google.get("version", ""):
        yield "terraform: the provider google must have a source and an upper bound"
    provider = document.get("provider", {}).get("google", {})
    labels = provider.get("default_labels", {})
    if labels.get("managed-by") != "portafaas" or not labels.get("service"):
        yield "provider.google: the labels service and managed-by are missing"
    for name, value in labels.items():
        # https://cloud.google.com/resource-manager/docs/labels-overview#requirements
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name) or not re.fullmatch(
            r"[a-z0-9_-]{0,63}", value
        ):
            yield f"provider.google: {name}={value} is no label"


def _block(address: str, taken: Mapping[str, Any], body: Any) -> Iterator[str]:
    if not isinstance(body, dict):
        yield f"{address}: must be a block"
        return
    for name in taken:
        if name.endswith("!") and name[:-1] not in body:
            yield f"{address}: {name[:-1]} is missing"
    top = address.removeprefix("data.").count(".") == 1
    for name, value in body.items():
        kind = taken.get(f"{name}!", taken.get(name))
        if kind is not None:
            yield from _value(f"{address}.{name}", kind, value)
        elif not (top and name in schema.META):
            yield f"{address}: no argument is called {name}"


def _value(where: str, kind: Any, value: Any) -> Iterator[str]:
    match kind:
        case spec.Block(of, many):
            if many != isinstance(value, list):
                yield f"{where}: must be {'a list of blocks' if many else 'one block'}"
                return
            for item in value if many else [value]:
                yield from _block(where, of, item)
        case spec.Map():
            if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
                yield f"{where}: must be strings by name"
        case spec.Texts(of):
            if not isinstance(value, list) or not value:
                yield f"{where}: must be a list of strings"
                return
            for item in value:
                yield from _value(where, of, item)
        case spec.Flag():
            if not isinstance(value, bool):
                yield f"{where}: must be true or false, not {value!r}"
        case spec.Number(low, high):
            if isinstance(value, str) and re.fullmatch(r"\$\{var\.\w+\}", value):
                return
            if isinstance(value, bool) or not isinstance(value, int):
                yield f"{where}: must be a number, not {value!r}"
            elif not low <= value <= high:
                yield f"{where}: {value} is not between {low} and {high}"
        case spec.Amount(least):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least:
                yield f"{where}: must be a number from {least:g}, not {value!r}"
        case spec.Text(pattern, choices):
            if not isinstance(value, str):
                yield f"{where}: must be a string, not {value!r}"
                return
            try:
                text = graph.example(value, _VARIABLES)
            except ValueError as exc:
                yield f"{where}: {exc}"
                return
            if choices and text not in choices:
                yield f"{where}: {text!r} is none of {', '.join(map(repr, choices))}"
            if pattern and not re.fullmatch(pattern, text, re.DOTALL):
                yield f"{where}: {text!r} is not like {pattern}"


def _references(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield references to what is not there, and circles."""
    resources: Any = document.get("resource", {})
    edges: dict[str, set[str]] = {}
    for section in ("locals", "data", "resource", "output", "provider"):
        for kind, blocks in document.get(section, {}).items():
            named = blocks.items() if isinstance(blocks, dict) else [("", blocks)]
            for name, body in named:
                where = ".".join(part for part in (kind, name) if part)
                try:
                    found = {one for text in graph.texts(body) for one in graph.references(text)}
                except ValueError as exc:
                    yield f"{where}: {exc}"
                    continue
                for one in sorted(found):
                    yield from _reference(document, where, one)
                if section == "resource":
                    edges[where] = {
                        f"{kind}.{name}"
                        for data, kind, name, _ in found
                        if not data and kind.startswith("google_")
                    } | set(body.get("depends_on", ()))
    for address, others in edges.items():
        for other in sorted(others):
            kind, _, name = other.partition(".")
            if name not in resources.get(kind, {}):
                yield f"{address}: {other} is not there"
    if circle := graph.cycle(edges):
        yield f"{circle[0]}: depends on itself: {' -> '.join(circle)}"


def _reference(
    document: Mapping[str, Any], where: str, found: tuple[str, str, str, str]
) -> Iterator[str]:
    data, kind, name, rest = found
    if kind in ("var", "local"):
        section = {"var": "variable", "local": "locals"}[kind]
        if name not in document.get(section, {}):
            yield f"{where}: {kind}.{name} is not there"
        return
    if kind == "each":
        return
    known = (schema.DATA if data else schema.RESOURCES).get(kind)
    blocks = document.get("data" if data else "resource", {}).get(kind, {})
    if known is None or name not in blocks:
        yield f"{where}: {kind}.{name} is not there"
        return
    attribute = rest.lstrip(".").partition(".")[0].partition("[")[0]
    inner = rest.rpartition(".")[2]
    missing = (
        attribute not in known.arguments
        and f"{attribute}!" not in known.arguments
        and attribute not in known.attributes
    )
    if missing or (attribute == "service_config" and inner != "uri"):
        yield f"{where}: {kind} has no attribute {rest.lstrip('.')!r}"
