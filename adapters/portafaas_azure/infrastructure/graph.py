"""A template's resources, its expressions evaluated, and what they need of one another. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from portafaas.record import dataclass
from portafaas_azure.infrastructure.arm import API, SCHEMA
from portafaas_azure.infrastructure.expressions import (
    GROUP,
    Evaluator,
    ExpressionError,
    resource_id,
)
from portafaas_azure.infrastructure.fixed import CONDITIONAL

T = TypeVar("T")
#: Keys of a resource beside ``properties``, by whether every one may have them.
_KEYS = frozenset(
    ("type", "apiVersion", "name", "scope", "condition", "location", "tags", "kind", "sku",
     "identity", "properties", "dependsOn")
)  # fmt: skip
_PARAMETERS = {"string": str, "securestring": str, "int": int, "bool": bool, "array": list}
#: What stands for a number that a deployment gives; nobody writes it down by chance.
SAMPLE = 77
#: The two roles that every Cosmos DB account has.
BUILT_IN = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002")
#: A template holds no more: https://learn.microsoft.com/azure/azure-resource-manager/templates/best-practices#template-limits
LIMITS = {"parameters": 256, "variables": 256, "resources": 800, "outputs": 64}


@dataclass(frozen=True, slots=True)
class Node:
    """A resource: its id, type, last name, what it is on, needs and names, and its values."""

    id: str
    type: str
    name: str
    scope: str
    needs: frozenset[str]
    named: frozenset[str]
    body: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, Any]:
        """The resource's properties."""
        found: Mapping[str, Any] = self.body.get("properties") or {}
        return found

    @property
    def parent(self) -> str:
        """Id of the resource this one is inside of, or ``""``."""
        return self.id.rsplit("/", 2)[0] if self.type.count("/") > 1 else ""

    @property
    def label(self) -> str:
        """The resource for people."""
        return self.id.removeprefix(f"{GROUP}/providers/")


class Graph(dict[str, Node]):
    """The resources of a template by id, once they are all there; see :func:`once`."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: dict[Any, Any] = {}


def once(nodes: Mapping[str, Node], make: Callable[[Mapping[str, Node]], T]) -> T:
    """Return what *make* says of *nodes*; it is asked once of those that :func:`resolve` gives."""
    if not isinstance(nodes, Graph):
        return make(nodes)
    if make not in nodes.found:
        nodes.found[make] = make(nodes)
    found: T = nodes.found[make]
    return found


def of_type(nodes: Mapping[str, Node], type: str) -> list[Node]:
    """Return the resources of *type*, in their order."""
    return once(nodes, _by_type).get(type, [])


def _by_type(nodes: Mapping[str, Node]) -> Mapping[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in nodes.values():
        found.setdefault(node.type, []).append(node)
    return found


def resolve(document: Mapping[str, Any]) -> tuple[dict[str, Node], list[str]]:
    """Return the resources of *document* by id, and what is wrong with its structure."""
    found: list[str] = []
    if document.get("$schema") != SCHEMA:
        found.append("$schema is not that of a resource group's template")
    values = dict(_sample(document, found))
    evaluator = Evaluator(document, values)
    nodes = Graph()
    for part, most in LIMITS.items():
        if len(document[part]) > most:
            found.append(f"{len(document[part])} {part}; a template holds {most}")
    for index, resource in enumerate(document["resources"]):
        where = f"resources[{index}] {resource.get('type')} {resource.get('name')}"
        if not all(resource.get(key) for key in ("type", "apiVersion", "name")):
            found.append(f"{where}: lacks its type, its version or its name")
            continue
        try:
            node = _node(evaluator, resource, where, found)
        except ExpressionError as error:
            found.append(f"{where}: {error}")
            continue
        if node.id in nodes:
            found.append(f"{where}: stands twice")
        nodes[node.id] = node
    try:
        evaluator.seen.clear()
        for output in document["outputs"].values():
            evaluator.value(output["value"])
        found += [f"outputs: no {one}" for one in sorted(evaluator.seen - set(nodes))]
        for name in document["variables"]:
            evaluator.value(f"[variables('{name}')]")
        for name, declared in document["parameters"].items():
            evaluator.value(declared.get("defaultValue"))
            if ("parameters", name) not in evaluator.used:
                found.append(f"parameter {name!r} is used nowhere")
    except ExpressionError as error:
        found.append(str(error))
    found += _structure(nodes)
    return nodes, found


def outputs(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs of *document*, which :func:`resolve` finds nothing in, evaluated."""
    found: dict[str, Any] = Evaluator(document, dict(_sample(document, []))).value(
        document["outputs"]
    )
    return found


