"""Evaluates the expressions of an ARM template, as far as this adapter writes any. Pure.

What a deployed resource says of itself (``reference``) is made up in the form it has. Hashes are
not Azure's. https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from portafaas_azure.infrastructure.arm import API

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/group"
SUBSCRIPTION = GROUP.partition("/resourceGroups")[0]
_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(-?\d+)|([A-Za-z_][A-Za-z0-9_]*)|([(),.\[\]]))")


class ExpressionError(ValueError):
    """An expression that Azure would refuse, or that this module does not know."""


def is_expression(value: Any) -> bool:
    """Return whether Azure evaluates *value*: ``[...]`` but not ``[[...``."""
    text = isinstance(value, str) and value.startswith("[") and value.endswith("]")
    return text and not value.startswith("[[")


def resource_id(kind: str, names: list[str], scope: str = GROUP) -> str:
    """Return the id of a resource of the type *kind*; raises ExpressionError on a wrong count."""
    provider, *kinds = kind.split("/")
    if len(kinds) != len(names) or not kinds:
        raise ExpressionError(f"{kind} takes {len(kinds)} names, not {len(names)}")
    pairs = "/".join(f"{word}/{name}" for word, name in zip(kinds, names, strict=True))
    return f"{scope}/providers/{provider}/{pairs}"


def type_of(identifier: str) -> str:
    """Return the resource type in a resource's id."""
    provider, *rest = identifier.rpartition("/providers/")[2].split("/")
    return "/".join([provider, *rest[::2]])


def _deployed(identifier: str) -> Any:
    """Return what ``reference`` gives of a resource."""
    name = identifier.rpartition("/")[2]
    known: dict[str, Any] = {
        "Microsoft.ManagedIdentity/userAssignedIdentities": {
            "clientId": f"client-of-{name}",
            "principalId": f"principal-of-{name}",
        },
        "Microsoft.Storage/storageAccounts": {
            "primaryEndpoints": {
                kind: f"https://{name}.{kind}.core.windows.net/"
                for kind in ("blob", "queue", "table")
            }
        },
        "Microsoft.Insights/components": {"ConnectionString": f"InstrumentationKey={name}"},
        "Microsoft.ServiceBus/namespaces": {
            "serviceBusEndpoint": f"https://{name}.servicebus.windows.net:443/"
        },
        "Microsoft.DocumentDB/databaseAccounts": {
            "documentEndpoint": f"https://{name}.documents.azure.com:443/"
        },
        "Microsoft.KeyVault/vaults": {"vaultUri": f"https://{name}.vault.azure.net/"},
        "Microsoft.Web/sites": {"defaultHostName": f"{name}.azurewebsites.net"},
    }
    return known.get(type_of(identifier), {})


@lru_cache(maxsize=8192)
def _tokens(text: str) -> tuple[str, ...]:
    tokens: list[str] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionError(f"not an expression: {text!r}")
        tokens.append(match.group().strip())
        position = match.end()
    return tuple(tokens)


class Evaluator:
    """Evaluates values of one template; ``seen`` collects the resource ids they name."""

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self.declared = document["parameters"]
        self.parameters = parameters
        self.variables = document["variables"]
        self.seen: set[str] = set()
        #: Names of the parameters and the variables that were asked for.
        self.used: set[tuple[str, str]] = set()
        #: Whether the place may ask deployed resources: a name, a scope, a variable may not.
        self.deployed = True
        self._parsing: list[str] = []
        self._known: dict[tuple[str, bool], tuple[Any, frozenset[str]]] = {}

    def value(self, value: Any) -> Any:
        """Return *value* with all expressions in it evaluated; raises ExpressionError."""
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if is_expression(value):
            return self._evaluate(value[1:-1])
        if isinstance(value, str) and value.startswith("[[") and value.endswith("]"):
            return value[1:]
        return value

    def _evaluate(self, text: str) -> Any:
        # The same names stand in many places.
        key = (text, self.deployed and not self._parsing)
        if key not in self._known:
            before, self.seen = self.seen, set()
            tokens = _tokens(text)
            found, rest = self._term(tokens, 0)
            if rest != len(tokens):
                raise ExpressionError(f"more than one expression: {text!r}")
            self._known[key] = (found, frozenset(self.seen))
            self.seen = before
        found, seen = self._known[key]
        self.seen |= seen
        return found

    def _term(self, tokens: tuple[str, ...], at: int) -> tuple[Any, int]:
        if at >= len(tokens):
            raise ExpressionError("an expression ends early")
        token = tokens[at]
        if token.startswith("'"):
            return token[1:-1].replace("''", "'"), at + 1
        if token.lstrip("-").isdigit():
            return int(token), at + 1
        if not token[0].isalpha() or tokens[at + 1 : at + 2] != ("(",):
            raise ExpressionError(f"unexpected {token!r}")
        arguments: list[Any] = []
        at += 2
        while tokens[at : at + 1] != (")",):
            argument, at = self._term(tokens, at)
            arguments.append(argument)
            if tokens[at : at + 1] == (",",):
                at += 1
            elif tokens[at : at + 1] != (")",):
                raise ExpressionError(f"{token}(): a comma or a bracket is missing")
        found, at = self._call(token, arguments), at + 1
        while tokens[at : at + 1] == (".",):
            name = tokens[at + 1] if at + 1 < len(tokens) else ""
            if not isinstance(found, Mapping) or name not in found:
                raise ExpressionError(f"{token}() has no {name!r}")
            found, at = found[name], at + 2
        return found, at

    def _call(self, name: str, arguments: list[Any]) -> Any:
        function = _FUNCTIONS.get(name)
        if function is None:
            raise ExpressionError(f"no function {name!r}")
        try:
            return function(self, *arguments)
        except (TypeError, IndexError, KeyError) as error:
            raise ExpressionError(f"{name}(): {error}") from None

    def parameter(self, name: str) -> Any:
        """Return a parameter's value."""
        if name not in self.declared:
            raise ExpressionError(f"no parameter {name!r}")
        self.used.add(("parameters", name))
        return self.parameters[name]

    def variable(self, name: str) -> Any:
        """Return a variable's value."""
        if name not in self.variables:
            raise ExpressionError(f"no variable {name!r}")
        self.used.add(("variables", name))
        if name in self._parsing:
            raise ExpressionError(f"variable {name!r} needs itself")
        self._parsing.append(name)
        try:
            return self.value(self.variables[name])
        finally:
            self._parsing.pop()

    def identify(self, kind: str, *names: str) -> str:
        """Return the id that ``resourceId`` gives, and remember it."""
        found = resource_id(kind, list(names))
        self.seen.add(found)
        return found

    def extend(self, scope: str, kind: str, *names: str) -> str:
        """Return the id that ``extensionResourceId`` gives, and remember it."""
        found = resource_id(kind, list(names), scope)
        self.seen.add(found)
        return found

    def reference(self, identifier: str, version: str) -> Any:
        """Return what a deployed resource says of itself."""
        if not self.deployed or self._parsing:
            raise ExpressionError("reference() stands where nothing is deployed yet")
        if API.get(type_of(identifier)) != version:
            raise ExpressionError(f"{version!r} is not the version of {type_of(identifier)}")
        return _deployed(identifier)


def _format(_: Evaluator, text: str, *arguments: Any) -> str:
    places = {int(found) for found in re.findall(r"(?<!\{)\{(\d+)\}", text)}
    if places != set(range(len(arguments))):
        raise ExpressionError(f"format({text!r}) is given {len(arguments)} values")
    return text.format(*arguments)


def _hash(_: Evaluator, *arguments: str) -> str:
    from hashlib import sha256

    return "u" + sha256("-".join(arguments).encode()).hexdigest()[:12]


def _guid(_: Evaluator, *arguments: str) -> str:
    from hashlib import sha1

    # ``uuid5`` of ``NAMESPACE_URL``: importing ``uuid`` takes longer than checking a template.
    space = bytes.fromhex("6ba7b8119dad11d180b400c04fd430c8")
    found = bytearray(sha1(space + "-".join(arguments).encode(), usedforsecurity=False).digest())
    found[6], found[8] = found[6] & 0x0F | 0x50, found[8] & 0x3F | 0x80
    text = found.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "contains": lambda _, within, item: item in within,
    "empty": lambda _, value: not value,
    "environment": lambda _: {
        "authentication": {"loginEndpoint": "https://login.microsoftonline.com/"}
    },
    "extensionResourceId": Evaluator.extend,
    "format": _format,
    "guid": _guid,
    "not": lambda _, value: not value,
    "parameters": Evaluator.parameter,
    "reference": Evaluator.reference,
    "replace": lambda _, text, old, new: text.replace(old, new),
    "resourceGroup": lambda _: {"id": GROUP, "location": "westeurope"},
    "resourceId": Evaluator.identify,
    "subscription": lambda _: {"tenantId": "11111111-1111-1111-1111-111111111111"},
    "subscriptionResourceId": lambda _, kind, *names: resource_id(kind, list(names), SUBSCRIPTION),
    "uniqueString": _hash,
    "variables": Evaluator.variable,
}
