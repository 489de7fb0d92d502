"""Who may do what: the roles, and the grants a function gets from its trigger and ``uses``. Pure.

Role ids: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
"""

from __future__ import annotations

from typing import Any, assert_never

from portafaas.errors import Diagnostic
from portafaas.plan import (
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    ScheduleTrigger,
    TableTrigger,
    TaskTrigger,
    TopicTrigger,
)
from portafaas.plan.model import Use
from portafaas.record import dataclass
from portafaas_azure.broker import again_of, dead_of, sends_copies, source_of
from portafaas_azure.grouping import App
from portafaas_azure.infrastructure.arm import Ref, Template, expression, formatted, quote
from portafaas_azure.infrastructure.places import Places

#: Azure roles by what they are called here: (their name, their id).
ROLES = {
    "host": ("Storage Blob Data Owner", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
    "telemetry": ("Monitoring Metrics Publisher", "3913510d-42f4-4e42-8a64-420c390055eb"),
    "receive": ("Azure Service Bus Data Receiver", "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0"),
    "send": ("Azure Service Bus Data Sender", "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"),
    "blob-read": ("Storage Blob Data Reader", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
    "blob-write": ("Storage Blob Data Contributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
    # Signs URLs, which then permit what the identity itself may do; the action is on an account.
    # https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
    "sign": ("Storage Blob Delegator", "db58b8e5-c6ad-4a2a-8342-4190687cbf4a"),
    # Durable Functions keeps runs in tables, and hands on their events by queues.
    # https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-configure-managed-identity
    "queues": ("Storage Queue Data Contributor", "974c5e8b-45b9-4653-ba55-5f855dd0fb88"),
    "tables": ("Storage Table Data Contributor", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"),
    "secret": ("Key Vault Secrets User", "4633458b-17de-408a-b874-0445c86b69e6"),
}
_COSMOS = "Microsoft.DocumentDB/databaseAccounts"
_ITEMS = f"{_COSMOS}/sqlDatabases/containers/items"
#: Cosmos DB's own roles of the data plane: built in by id, or made by the template of actions.
#: https://learn.microsoft.com/azure/cosmos-db/nosql/reference-data-plane-security
COSMOS_ROLES: dict[str, tuple[str, str | tuple[str, ...]]] = {
    "table-read": ("Cosmos DB Built-in Data Reader", "00000000-0000-0000-0000-000000000001"),
    "leases": ("Cosmos DB Built-in Data Contributor", "00000000-0000-0000-0000-000000000002"),
    # The trigger looks the database up before it looks for its leases.
    "metadata": ("portafaas metadata", (f"{_COSMOS}/readMetadata",)),
    "table-write": (
        "portafaas write",
        (
            f"{_COSMOS}/readMetadata",
            f"{_ITEMS}/create",
            f"{_ITEMS}/delete",
            # Conditions and updates look at the row first.
            f"{_ITEMS}/read",
            f"{_ITEMS}/replace",
            f"{_ITEMS}/upsert",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on a resource, and the line of the manifest that asks for it."""

    role: str
    scope: Ref
    why: str

    @property
    def title(self) -> str:
        """The role's name for people."""
        return ROLES[self.role][0] if self.role in ROLES else COSMOS_ROLES[self.role][0]


def grants(
    plan: BuildPlan, app: App, function: FunctionPlan, places: Places
) -> list[Grant]:
    """Return what *function* of *app* is granted: by the platform, its trigger, its ``uses``."""
    host = Grant("host", places.host(app), "platform")
    telemetry = Grant("telemetry", places.insights, "platform")
    found = [host, telemetry]
    trigger, why = function.trigger, f"$.functions.{function.name}.trigger"
    match trigger:
        case QueueTrigger():
            found.append(Grant("receive", places.queue(trigger.queue), why))
        case TopicTrigger():
            scope = places.topic(trigger.topic).child("subscriptions", quote(function.name))
            found.append(Grant("receive", scope, why))
        case ObjectTrigger():
            found.append(Grant("receive", places.events_queue(function), why))
        case TableTrigger():
            found += [
                Grant("metadata", places.database, why),
                Grant("table-read", places.table(trigger.table), why),
                Grant("leases", places.leases(function), why),
            ]
        case TaskTrigger():
            found += [Grant(role, places.host(app), why) for role in ("queues", "tables")]
        case HttpTrigger() | ScheduleTrigger():
            pass
        case _:
            assert_never(trigger)
    found += _recovery(plan, function, places)
    for index, use in enumerate(function.uses):
        if use.kind == "workflow":
            # Not a role: the workflows' app lets the identity in, see ``apps``.
            continue
        role, scope = _asked(plan, use, places)
        why = use.why or f"{function.why(index)}.{use.verb}"
        found.append(Grant(role, scope, why))
        if use.kind == "bucket":
            versioned = next(one.versioned for one in plan.buckets if one.name == use.name)
            found.append(Grant("sign", places.buckets(versioned), why))
    return found


def _recovery(plan: BuildPlan, function: FunctionPlan, places: Places) -> list[Grant]:
    """Return what *function* needs for what it fails at: dead letters, copies for later."""
    why = f"$.functions.{function.name}.trigger"
    found = []
    if again := again_of(function):
        found.append(Grant("receive", places.queue(again), why))
    kind, name = source_of(plan, function)
    if sends_copies(plan, function):
        scope = places.topic(name) if kind == "topic" else places.queue(name)
        found.append(Grant("send", scope, why))
    if dead := dead_of(plan, function):
        if isinstance(function.trigger, QueueTrigger):
            why = f"$.queues.{function.trigger.queue}.dead-letter"
        found.append(Grant("send", places.queue(dead), why))
    return found


def _asked(plan: BuildPlan, use: Use, places: Places) -> tuple[str, Ref]:
    match use.kind:
        case "queue":
            return "send", places.queue(use.name)
        case "topic":
            return "send", places.topic(use.name)
        case "bucket":
            return f"blob-{use.verb}", places.bucket(plan, use.name)
        case "table":
            return f"table-{use.verb}", places.table(use.name)
        case "secret":
            return "secret", places.secret(use.name)
        case "workflow":
            raise ValueError("no role starts a workflow")
        case _:
            assert_never(use.kind)


def notes(plan: BuildPlan) -> tuple[Diagnostic, ...]:
    """Return a PF3010 for each grant that is wider than what the manifest asks for."""
    return (*_shared(plan), *(
        Diagnostic(
            "PF3010",
            f"Azure has no built-in role that writes blobs of a container and does not read them: "
            f"{function.name!r} may also read {use.name!r}",
            path=use.why or f"{function.why(index)}.{use.verb}",
            hint="https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage",
            severity="note",
        )
        for function in plan.functions
        for index, use in enumerate(function.uses)
        if use.kind == "bucket"
        and use.verb == "write"
        and not any(o.kind == "bucket" and o.verb == "read" and o.name == use.name
                    for o in function.uses)
    ))  # fmt: skip


def _shared(plan: BuildPlan) -> list[Diagnostic]:
    tasks = [function for function in plan.functions if function.kind == "task"]
    if len({frozenset((u.verb, u.kind, u.name) for u in task.uses) for task in tasks}) < 2:
        return []
    names = ", ".join(repr(task.name) for task in tasks)
    return [
        Diagnostic(
            "PF3010",
            f"workflows and their tasks are one app on Azure: each of {names} may do what any of "
            f"them may, and sees its variables",
            path="$.workflows",
            hint="docs/infrastructure-azure.md#workflows",
            severity="note",
        )
    ]


def assign(
    template: Template, identity: Ref, role: str, scope: Ref, depends: tuple[Ref, ...] = ()
) -> Ref:
    """Add the assignment of *role* on *scope* to *identity*; return it.

    Its name is a hash of the three, so that a second deployment finds the first one's.
    """
    principal = expression(identity.output("principalId"))
    if role in COSMOS_ROLES:
        return _assign_cosmos(template, identity, role, scope, principal)
    definition = ROLES[role][1]
    ref = Ref(
        "Microsoft.Authorization/roleAssignments",
        (f"guid({scope.id}, {identity.id}, {quote(definition)})",),
        on=scope,
    )
    return template.add(
        ref,
        {
            "roleDefinitionId": expression(
                "subscriptionResourceId('Microsoft.Authorization/roleDefinitions', "
                f"{quote(definition)})"
            ),
            "principalId": principal,
            # Without it a new identity may not be found yet.
            "principalType": "ServicePrincipal",
        },
        depends=(identity, scope, *depends),
        title=_title(ROLES[role][0], identity, scope),
    )


def _title(role: str, identity: Ref, scope: Ref) -> str:
    return f"{role} of {identity.title} on {scope.label.partition('/')[2]}"


def cosmos_role(account: Ref, role: str) -> Ref:
    """Return the definition of *role* in *account*."""
    definition = COSMOS_ROLES[role][1]
    name = quote(definition) if isinstance(definition, str) else f"guid({account.id}, '{role}')"
    return account.child("sqlRoleDefinitions", name)


def define_cosmos_role(template: Template, account: Ref, role: str) -> Ref:
    """Add the definition of a role that is not built in."""
    title, actions = COSMOS_ROLES[role]
    return template.add_in_turn(
        cosmos_role(account, role),
        {
            "roleName": title,
            "type": "CustomRole",
            "assignableScopes": [account.value],
            "permissions": [{"dataActions": list(actions)}],
        },
        [account],
        title=f"{account.title}/{title}",
    )


def _assign_cosmos(
    template: Template, identity: Ref, role: str, scope: Ref, principal: str
) -> Ref:
    account = Ref(_COSMOS, scope.names[:1])
    definition = cosmos_role(account, role)
    built_in = isinstance(COSMOS_ROLES[role][1], str)
    ref = account.child(
        "sqlRoleAssignments", f"guid({scope.id}, {identity.id}, {quote(role)})"
    )  # fmt: skip
    properties: dict[str, Any] = {
        "roleDefinitionId": definition.value,
        "principalId": principal,
        "scope": expression(cosmos_scope(scope)),
    }
    depends = (identity, scope) if built_in else (identity, scope, definition)
    title = _title(COSMOS_ROLES[role][0], identity, scope)
    return template.add_in_turn(ref, properties, depends, title)


def cosmos_scope(scope: Ref) -> str:
    """Return code of *scope* as the data plane writes it: ``<account>/dbs/<d>/colls/<c>``."""
    words = "/dbs/{1}" + "/colls/{2}" * (len(scope.names) - 2)
    return formatted("{0}" + words, Ref(_COSMOS, scope.names[:1]).id, *scope.names[1:])
