"""Physical names: what the service, the stage and a resource are called on Azure. Pure.

https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
"""

from __future__ import annotations

from portafaas.plan import BuildPlan
from portafaas_azure.infrastructure.arm import formatted, variable

#: Characters of ``uniqueString``; names that all of Azure shares end in it.
UNIQUE = 13
#: The variable that holds it.
UNIQUE_VARIABLE = "unique"


def base(plan: BuildPlan, name: str = "") -> str:
    """Return ``<service>[-<stage>][-<name>]``."""
    return "-".join(part for part in (plan.service, plan.stage, name) if part)


def fit(text: str, limit: int) -> str:
    """Return *text*, or as much of it as leaves room for a hash of all of it within *limit*."""
    return text if len(text) <= limit else f"{text[: limit - 9].rstrip('-')}-{digest(text)[:8]}"


def shared(plan: BuildPlan, limit: int, name: str = "") -> str:
    """Return code of a name that is unique in all of Azure, of at most *limit* characters."""
    text = fit(base(plan, name), limit - UNIQUE - 1)
    return formatted(text + "-{0}", variable(UNIQUE_VARIABLE))


def account(plan: BuildPlan, name: str) -> str:
    """Return code of a storage account's name: 24 letters and digits, unique in all of Azure."""
    return formatted(account_prefix(plan, name) + "{0}", variable(UNIQUE_VARIABLE))


def account_prefix(plan: BuildPlan, name: str) -> str:
    """Return how the name of a storage account begins.

    A few letters of *name* for people, and a hash of the whole.
    """
    letters = "".join(c for c in name if c.isalnum())[:3]
    return letters + digest(f"{plan.service}/{plan.stage}/{name}")[: 24 - UNIQUE - len(letters)]


def buckets(versioned: bool) -> str:
    """Return what the account of the buckets that keep versions, or of the others, is called."""
    return "buckets" + "-versioned" * versioned


def setting(kind: str, name: str) -> str:
    """Return the environment variable that tells where a resource is: ``PORTAFAAS_QUEUE_JOBS``."""
    return f"PORTAFAAS_{kind}_{name}".upper().replace("-", "_")


def digest(text: str) -> str:
    """Return a hash of *text*, in hexadecimal digits."""
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()
