"""Nobody may do more or less than the manifest says: compares role assignments with it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from portafaas.plan import BuildPlan, FunctionPlan
from portafaas_azure.infrastructure.graph import BUILT_IN, Node, of_type, once

_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
_COSMOS = "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments"
_DEFINITION = "Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions"
_RECEIVER = "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0"
_SENDER = "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"
_SIGNER = "db58b8e5-c6ad-4a2a-8342-4190687cbf4a"
#: use -> id of a built-in role, and how the id of what it is on ends.
_USES = {
    ("send", "queue"): (_SENDER, "/queues/{}"),
    ("publish", "topic"): (_SENDER, "/topics/{}"),
    ("read", "bucket"): ("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "/containers/{}"),
    ("write", "bucket"): ("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "/containers/{}"),
    ("read", "secret"): ("4633458b-17de-408a-b874-0445c86b69e6", "/secrets/{}"),
    ("read", "table"): (BUILT_IN[0], "/colls/{}"),
    ("write", "table"): ("create delete read replace upsert", "/colls/{}"),
}
#: What the runs of workflows are kept with, on the storage of their app's host.
_RUNS = ("974c5e8b-45b9-4653-ba55-5f855dd0fb88", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3")
#: On the app's own storage, and on the component.
_PLATFORM = {
    ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "Microsoft.Storage/storageAccounts"),
    ("3913510d-42f4-4e42-8a64-420c390055eb", "Microsoft.Insights/components"),
}


def check_grants(
    plan: BuildPlan, people: Mapping[str, str], nodes: Mapping[str, Node]
) -> Iterator[str]:
    """Yield what the identities (*people*: ids by function) hold too much or too little."""
    held: dict[str, set[tuple[str, str]]] = {}
    for node in nodes.values():
        if node.type in (_ASSIGNMENT, _COSMOS):
            role, scope = _role(node, nodes), _scope(node)
            holder = str(node.properties.get("principalId", ""))
            held.setdefault(holder, set()).add((role, scope))
    named = {name: f"principal-of-{one.rpartition('/')[2]}" for name, one in people.items()}
    deliverers = set(held) - set(named.values())
    sends = {("queue", f.name) for f in plan.functions if f.kind == "object"}
    for principal in sorted(deliverers):
        wanted = {(_SENDER, f"/queues/{name}-objects") for _, name in sends}
        yield from _compare("Event Grid", wanted, held[principal])
    if sends and len(deliverers) != 1:
        yield "Event Grid may not deliver"
    functions = {function.name: function for function in plan.functions}
    for name, principal in named.items():
        own = held.get(principal, set())
        platform = {
            (role, scope) for role, scope in own
            if any(role == r and scope.rpartition("/")[0].endswith(kind) for r, kind in _PLATFORM)
        }  # fmt: skip
        if len(platform) != len(_PLATFORM):
            yield f"{name}: may not use its host's storage and send telemetry, or more than that"
        yield from _host(name, people[name], platform, nodes)
        wanted = _wanted(functions[name])
        if functions[name].kind == "task":
            # Of the one app whose functions differ: what any of them needs.
            for function in plan.functions:
                if function.kind == "task":
                    wanted |= _wanted(function)
            hosts = [scope for _, scope in platform if "/storageAccounts/" in scope]
            wanted |= {(role, scope) for role in _RUNS for scope in hosts}
        for other, identity in people.items():
            if identity == people[name]:
                # Of an app they are everybody's: what has failed is sent by the one who runs.
                wanted |= _recovery(plan, functions[other])
        # Who uses a bucket signs URLs with a key of its account.
        signs = {
            (_SIGNER, scope.partition("/blobServices/")[0])
            for _, scope in own if "/blobServices/" in scope
        }  # fmt: skip
        yield from _compare(name, wanted | signs, own - platform)


def _host(
    name: str, identity: str, platform: set[tuple[str, str]], nodes: Mapping[str, Node]
) -> Iterator[str]:
    """Yield when the storage that a function owns is not that of its own host."""
    for _, scope in platform:
        account = scope.rpartition("/")[2]
        if "/storageAccounts/" in scope:
            url = f"https://{account}.blob.core.windows.net/"
            if once(nodes, _users).get(url, set()) != {identity}:
                yield f"{name}: owns the storage of somebody else's host"


def _users(nodes: Mapping[str, Node]) -> Mapping[str, set[str]]:
    """Return the identities of apps by the URL of their hosts' storage."""
    found: dict[str, set[str]] = {}
    for node in of_type(nodes, "Microsoft.Web/sites"):
        for one in node.properties["siteConfig"]["appSettings"]:
            value = one.get("value")
            if one == {"name": "AzureWebJobsStorage__blobServiceUri", "value": value}:
                owners = node.body["identity"]["userAssignedIdentities"]
                found.setdefault(value, set()).update(owners)
    return found


