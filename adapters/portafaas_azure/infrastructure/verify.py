"""Checks a template against the plan it was made from, as a reader would. Pure.

Runs at every build. What it expects it takes from the plan and from what lowering wrote into the
package, not from the modules that write the template.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from portafaas.adapter import Deployment
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas_azure.infrastructure.alert_rules import check_alerts
from portafaas_azure.infrastructure.apps_rules import (
    SITE,
    check_apps,
    identity_of,
    settings_of,
)
from portafaas_azure.infrastructure.declared_rules import (
    Nodes,
    check_addresses,
    check_declared,
    place,
)
from portafaas_azure.infrastructure.grants_rules import check_grants
from portafaas_azure.infrastructure.graph import Node, of_type, outputs, reachable, resolve
from portafaas_azure.infrastructure.rules import check_values
from portafaas_azure.infrastructure.sharing_rules import check_urls, most, owned, running, scaled
from portafaas_azure.infrastructure.trigger_rules import check_trigger
from portafaas_azure.lowering import deployed

#: What a deletion would lose; each is locked.
_KEPT = (
    "Microsoft.DocumentDB/databaseAccounts",
    "Microsoft.KeyVault/vaults",
    "Microsoft.ServiceBus/namespaces",
)


def verify(plan: BuildPlan, document: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with *document* as the infrastructure of *plan*, in sentences."""
    nodes, found = resolve(document)
    if found:
        # What cannot be resolved cannot be judged.
        return found
    sites = of_type(nodes, SITE)
    apps = dict(running(plan, sites, found))
    deployments = {made.function: made for made in deployed(plan)}
    tags = {"service": plan.service, "stage": plan.stage, "managed-by": "portafaas"}
    checks = (
        check_values(nodes, {name: text for name, text in tags.items() if text}),
        check_apps(nodes),
        check_declared(plan, nodes),
        _kept(nodes),
        _in_turn(nodes),
        _parameters(plan, document),
        check_alerts(plan, document, nodes),
        check_urls(plan, apps, outputs(document)),
        check_addresses(plan, nodes, outputs(document)),
    )
    for check in checks:
        _collect(found, "", check)
    for function in plan.functions:
        app = apps.get(function.entry)
        if app is None:
            found.append(f"{function.name}: no app runs it")
            continue
        for look in (_app, check_trigger, _addresses):
            made = deployments[function.name]
            _collect(found, f"{function.name}: ", look(plan, function, made, app, nodes))
    people = {f.name: identity_of(apps[f.entry]) for f in plan.functions if f.entry in apps}
    _collect(found, "", check_grants(plan, people, nodes))
    return found


def _collect(found: list[str], start: str, messages: Iterator[str]) -> None:
    """Add *messages* to *found*; a part that is not there at all ends them."""
    try:
        for message in messages:
            found.append(start + message)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        found.append(f"{start}something is missing: {type(error).__name__} {error}")


def _in_turn(nodes: Nodes) -> Iterator[str]:
    """Yield what Cosmos DB refuses: changes of an account's roles at the same time."""
    before = {n.id: reachable(nodes, n.id) for n in nodes.values() if "/sqlRole" in n.type}
    ordered = sorted(before, key=lambda one: len(before[one]))
    containers = {n.id for n in nodes.values() if n.type.endswith("/sqlDatabases/containers")}
    if ordered and not containers <= before[ordered[0]]:
        yield f"{nodes[ordered[0]].label}: may be made while the containers are"
    for first, second in itertools.pairwise(ordered):
        if first not in before[second]:
            yield f"{nodes[second].label}: may be made while {nodes[first].label} is"


def _kept(nodes: Nodes) -> Iterator[str]:
    locked = {n.scope for n in nodes.values() if n.type == "Microsoft.Authorization/locks"}
    for node in nodes.values():
        data = node.type in _KEPT or f"{node.id}/blobServices/default" in nodes
        if data and node.id not in locked:
            yield f"{node.label}: holds data and is not locked"


def _parameters(plan: BuildPlan, document: Mapping[str, Any]) -> Iterator[str]:
    auths = [getattr(function.trigger, "auth", None) for function in plan.functions]
    keys = {auth.keys for auth in auths if auth is not None}
    for name, declared in document["parameters"].items():
        secret = name == "packageUri" or name in keys
        if secret != (declared["type"] == "securestring"):
            yield f"parameter {name!r}: the type {declared['type']} shows or hides the wrong thing"
        if name == "secretShells" and declared.get("defaultValue") != []:
            yield "secretShells: a second deployment would put shells over real values"
        if name == "protectData" and declared.get("defaultValue") is not True:
            yield "protectData: data is locked unless a deployment says otherwise"


