"""Resource ids: names for people, what holds data, what decides who may do what. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from portafaas.plan import BuildPlan
from portafaas_azure.infrastructure.arm import API
from portafaas_azure.infrastructure.names import account, base, fit

LOCKS = "microsoft.authorization/locks"
#: The name of the locks that the template makes.
LOCK = "portafaas-keep"
SITES = "microsoft.web/sites"
VAULTS = "microsoft.keyvault/vaults"
SECRETS = "microsoft.keyvault/vaults/secrets"

#: Types that decide who may do what.
_SECURITY = frozenset((
    "microsoft.authorization/roleassignments", LOCKS,
    "microsoft.documentdb/databaseaccounts/sqlroleassignments",
    "microsoft.documentdb/databaseaccounts/sqlroledefinitions",
    "microsoft.keyvault/vaults", "microsoft.managedidentity/userassignedidentities",
    "microsoft.web/sites/config",
))  # fmt: skip
#: Words in the path of a property that does, whatever the type.
_SECURITY_WORDS = (
    "identity", "publicaccess", "publicnetworkaccess", "allowblobpublicaccess", "networkacls",
    "allowsharedkeyaccess", "disablelocalauth", "httpsonly", "mintlsversion", "minimumtlsversion",
    "siteauth", "rbac",
)  # fmt: skip
_DATA = frozenset((
    "microsoft.servicebus/namespaces", "microsoft.servicebus/namespaces/queues",
    "microsoft.servicebus/namespaces/topics", "microsoft.documentdb/databaseaccounts",
    "microsoft.documentdb/databaseaccounts/sqldatabases",
    "microsoft.documentdb/databaseaccounts/sqldatabases/containers",
    VAULTS, SECRETS,
))  # fmt: skip
#: What is deleted first; types that are not named go last, in the order of the stack.
_ORDER = (
    "microsoft.authorization/roleassignments",
    "microsoft.documentdb/databaseaccounts/sqlroleassignments",
    "microsoft.documentdb/databaseaccounts/sqlroledefinitions",
    "microsoft.eventgrid/systemtopics/eventsubscriptions",
    "microsoft.eventgrid/systemtopics",
    "microsoft.servicebus/namespaces/topics/subscriptions",
    SITES,
    "microsoft.web/serverfarms",
    "microsoft.insights/components",
    "microsoft.operationalinsights/workspaces",
    "microsoft.storage/storageaccounts",
)
_VERSIONS = {kind.lower(): version for kind, version in API.items()}


def kind(identifier: str) -> str:
    """Return the type in an id, in lower case: ``microsoft.web/sites``."""
    provider, *rest = identifier.rpartition("/providers/")[2].split("/")
    return "/".join([provider, *rest[::2]]).lower()


def shown(identifier: str) -> str:
    """Return the type as Azure writes it: ``Microsoft.Web/sites``."""
    provider, *rest = identifier.rpartition("/providers/")[2].split("/")
    return "/".join([provider, *rest[::2]])


def label(identifier: str) -> str:
    """Return the resource's name for people: ``shop-prod-u1/jobs``.

    What extends another has that one's name before its own: ``shop-prod-u1/jobs: 5f3c…``.
    """
    _, *parts = identifier.split("/providers/")
    names = ["/".join(part.split("/")[2::2]) for part in parts]
    return ": ".join(name for name in names if name) or identifier


def version(identifier: str, given: str = "") -> str:
    """Return the version of the interface to ask for the resource with."""
    return given or _VERSIONS.get(kind(identifier), "2021-04-01")


def extended(identifier: str) -> str:
    """Return the id of what this resource extends (a lock, a role assignment), else ``""``."""
    head = identifier.rpartition("/providers/")[0]
    return head if "/providers/" in head else ""


def is_within(identifier: str, other: str) -> bool:
    """Return whether a resource is inside of *other*, extends it or is it."""
    one, above = identifier.lower(), other.lower()
    return one == above or one.startswith(f"{above}/")


def is_security(identifier: str, paths: Iterable[str] = ()) -> bool:
    """Return whether a change of the resource (of these properties) is one of permissions."""
    if kind(identifier) in _SECURITY:
        return True
    return any(word in path.lower() for path in paths for word in _SECURITY_WORDS)


def bucket_accounts(plan: BuildPlan) -> tuple[str, ...]:
    """Return how the names of the storage accounts with buckets begin, versioned or not."""
    found = []
    for name in ("buckets", "buckets-versioned"):
        code = account(plan, name)
        found.append(code.partition("'")[2].partition("{0}")[0])
    return tuple(found)


def is_data(plan: BuildPlan, identifier: str) -> bool:
    """Return whether the resource holds data, or is what keeps data: its account, its lock.

    What holds data is known by type and name alone: the manifest may have forgotten it.
    """
    own = kind(identifier)
    if own == LOCKS:
        return is_data(plan, extended(identifier))
    if own.startswith("microsoft.storage/storageaccounts"):
        name = identifier.rpartition("/providers/")[2].split("/")[2].lower()
        return name.startswith(bucket_accounts(plan))
    return own in _DATA


def in_order(identifiers: Iterable[str]) -> list[str]:
    """Return *identifiers* in the order to delete them, without what goes with another one."""
    every = list(dict.fromkeys(identifiers))
    tops = [
        one for one in every
        if not any(other is not one and is_within(one, other) for other in every)
    ]  # fmt: skip
    rank = {name: place for place, name in enumerate(_ORDER)}
    return sorted(tops, key=lambda one: rank.get(kind(one), len(rank)))


def stack_name(plan: BuildPlan) -> str:
    """Return the name of the deployment stack, and of the resource group by default."""
    # Both take 90 characters: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
    return fit(base(plan), 90)


def tags(plan: BuildPlan) -> dict[str, str]:
    """Return the tags that say what something belongs to."""
    stage = {"stage": plan.stage} if plan.stage else {}
    return {"managed-by": "portafaas", "service": plan.service, **stage}


def is_ours(plan: BuildPlan, found: object) -> bool:
    """Return whether tags are those of the service and stage."""
    if not isinstance(found, dict):
        return False
    return {name: found.get(name) for name in ("managed-by", "service", "stage")} == {
        "stage": None, **tags(plan),
    }  # fmt: skip