def _recovery(plan: BuildPlan, function: FunctionPlan) -> set[tuple[str, str]]:
    """Return what *function* needs to send what it failed at: to its dead letters, and for later.

    Where there is an order no copy may be sent.
    """
    trigger = function.trigger
    if trigger.kind in ("http", "task"):
        return set()
    if trigger.kind == "queue":
        queue = plan.queue(trigger.queue)
        found = set() if queue.ordered else {(_SENDER, f"/queues/{queue.name}")}
        if queue.dead_letter:
            dead = f"{queue.name}-dead" if queue.dead_letter is True else queue.dead_letter
            found.add((_SENDER, f"/queues/{dead}"))
        return found
    found = {(_SENDER, f"/queues/{function.name}-dead")}
    if trigger.kind == "topic":
        if not plan.topic(trigger.topic).ordered:
            found.add((_SENDER, f"/topics/{trigger.topic}"))
    elif trigger.kind == "object":
        found.add((_SENDER, f"/queues/{function.name}-objects"))
    else:
        again = f"/queues/{function.name}-again"
        found |= {(_SENDER, again), (_RECEIVER, again)}
    return found


def _wanted(function: FunctionPlan) -> set[tuple[str, str]]:
    trigger = function.trigger
    found: set[tuple[str, str]] = set()
    if trigger.kind == "queue":
        found.add((_RECEIVER, f"/queues/{trigger.queue}"))
    elif trigger.kind == "topic":
        found.add((_RECEIVER, f"/topics/{trigger.topic}/subscriptions/{function.name}"))
    elif trigger.kind == "object":
        found.add((_RECEIVER, f"/queues/{function.name}-objects"))
    elif trigger.kind == "table":
        leases = function.options.get("leaseContainer", "leases")
        found |= {
            ("", "/dbs/"),
            (BUILT_IN[0], f"/colls/{trigger.table}"),
            (BUILT_IN[1], f"/colls/{leases}"),
        }
    for use in function.uses:
        if use.kind == "workflow":
            continue
        role, scope = _USES[use.verb, use.kind]
        found.add((role, scope.format(use.name)))
    return found


def _compare(
    name: str, wanted: set[tuple[str, str]], held: set[tuple[str, str]]
) -> Iterator[str]:
    left = set(held)
    for role, suffix in sorted(wanted):
        fitting = {one for one in left if one[0] == role and _ends(one[1], suffix)}
        if not fitting:
            yield f"{name}: lacks {role or 'metadata'} on {suffix}"
        left -= fitting
    for role, scope in sorted(left):
        yield f"{name}: nothing asks for {role or 'metadata'} on {scope}"


def _ends(scope: str, suffix: str) -> bool:
    if suffix == "/dbs/":
        # The database and nothing in it.
        return scope.rpartition("/")[0].endswith("/dbs")
    return scope.endswith(suffix)


def _scope(node: Node) -> str:
    return node.scope if node.type == _ASSIGNMENT else str(node.properties.get("scope", ""))


def _role(node: Node, nodes: Mapping[str, Node]) -> str:
    """Return the id of a built-in role, or what a role of the template may do to items."""
    definition = str(node.properties.get("roleDefinitionId", ""))
    if node.type == _ASSIGNMENT or definition.rpartition("/")[2] in BUILT_IN:
        return definition.rpartition("/")[2]
    made = nodes.get(definition)
    if made is None or made.type != _DEFINITION:
        return "no role"
    actions = [a for one in made.properties.get("permissions", ())
               for a in one.get("dataActions", ())]  # fmt: skip
    if "Microsoft.DocumentDB/databaseAccounts/readMetadata" not in actions:
        return "no role"
    rest = sorted(a.rpartition("/")[2] for a in actions if not a.endswith("/readMetadata"))
    return " ".join(rest)
