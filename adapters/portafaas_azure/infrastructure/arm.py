"""Writing an ARM template: literals, expressions, references and the list of resources. Pure.

https://learn.microsoft.com/azure/azure-resource-manager/templates/syntax
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from portafaas.record import dataclass, field

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"

#: The version of the interface every type is written for.
API = {
    "Microsoft.Authorization/locks": "2020-05-01",
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.DocumentDB/databaseAccounts": "2024-11-15",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases": "2024-11-15",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers": "2024-11-15",
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments": "2024-11-15",
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions": "2024-11-15",
    "Microsoft.EventGrid/systemTopics": "2025-02-15",
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": "2025-02-15",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/metricAlerts": "2018-03-01",
    "Microsoft.Insights/scheduledQueryRules": "2023-12-01",
    "Microsoft.KeyVault/vaults": "2024-11-01",
    "Microsoft.KeyVault/vaults/secrets": "2024-11-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2024-11-30",
    "Microsoft.OperationalInsights/workspaces": "2025-02-01",
    "Microsoft.OperationalInsights/workspaces/tables": "2025-02-01",
    "Microsoft.ServiceBus/namespaces": "2024-01-01",
    "Microsoft.ServiceBus/namespaces/queues": "2024-01-01",
    "Microsoft.ServiceBus/namespaces/topics": "2024-01-01",
    "Microsoft.ServiceBus/namespaces/topics/subscriptions": "2024-01-01",
    "Microsoft.ServiceBus/namespaces/topics/subscriptions/rules": "2024-01-01",
    "Microsoft.Storage/storageAccounts": "2025-01-01",
    "Microsoft.Storage/storageAccounts/blobServices": "2025-01-01",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "2025-01-01",
    "Microsoft.Storage/storageAccounts/managementPolicies": "2025-01-01",
    "Microsoft.Web/serverfarms": "2024-04-01",
    "Microsoft.Web/sites": "2024-04-01",
    "Microsoft.Web/sites/config": "2024-04-01",
    "Microsoft.Web/sites/extensions": "2024-04-01",
}


def literal(text: str) -> str:
    """Return *text* as a value of the template that is never read as an expression."""
    return f"[{text}" if text.startswith("[") and text.endswith("]") else text


def quote(text: str) -> str:
    """Return *text* as a string inside an expression."""
    return "'" + text.replace("'", "''") + "'"


def expression(inner: str) -> str:
    """Return *inner* as a value of the template."""
    return f"[{inner}]"


def formatted(text: str, *arguments: str) -> str:
    """Return ``format('text', arguments)``; *text* has ``{0}`` and so on, *arguments* are code."""
    return f"format({', '.join([quote(text), *arguments])})"


def parameter(name: str) -> str:
    """Return ``parameters('name')``."""
    return f"parameters({quote(name)})"


def variable(name: str) -> str:
    """Return ``variables('name')``."""
    return f"variables({quote(name)})"


@dataclass(frozen=True, slots=True)
class Ref:
    """A resource: its type, one piece of code for each segment of its name, what it extends."""

    type: str
    names: tuple[str, ...]
    on: Ref | None = None

    def child(self, kind: str, name: str) -> Ref:
        """Return the resource *name* (code) of the type *kind* below this one."""
        return Ref(f"{self.type}/{kind}", (*self.names, name))

    @property
    def id(self) -> str:
        """Code of the resource's id."""
        if self.on is not None:
            words = ", ".join([self.on.id, quote(self.type), *self.names])
            return f"extensionResourceId({words})"
        return f"resourceId({', '.join([quote(self.type), *self.names])})"

    @property
    def value(self) -> str:
        """The id as a value of the template."""
        return expression(self.id)

    def output(self, path: str) -> str:
        """Return code of what the deployed resource says of itself: ``clientId``."""
        return f"reference({self.id}, {quote(API[self.type])}).{path}"

    @property
    def name(self) -> str:
        """The resource's ``name``: its segments, divided by ``/``."""
        code = [name for name in self.names if not _is_text(name)]
        if not code:
            return literal("/".join(_text(name) for name in self.names))
        if len(self.names) == 1:
            return expression(code[0])
        places = {name: index for index, name in enumerate(code)}
        text = "/".join(
            _escape(_text(name)) if _is_text(name) else f"{{{places[name]}}}"
            for name in self.names
        )
        return expression(formatted(text, *code))

    @property
    def scope(self) -> str:
        """The ``scope`` of a resource that extends this one: its id below the resource group."""
        provider, *kinds = self.type.split("/")
        code: list[str] = []
        parts = [provider]
        for kind, name in zip(kinds, self.names, strict=True):
            parts.append(kind)
            if _is_text(name):
                parts.append(_escape(_text(name)))
            else:
                parts.append(f"{{{len(code)}}}")
                code.append(name)
        text = "/".join(parts)
        return expression(formatted(text, *code)) if code else text

    @property
    def title(self) -> str:
        """The name for people, without the type: ``<namespace>/jobs``."""
        parts = [_text(name) if _is_text(name) else f"<{_short(name)}>" for name in self.names]
        own = "/".join(parts)
        return own if self.on is None else f"{own} on {self.on.title}"

    @property
    def label(self) -> str:
        """The scope for people: ``Microsoft.ServiceBus/namespaces/<namespace>/queues/jobs``."""
        provider, *kinds = self.type.split("/")
        parts = [provider]
        for kind, name in zip(kinds, self.names, strict=True):
            parts += [kind, _text(name) if _is_text(name) else f"<{_short(name)}>"]
        return "/".join(parts)