def _sample(document: Mapping[str, Any], found: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield values for the parameters with which every condition holds."""
    samples = {"string": "text", "securestring": "text", "int": SAMPLE, "bool": True}
    for name, declared in document["parameters"].items():
        kind = declared.get("type")
        if kind not in _PARAMETERS:
            found.append(f"parameter {name!r} has no type {kind!r}")
            continue
        default = declared.get("defaultValue")
        if default is not None and not isinstance(default, _PARAMETERS[kind]):
            found.append(f"the default of parameter {name!r} is no {kind}")
        if kind == "securestring" and default:
            found.append(f"parameter {name!r} is secret and has a default")
        if kind == "array":
            secrets = [r.get("name") for r in document["resources"]
                       if r.get("type", "").endswith("/secrets")]  # fmt: skip
            yield name, [str(one).rpartition("/")[2].split("'")[0] for one in secrets]
        else:
            yield name, samples[kind]


def _node(
    evaluator: Evaluator, resource: Mapping[str, Any], where: str, found: list[str]
) -> Node:
    unknown = sorted(set(resource) - _KEYS)
    if unknown:
        found.append(f"{where}: no key {', '.join(unknown)}")
    if ("condition" in resource) != (resource["type"] in CONDITIONAL):
        found.append(f"{where}: has a condition, or should have one")
    kind = resource["type"]
    if API.get(kind) != resource["apiVersion"]:
        found.append(f"{where}: apiVersion {resource['apiVersion']!r} is another one")
    evaluator.deployed = False
    if "condition" in resource and evaluator.value(resource["condition"]) is not True:
        found.append(f"{where}: the condition cannot hold")
    needs = frozenset(evaluator.value(list(resource.get("dependsOn", ()))))
    evaluator.seen.clear()
    names = str(evaluator.value(resource["name"])).split("/")
    scope = ""
    if "scope" in resource:
        provider, _, rest = str(evaluator.value(resource["scope"])).partition("/")
        scope = f"{GROUP}/providers/{provider}/{rest}"
    evaluator.deployed = True
    body = {key: evaluator.value(value) for key, value in resource.items()
            if key not in ("dependsOn", "condition", "scope")}  # fmt: skip
    identifier = resource_id(kind, names, scope or GROUP)
    named = frozenset(evaluator.seen)
    return Node(identifier, kind, names[-1], scope, needs, named, body)


def _structure(nodes: Mapping[str, Node]) -> Iterator[str]:
    for node in nodes.values():
        for other in sorted(node.needs - set(nodes)):
            yield f"{node.label}: dependsOn names nothing of the template: {other}"
        reached = reachable(nodes, node.id)
        if node.id in reached:
            yield f"{node.label}: depends on itself"
        for other in sorted({*node.named, node.scope, *_parents(node)} - {"", node.id}):
            if other not in nodes and _given(other):
                continue
            if other not in nodes:
                yield f"{node.label}: names what the template does not make: {other}"
            elif other not in reached:
                yield f"{node.label}: is not made after {other}"
        if node.type.startswith("Microsoft.Authorization/") and not node.scope:
            yield f"{node.label}: is on the whole resource group"


def _parents(node: Node) -> Iterator[str]:
    """Yield the ids of all resources that *node* is inside of."""
    words = node.id.split("/")
    for depth in range(1, node.type.count("/")):
        yield "/".join(words[: -2 * depth])


def _given(identifier: str) -> bool:
    """Return whether a resource exists without being made."""
    if identifier.endswith("/blobServices/default"):
        return True
    return bool(re.search(r"/sqlRoleDefinitions/0{8}-0000-0000-0000-0{11}[12]$", identifier))


def reachable(nodes: Mapping[str, Node], start: str) -> set[str]:
    """Return the ids of all that *start* is made after."""
    known = once(nodes, _reached)
    if start in known:
        return known[start]
    found: set[str] = set()
    waiting = list(nodes[start].needs) if start in nodes else []
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += nodes[other].needs if other in nodes else ()
    known[start] = found
    return found


def _reached(nodes: Mapping[str, Node]) -> dict[str, set[str]]:
    return {}
