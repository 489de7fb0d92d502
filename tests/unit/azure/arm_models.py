"""Checks resources against the models of Microsoft's management packages.

The packages check next to nothing themselves. Their two generations of models tell names, types,
enumerations, what is required and what is read-only; this compares.
"""

from __future__ import annotations

import datetime
import enum
import functools
import importlib
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

#: Resource type -> the module with its models, and the model of what is sent.
MODELS = {
    "Microsoft.Authorization/locks": ("resource.locks.models", "ManagementLockObject"),
    "Microsoft.Authorization/roleAssignments": (
        "authorization.v2022_04_01.models", "RoleAssignmentCreateParameters"
    ),
    "Microsoft.DocumentDB/databaseAccounts": (
        "cosmosdb.models", "DatabaseAccountCreateUpdateParameters"
    ),
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases": (
        "cosmosdb.models", "SqlDatabaseCreateUpdateParameters"
    ),
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers": (
        "cosmosdb.models", "SqlContainerCreateUpdateParameters"
    ),
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments": (
        "cosmosdb.models", "SqlRoleAssignmentCreateUpdateParameters"
    ),
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions": (
        "cosmosdb.models", "SqlRoleDefinitionCreateUpdateParameters"
    ),
    "Microsoft.EventGrid/systemTopics": ("eventgrid.models", "SystemTopic"),
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": (
        "eventgrid.models", "EventSubscription"
    ),
    "Microsoft.Insights/actionGroups": ("monitor.models", "ActionGroupResource"),
    "Microsoft.Insights/components": (
        "applicationinsights.models", "ApplicationInsightsComponent"
    ),
    "Microsoft.Insights/metricAlerts": ("monitor.models", "MetricAlertResource"),
    "Microsoft.Insights/scheduledQueryRules": ("monitor.models", "ScheduledQueryRuleResource"),
    "Microsoft.KeyVault/vaults": ("keyvault.models", "VaultCreateOrUpdateParameters"),
    "Microsoft.KeyVault/vaults/secrets": ("keyvault.models", "SecretCreateOrUpdateParameters"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("msi.models", "Identity"),
    "Microsoft.OperationalInsights/workspaces": ("loganalytics.models", "Workspace"),
    "Microsoft.OperationalInsights/workspaces/tables": ("loganalytics.models", "Table"),
    "Microsoft.ServiceBus/namespaces": ("servicebus.models", "SBNamespace"),
    "Microsoft.ServiceBus/namespaces/queues": ("servicebus.models", "SBQueue"),
    "Microsoft.ServiceBus/namespaces/topics": ("servicebus.models", "SBTopic"),
    "Microsoft.ServiceBus/namespaces/topics/subscriptions": (
        "servicebus.models", "SBSubscription"
    ),
    "Microsoft.ServiceBus/namespaces/topics/subscriptions/rules": ("servicebus.models", "Rule"),
    "Microsoft.Storage/storageAccounts": ("storage.models", "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": (
        "storage.models", "BlobServiceProperties"
    ),
    "Microsoft.Storage/storageAccounts/blobServices/containers": (
        "storage.models", "BlobContainer"
    ),
    "Microsoft.Web/serverfarms": ("web.models", "AppServicePlan"),
    "Microsoft.Web/sites": ("web.models", "Site"),
    "Microsoft.Web/sites/config": ("web.models", "SiteAuthSettingsV2"),
}  # fmt: skip
#: Types without a model, and why.
WITHOUT = {
    "Microsoft.Web/sites/extensions": "the package's model knows MSDeploy, not onedeploy",
}
_ENVELOPE = frozenset(("type", "apiVersion", "name", "id"))
_DURATION = re.compile(r"P(?!$)(\d+D)?(T(?!$)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")


def check(kind: str, body: Mapping[str, Any]) -> list[str]:
    """Return what does not fit in *body*, a resource without expressions."""
    if kind in WITHOUT:
        return []
    if kind not in MODELS:
        return [f"{kind}: no model"]
    module, name = MODELS[kind]
    models = importlib.import_module(f"azure.mgmt.{module}")
    sent = {key: value for key, value in body.items() if key not in _ENVELOPE}
    return list(_model(models, getattr(models, name), sent, kind))


def _model(models: Any, model: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path}: an object is expected"
    elif hasattr(model, "_attribute_map"):
        yield from _old(models, model, value, path)
    else:
        yield from _new(models, model, value, path)


# The newer generation: annotated fields.


@functools.cache
def _fields(models: Any, model: Any) -> dict[str, tuple[Any, bool, bool, bool]]:
    """Return name -> (type, required, read-only, discriminator)."""
    found: dict[str, tuple[Any, bool, bool, bool]] = {}
    package = importlib.import_module(models.__name__)
    for base in reversed(model.__mro__):
        fields = {
            attribute: field for attribute, field in vars(base).items()
            if type(field).__name__ == "_RestField"
        }  # fmt: skip
        if not fields:
            continue
        names = {**vars(importlib.import_module(base.__module__)), "_models": package}
        hints = typing.get_type_hints(base, {**vars(package), **names})
        for attribute, field in fields.items():
            hint = hints[attribute]
            visible = [str(getattr(one, "value", one)) for one in field._visibility or ()]
            found[field._rest_name_input or attribute] = (
                hint,
                type(None) not in typing.get_args(hint),
                visible == ["read"],
                bool(field._is_discriminator),
            )
    return found


def _new(models: Any, model: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    own = _fields(models, model)
    chooser = next((name for name, field in own.items() if field[3]), None)
    if chooser is not None and getattr(model, "__mapping__", None):
        chosen = model.__mapping__.get(value.get(chooser))
        if chosen is None:
            yield f"{path}: {chooser} {value.get(chooser)!r} is none of {list(model.__mapping__)}"
            return
        own = _fields(models, chosen)
    top = path in MODELS
    for name, (_, required, read_only, _) in own.items():
        if required and not read_only and name not in value and not (top and name in _ENVELOPE):
            yield f"{path}.{name}: is missing"
    for name, item in value.items():
        if name not in own:
            yield f"{path}.{name}: is not known"
        elif own[name][2]:
            yield f"{path}.{name}: is read-only"
        else:
            yield from _typed(models, own[name][0], item, f"{path}.{name}")


def _typed(models: Any, hint: Any, value: Any, path: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        choices = [one for one in arguments if one is not type(None)]
        # An enumeration is annotated with str beside it, for values of later versions.
        enums = [one for one in choices if isinstance(one, type) and issubclass(one, enum.Enum)]
        results = [list(_typed(models, one, value, path)) for one in enums or choices]
        if all(results):
            yield from results[0]
    elif origin is typing.Literal:
        if value not in [getattr(one, "value", one) for one in arguments]:
            yield f"{path}: {value!r} is none of {arguments}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path}: a list is expected"
        else:
            for item in value:
                yield from _typed(models, arguments[0], item, f"{path}[]")
    elif origin is dict:
        if not isinstance(value, Mapping):
            yield f"{path}: an object is expected"
        else:
            for name, item in value.items():
                yield from _typed(models, arguments[1], item, f"{path}.{name}")
    elif hint is datetime.timedelta:
        yield from _plain("duration", value, path)
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        yield from _member(hint, value, path)
    elif hint in (str, bool, int, float):
        yield from _plain(hint.__name__, value, path)
    elif isinstance(hint, type) and hasattr(hint, "_calculated"):
        yield from _model(models, hint, value, path)


# The older generation: a table of attributes.


def _old(models: Any, model: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, choices in getattr(model, "_subtype_map", {}).items():
        key = model._attribute_map[name]["key"].replace("\\.", ".")
        if value.get(key) not in choices:
            yield f"{path}: {key} {value.get(key)!r} is none of {sorted(choices)}"
            return
        model = getattr(models, choices[value[key]])
    tree: dict[str, Any] = {}
    for name, facts in model._attribute_map.items():
        *folders, last = re.split(r"(?<!\\)\.", facts["key"])
        place = tree
        for folder in folders:
            place = place.setdefault(folder.replace("\\.", "."), {})
        place[last.replace("\\.", ".")] = (facts["type"], model._validation.get(name, {}))
    yield from _branch(models, tree, value, path)


def _branch(models: Any, tree: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path}: an object is expected"
        return
    for name, leaf in tree.items():
        required = isinstance(leaf, tuple) and leaf[1].get("required")
        if required and not leaf[1].get("readonly") and name not in value:
            yield f"{path}.{name}: is missing"
    for name, item in value.items():
        leaf = tree.get(name)
        if leaf is None:
            yield f"{path}.{name}: is not known"
        elif isinstance(leaf, dict):
            yield from _branch(models, leaf, item, f"{path}.{name}")
        elif leaf[1].get("readonly"):
            yield f"{path}.{name}: is read-only"
        else:
            yield from _named(models, leaf[0], item, f"{path}.{name}", leaf[1])


def _named(
    models: Any, kind: str, value: Any, path: str, bounds: Mapping[str, Any]
) -> Iterator[str]:
    if kind.startswith("["):
        if not isinstance(value, list):
            yield f"{path}: a list is expected"
        else:
            for item in value:
                yield from _named(models, kind[1:-1], item, f"{path}[]", {})
    elif kind.startswith("{"):
        if not isinstance(value, Mapping):
            yield f"{path}: an object is expected"
        else:
            for name, item in value.items():
                yield from _named(models, kind[1:-1], item, f"{path}.{name}", {})
    elif hasattr(models, kind):
        yield from _model(models, getattr(models, kind), value, path)
    else:
        yield from _plain(kind, value, path)
        if isinstance(value, str) and len(value) > bounds.get("max_length", len(value)):
            yield f"{path}: is too long"


def _member(choices: type[enum.Enum], value: Any, path: str) -> Iterator[str]:
    known = [str(one.value).lower() for one in choices]
    if str(value).lower() not in known:
        yield f"{path}: {value!r} is none of {known}"


def _plain(kind: str, value: Any, path: str) -> Iterator[str]:
    if kind == "duration":
        if not _DURATION.fullmatch(str(value)):
            yield f"{path}: {value!r} is no duration"
        return
    kinds: dict[str, tuple[type, ...]] = {
        "str": (str,), "bool": (bool,), "int": (int,), "long": (int,), "float": (int, float)
    }  # fmt: skip
    wanted = kinds.get(kind, (object,))
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted[0] in (int, str)):
        yield f"{path}: {value!r} is no {kind}"