def _is_text(code: str) -> bool:
    return code[:1] == code[-1:] == "'" and "'" not in code[1:-1].replace("''", "")


def _text(code: str) -> str:
    return code[1:-1].replace("''", "'")


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _short(code: str) -> str:
    for start in ("variables('", "format('"):
        if code.startswith(start):
            return code[len(start) :].partition("'")[0].replace("{0}", "*")
    return code


@dataclass(frozen=True, slots=True)
class Template:
    """An ARM template that is being written; resources keep the order they are added in."""

    tags: Mapping[str, str]
    parameters: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    #: Of each resource its name for people; who asks for it is in ``asked`` when it is added.
    names: list[str] = field(default_factory=list)
    #: Of each resource (function, ``$.path``) of who asks for it; "" is what functions share.
    whys: list[tuple[tuple[str, str], ...]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=lambda: [("", "platform")])
    #: What the next change of roles in Cosmos DB waits for; an account takes one at a time.
    turn: list[Ref] = field(default_factory=list)

    def add(
        self,
        ref: Ref,
        properties: Mapping[str, Any] | None = None,
        *,
        depends: Iterable[Ref] = (),
        tracked: bool = False,
        condition: str = "",
        title: str = "",
        **more: Any,
    ) -> Ref:
        """Add the resource *ref*; return it.

        A *tracked* resource has a location and the tags; *condition* is code; *title* is what
        people call it, if its name is a hash; *more* are further keys beside ``properties``.
        """
        self.names.append(title or ref.title)
        self.whys.append(tuple(self.asked))
        made: dict[str, Any] = {}
        if condition:
            made["condition"] = expression(condition)
        made |= {"type": ref.type, "apiVersion": API[ref.type], "name": ref.name}
        if ref.on is not None:
            made["scope"] = ref.on.scope
        if tracked:
            made |= {"location": expression(parameter("location")), "tags": dict(self.tags)}
        made |= more
        if properties is not None:
            made["properties"] = dict(properties)
        needed = list(dict.fromkeys(other.value for other in depends))
        if needed:
            made["dependsOn"] = needed
        self.resources.append(made)
        return ref

    def add_in_turn(
        self, ref: Ref, properties: Mapping[str, Any], depends: Iterable[Ref], title: str = ""
    ) -> Ref:
        """Add *ref* like :meth:`add`, to be made after the one that was added so before.

        https://github.com/hashicorp/terraform-provider-azurerm/issues/15842
        """
        self.add(ref, properties, depends=[*depends, *self.turn], title=title)
        self.turn[:] = [ref]
        return ref

    def ask(self, *whys: str, function: str = "") -> None:
        """Say which lines of the manifest ask for what is added from here on, and whose it is."""
        self.asked[:] = [(function, why) for why in whys]

    def document(self) -> dict[str, Any]:
        """Return the template as JSON values."""
        return {
            "$schema": SCHEMA,
            "contentVersion": "1.0.0.0",
            "parameters": self.parameters,
            "variables": self.variables,
            "resources": self.resources,
            "outputs": self.outputs,
        }