def _app(
    plan: BuildPlan, function: FunctionPlan, made: Deployment, app: Node, nodes: Nodes
) -> Iterator[str]:
    settings = settings_of(app)
    site = (identity_of(app), app.properties["serverFarmId"], app.id)
    if not owned(plan, function, [nodes[one].body["tags"] for one in site]):
        yield "its resources do not say whose they are"
    for name, value in made.environment.items():
        if settings.get(name) != value:
            yield f"the setting {name} is {settings.get(name)!r}, not {value!r}"
    config = app.properties["functionAppConfig"]
    scale = config["scaleAndConcurrency"]
    if scale["instanceMemoryMB"] != made.memory:
        yield f"has {scale['instanceMemoryMB']} MB, not {made.memory}"
    if config["runtime"]["version"] != plan.python:
        yield f"runs Python {config['runtime']['version']}, not {plan.python}"
    http = scale.get("triggers", {}).get("http", {}).get("perInstanceConcurrency")
    if http != (function.concurrency if function.kind == "http" else None):
        yield f"perInstanceConcurrency is {http}"
    if scale["maximumInstanceCount"] != most(plan, function):
        yield f"runs on up to {scale['maximumInstanceCount']} instances, not {most(plan, function)}"
    kept = sum(one["instanceCount"] for one in scale.get("alwaysReady", ())
               if one["name"] == scaled(function))  # fmt: skip
    ready = function.min_instances
    if function.kind == "task":
        ready = max(one.min_instances for one in plan.functions if one.kind == "task")
    if kept != ready:
        yield f"keeps {kept} instances ready, not {ready}"
    auth = getattr(function.trigger, "auth", None)
    sign_in = nodes.get(f"{app.id}/config/authsettingsV2")
    signed = (auth is not None and auth.scheme == "iam") or (
        function.kind == "task" and any(_starts(plan, one) for one in plan.functions)
    )
    if signed != (sign_in is not None):
        yield "callers without a token are treated the wrong way"
    elif sign_in is not None:
        rules = sign_in.properties.get("globalValidation", {})
        if rules != made.binding["authentication"]:
            yield f"lets callers in by {rules}"
    if auth is not None and auth.keys and auth.keys not in settings:
        yield f"has no {auth.keys}"


def _addresses(
    plan: BuildPlan, function: FunctionPlan, made: Deployment, app: Node, nodes: Nodes
) -> Iterator[str]:
    settings = settings_of(app)
    told = {name for name in settings if name.startswith("PORTAFAAS_")}
    auth = getattr(function.trigger, "auth", None)
    entries = settings.get("PORTAFAAS_FUNCTIONS", "").split(",")
    together = [function]
    if function.kind == "task":
        together = [member for member in plan.functions if member.entry in entries]
    own = {"PORTAFAAS_FUNCTIONS", auth.keys if auth is not None else ""}
    own = own.union(*(member.environment for member in together))
    wanted = {
        f"PORTAFAAS_{u.kind}_{u.name}".upper().replace("-", "_"): u
        for member in together for u in member.uses
    }
    if function.kind == "task" and "PORTAFAAS_STARTERS" in settings:
        own.add("PORTAFAAS_STARTERS")
        if settings["PORTAFAAS_STARTERS"] != ";".join(_starters(plan, nodes)):
            yield f"lets start: {settings['PORTAFAAS_STARTERS']}"
    failing: dict[str, str] = {}
    for member in plan.functions:
        if member.entry in entries:
            failing |= _failing(plan, member)
    for name in sorted(told - own - set(wanted) - set(failing)):
        yield f"is told {name} without using it"
    bus = next(iter(of_type(nodes, "Microsoft.ServiceBus/namespaces")), None)
    for name, end in failing.items():
        host = bus.name if bus is not None else ""
        if settings.get(name) != f"https://{host}.servicebus.windows.net/{end}":
            yield f"{name} leads to {settings.get(name)!r}, not to {end}"
    for name, use in wanted.items():
        if use.kind == "workflow":
            sites = {""} if function.kind == "task" else {
                f"https://{site.name}.azurewebsites.net" for site in of_type(nodes, SITE)
                if site.body["tags"].get("app") == "workflows"
            }
            path = f"/portafaas/workflows/{use.name}#api://text"
            if settings.get(name) not in {f"{site}{path}" for site in sites}:
                yield f"{name} leads to {settings.get(name)!r}"
            continue
        account = place(nodes, use.kind, use.name).partition("/providers/")[2].split("/")[2:3]
        value = settings.get(name, "")
        if not account or not value.startswith(f"https://{account[0]}."):
            yield f"{name} leads nowhere: {value!r}"
        elif not value.endswith(f"/{use.name}"):
            yield f"{name} leads to something else: {value!r}"


def _starts(plan: BuildPlan, function: FunctionPlan) -> list[str]:
    """Return the workflows that the app of *function* may start, in the manifest's order."""
    return [use.name for use in function.uses if use.kind == "workflow"]


def _starters(plan: BuildPlan, nodes: Nodes) -> Iterator[str]:
    """Yield what the workflows' app is told of each identity that starts runs."""
    functions = {function.entry: function for function in plan.functions}
    for site in of_type(nodes, SITE):
        entries = settings_of(site).get("PORTAFAAS_FUNCTIONS", "").split(",")
        members = [functions[entry] for entry in entries]
        names = {name for member in members for name in _starts(plan, member)}
        if names:
            principal = f"principal-of-{identity_of(site).rpartition('/')[2]}"
            yield f"{principal}={','.join(sorted(names))}"


def _failing(plan: BuildPlan, function: FunctionPlan) -> dict[str, str]:
    """Return what *function* is told of where failures go: variable, and queue or topic."""
    trigger = function.trigger
    if trigger.kind in ("http", "task"):
        return {}
    dead, source = f"{function.name}-dead", f"{function.name}-again"
    if trigger.kind == "queue":
        queue = plan.queue(trigger.queue)
        source = queue.name
        dead = f"{source}-dead" if queue.dead_letter is True else queue.dead_letter or ""
    elif trigger.kind == "topic":
        source = trigger.topic
    elif trigger.kind == "object":
        source = f"{function.name}-objects"
    name = function.name.upper().replace("-", "_")
    found = {f"PORTAFAAS_DEAD_{name}": dead, f"PORTAFAAS_SOURCE_{name}": source}
    return {variable: place for variable, place in found.items() if place}
