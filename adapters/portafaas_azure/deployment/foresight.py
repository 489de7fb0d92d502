"""What-if: what a deployment would change, and so also what is not as it was deployed.

https://learn.microsoft.com/azure/azure-resource-manager/templates/deploy-what-if; it names some
properties that Azure fills in itself as changed, which is its known noise. What the template asks
deployed resources for (``reference``) it does not evaluate and always calls changed: left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from portafaas.deployment.contract import Change, Drift
from portafaas.plan import BuildPlan
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.ids import SECRETS, SITES, is_data, is_security, kind, label, shown
from portafaas_azure.deployment.refusals import azure, diagnostic, reasons
from portafaas_azure.deployment.vault import secret_names

_ACTIONS = {"create": "add", "modify": "change", "delete": "remove"}


def what_if(
    account: Account,
    document: Mapping[str, Any],
    parameters: Mapping[str, Any],
    secrets: Iterable[str],
) -> list[dict[str, Any]]:
    """Return what-if's changes of the template's resources; the values in them are secret."""
    from portafaas.errors import DeploymentError

    body = {
        "properties": {
            "mode": "Incremental",
            "template": dict(document),
            "parameters": {name: {"value": value} for name, value in parameters.items()},
            "whatIfSettings": {"resultFormat": "FullResourcePayloads"},
        }
    }
    with azure("asking Azure what would change", secrets):
        poller = account.deployments.deployments.begin_what_if(
            account.group, account.stack, body, polling_interval=account.poll
        )
        found = poller.result().as_dict()
    if found.get("error"):
        raise DeploymentError(
            "Azure would not deploy this:",
            [diagnostic(*one, secrets) for one in reasons(found["error"])],
        )
    changes = (found.get("properties") or {}).get("changes") or ()
    return [one for one in changes if _word(one) != "ignore" and one.get("resourceId")]


def _word(change: Mapping[str, Any]) -> str:
    return str(change.get("changeType", "")).lower()


def leaves(delta: Iterable[Mapping[str, Any]], above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, before, after) of each changed property."""
    for change in delta:
        word = str(change.get("propertyChangeType", "")).lower()
        path = f"{above}.{change['path']}" if above else str(change["path"])
        children = change.get("children") or ()
        if word == "noeffect" or _is_unknown(change.get("after")):
            continue
        if children:
            yield from leaves(children, path)
        else:
            yield path, change.get("before"), change.get("after")


def _is_unknown(after: Any) -> bool:
    return isinstance(after, str) and after.startswith("[") and "reference(" in after


def _edits(change: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return :func:`leaves` but for an app's note of its package, which is no part of a template.

    Where apps have different packages the template has none: each would count as changed.
    """
    found = leaves(change.get("delta") or ())
    is_app = kind(change["resourceId"]) == SITES
    return [leaf for leaf in found if not (is_app and leaf[0] == "tags.package")]


def changes(found: Iterable[Mapping[str, Any]]) -> list[Change]:
    """Return what-if's changes in its order, without those that change nothing."""
    made = []
    for one in found:
        identifier, word = one["resourceId"], _word(one)
        paths = sorted({path for path, _, _ in _edits(one)})
        if word == "modify" and not paths:
            continue
        if word == "unsupported":
            action, detail = "change", "Azure cannot tell beforehand"
        elif word in _ACTIONS:
            action, detail = _ACTIONS[word], ", ".join(paths) if word == "modify" else ""
        else:
            continue
        security = is_security(identifier, paths)
        made.append(Change(action, label(identifier), shown(identifier), detail, security))  # type: ignore[arg-type]
    return made


def leaving(
    plan: BuildPlan, identifiers: Iterable[str], document: Mapping[str, Any]
) -> list[Change]:
    """Return the changes of resources that have left the template *document*.

    A secret leaves the stack as soon as it is made, and the manifest only when it says so.
    """
    made = []
    declared = secret_names(document)
    for one in identifiers:
        if kind(one) == SECRETS and one.rpartition("/")[2] in declared:
            continue
        kept = is_data(plan, one)
        detail = "holds data; 'destroy --data' would remove it" if kept else ""
        action: Any = "keep" if kept else "remove"
        made.append(Change(action, label(one), shown(one), detail, is_security(one)))
    return made


def first(document: Mapping[str, Any], location: str) -> list[Change]:
    """Return what the first deployment makes, where there is no group to ask what-if about.

    The part of a name that Azure computes stands as ``*``.
    """
    from portafaas_azure.infrastructure.expressions import GROUP, Evaluator
    from portafaas_azure.infrastructure.graph import resolve

    nodes, _ = resolve(document)
    values = {"resourceGroup().location": location}
    unique = Evaluator(document, values).value("[uniqueString(resourceGroup().id)]")
    skipped = ("/extensions/onedeploy",)
    return [
        Change("add", label(one).replace(unique, "*"), shown(one), "", is_security(one))
        for one in nodes
        if one.startswith(GROUP) and not one.endswith(skipped)
    ]


def drifts(found: Iterable[Mapping[str, Any]]) -> list[Drift]:
    """Return what what-if of the deployed template would set right again."""
    made = []
    for one in found:
        identifier, word = one["resourceId"], _word(one)
        if word == "create":
            made.append(Drift(label(identifier), shown(identifier), "removed"))
        elif word == "modify":
            detail = tuple(sorted({_told(*leaf) for leaf in _edits(one)}))
            if detail:
                made.append(Drift(label(identifier), shown(identifier), "changed", detail))
    return made


def _told(path: str, before: Any, after: Any) -> str:
    """Return a property; its values only where they cannot be secret: switches and numbers."""
    if isinstance(before, bool | int | float) and isinstance(after, bool | int | float):
        return f"{path}: expected {after}, found {before}"
    return path
