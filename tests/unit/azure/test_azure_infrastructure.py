"""The template: what it has for each line of a manifest, and what a change of one changes."""

from __future__ import annotations

import dataclasses
import json
import types
from pathlib import Path
from typing import Any

import pytest

from portafaas.errors import PortafaasError
from portafaas.plan import (
    Auth,
    BucketPlan,
    BuildPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
)
from portafaas.plan.model import Use
from portafaas_azure.adapter import ADAPTER
from portafaas_azure.grouping import apps_of
from portafaas_azure.infrastructure import emit, size
from portafaas_azure.infrastructure.graph import Node, resolve
from portafaas_azure.infrastructure.iam import ROLES

RECEIVER, SENDER = "Azure Service Bus Data Receiver", "Azure Service Bus Data Sender"
SHOP = Path(__file__).parents[3] / "examples" / "shop" / "portafaas.yaml"


@pytest.fixture(scope="module")
def plan(service: types.ModuleType) -> BuildPlan:
    made: BuildPlan = service.plan()
    return made


@pytest.fixture(scope="module")
def document(plan: BuildPlan) -> dict[str, Any]:
    return dict(emit(plan).documents["shop.arm.json"])


@pytest.fixture(scope="module")
def nodes(document: dict[str, Any]) -> dict[str, Node]:
    found, problems = resolve(document)
    assert problems == []
    return found


def named(nodes: dict[str, Node], kind: str, name: str) -> Node:
    """Return the resource *name* whose type ends in *kind*."""
    (found,) = [n for n in nodes.values() if n.type.endswith(kind) and n.name == name]
    return found


def settings(nodes: dict[str, Node], name: str) -> dict[str, str]:
    (site,) = [n for n in nodes.values()
               if n.type == "Microsoft.Web/sites" and n.name.startswith(f"shop-prod-{name}-u")]  # fmt: skip
    return {s["name"]: s["value"] for s in site.properties["siteConfig"]["appSettings"]}


def test_one_document_that_is_json_and_always_the_same(plan: BuildPlan) -> None:
    first, second = emit(plan), emit(plan)
    assert list(first.documents) == ["shop.arm.json"]
    assert json.dumps(first.documents) == json.dumps(second.documents)
    assert first.permissions == second.permissions
    assert json.loads(json.dumps(first.documents["shop.arm.json"])) == (
        first.documents["shop.arm.json"]
    )


@pytest.mark.parametrize("stage", ["", "test"])
def test_the_shop(stage: str, arm_models: types.ModuleType) -> None:
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    plan = build_plan(load_manifest(SHOP, stage or None), "azure")
    assert [p for p in ADAPTER.check(plan) if p.severity == "error"] == []
    found, problems = resolve(ADAPTER.infrastructure(plan).documents["shop.arm.json"])
    assert problems == []
    assert [m for n in found.values() for m in arm_models.check(n.type, n.body)] == []
    assert {n.body["tags"].get("stage", "") for n in found.values() if "tags" in n.body} == {stage}


def test_the_conformance_service(tmp_path: Path, arm_models: types.ModuleType) -> None:
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan
    from portafaas.testing import service

    refused = {"on-change", "on-insert", "on-delete"}
    functions = {n: f for n, f in service.FUNCTIONS.items() if n not in refused}
    manifest = service.write(tmp_path, service.document("3.12", functions))
    plan = build_plan(load_manifest(manifest), "azure")
    assert [p for p in ADAPTER.check(plan) if p.severity == "error"] == []
    found, problems = resolve(ADAPTER.infrastructure(plan).documents["conformance.arm.json"])
    assert problems == []
    assert [m for n in found.values() for m in arm_models.check(n.type, n.body)] == []
    assert sum(n.type == "Microsoft.Web/sites" for n in found.values()) == len(apps_of(plan))


def is_queue(resource: dict[str, Any], name: str | None) -> bool:
    kind = "Microsoft.ServiceBus/namespaces/queues"
    return resource["type"] == kind and f"/{name}'" in resource["name"]


def test_a_new_function_changes_only_its_own_block(service: types.ModuleType) -> None:
    """Whatever function is taken away: the rest of the document stays as it is.

    But for the settings of the queue it consumes, which are its own, and, when it is not the
    last, whose turn comes after its changes of roles in Cosmos DB.
    """
    base = service.FUNCTIONS
    for function in base:
        trigger = function.trigger
        queue = "spare" if isinstance(trigger, QueueTrigger) else None
        if queue:
            trigger = dataclasses.replace(trigger, queue=queue)
        new = dataclasses.replace(function, name=f"new-{function.name}", trigger=trigger)
        # In the middle a list that is sorted or numbered would show.
        before, after, between = (
            dict(emit(service.plan(functions=functions)).documents["shop.arm.json"])
            for functions in (base, (*base, new), (*base[:5], new, *base[5:]))
        )
        old, now, mixed = (
            [r for r in d["resources"] if not is_queue(r, queue)]
            for d in (before, after, between)
        )
        moved = [r for r in old if r not in mixed]
        assert [r["type"].rpartition("/")[2] for r in moved] in ([], ["sqlRoleAssignments"])
        added = [r for r in now if r not in old]
        start = now.index(added[0])
        assert now[start : start + len(added)] == added
        assert now[:start] + now[start + len(added) :] == old
        owners = {r["tags"]["function"] for r in added if "tags" in r}
        assert owners == {new.name}
        assert before["parameters"] == after["parameters"]
        assert before["variables"] == after["variables"]
        assert before["outputs"]["vault"] == after["outputs"]["vault"]
        urls, more = (d["outputs"]["urls"]["value"] for d in (before, after))
        assert urls.items() <= more.items()
        assert set(more) - set(urls) <= {new.name}


def test_an_app_of_each_function(plan: BuildPlan, nodes: dict[str, Node]) -> None:
    for function in plan.functions:
        found = settings(nodes, function.name)
        assert found["PORTAFAAS_FUNCTIONS"] == function.entry
        client = f"client-of-shop-prod-fn-{function.name}"
        assert found["AZURE_CLIENT_ID"] == found["AzureWebJobsStorage__clientId"] == client
    site = next(n for n in nodes.values() if "shop-prod-web-" in n.name)
    assert site.properties["functionAppConfig"]["runtime"] == {"name": "python", "version": "3.12"}
    assert site.properties["functionAppConfig"]["scaleAndConcurrency"] == {
        "maximumInstanceCount": 7,
        "instanceMemoryMB": 2048,
        "alwaysReady": [{"name": "http", "instanceCount": 2}],
        "triggers": {"http": {"perInstanceConcurrency": 16}},
    }


def test_text_that_looks_like_an_expression_stays_text(
    document: dict[str, Any], nodes: dict[str, Node]
) -> None:
    assert settings(nodes, "web")["SIZES"] == "[1, 2]"
    assert settings(nodes, "web")["QUOTE"] == "it's {0}"
    assert '"[[1, 2]"' in json.dumps(document)


def test_functions_learn_where_things_are_that_they_use(nodes: dict[str, Node]) -> None:
    def told(name: str) -> dict[str, str]:
        return {
            key.removeprefix("PORTAFAAS_"): value
            for key, value in settings(nodes, name).items()
            if key.startswith("PORTAFAAS_") and key != "PORTAFAAS_FUNCTIONS"
        }

    bus = next(n.name for n in nodes.values() if n.type == "Microsoft.ServiceBus/namespaces")
    vault = next(n.name for n in nodes.values() if n.type == "Microsoft.KeyVault/vaults")
    assert told("web") == {}
    assert told("work") == {
        "QUEUE_IN_ORDER": f"https://{bus}.servicebus.windows.net/in-order",
        "TOPIC_NEWS": f"https://{bus}.servicebus.windows.net/news",
        "SECRET_API_KEY": f"https://{vault}.vault.azure.net/secrets/api-key",
        "DEAD_WORK": f"https://{bus}.servicebus.windows.net/failed",
        "SOURCE_WORK": f"https://{bus}.servicebus.windows.net/jobs",
    }
    for name, source in (("on-gold", "news"), ("on-file", "on-file-objects"),
                         ("on-row", "on-row-again"), ("on-morning", "on-morning-again")):  # fmt: skip
        short = name.upper().replace("-", "_")
        assert told(name)[f"DEAD_{short}"].endswith(f".net/{name}-dead")
        assert told(name)[f"SOURCE_{short}"].endswith(f".net/{source}")
    assert sorted(told("orders-get")) == ["BUCKET_FILES", "HTTP_KEYS", "TABLE_ORDERS"]
    assert told("orders-get")["TABLE_ORDERS"].endswith(".azure.com:443/dbs/shop/colls/orders")
    assert told("orders-get")["BUCKET_FILES"].endswith(".blob.core.windows.net/files")


def test_keys_and_packages_are_parameters_without_a_value(document: dict[str, Any]) -> None:
    secret = {n for n, p in document["parameters"].items() if p["type"] == "securestring"}
    assert secret == {"packageUri", "PORTAFAAS_HTTP_KEYS"}
    assert all(document["parameters"][name]["defaultValue"] == "" for name in secret)
    assert "defaultValue" not in document["parameters"]["authClientId"]


def test_queues(nodes: dict[str, Node]) -> None:
    jobs = named(nodes, "/queues", "jobs").properties
    assert jobs["maxDeliveryCount"] == 7
    assert jobs["lockDuration"] == "PT90S"
    assert jobs["defaultMessageTimeToLive"] == "PT3600S"
    assert jobs["forwardDeadLetteredMessagesTo"] == "failed"
    in_order = named(nodes, "/queues", "in-order").properties
    assert in_order["requiresSession"] is True
    # Of what has sessions Service Bus forwards nothing: the bridge gives up.
    assert "forwardDeadLetteredMessagesTo" not in in_order
    assert in_order["maxDeliveryCount"] == 2_147_483_647
    assert named(nodes, "/queues", "in-order-dead").properties == {
        "maxDeliveryCount": 2_147_483_647,
        "lockDuration": "PT300S",
        "deadLetteringOnMessageExpiration": True,
    }
    assert "maxDeliveryCount" not in named(nodes, "/queues", "spare").properties
    work = next(n for n in nodes.values() if "shop-prod-work-u" in n.name)
    # At most nine at once, two in an instance, would be four; the function asks for three.
    assert work.properties["functionAppConfig"]["scaleAndConcurrency"]["maximumInstanceCount"] == 3


def test_topics(nodes: dict[str, Node]) -> None:
    gold, log = (
        next(n for n in nodes.values() if n.id.endswith(f"/subscriptions/{name}/rules/$Default"))
        for name in ("on-gold", "on-log")
    )
    copies = """(NOT EXISTS(user."pf-to") OR user."pf-to" = 'on-{}')"""
    assert gold.properties["sqlFilter"]["sqlExpression"].startswith(copies.format("gold"))
    assert "o''r" in gold.properties["sqlFilter"]["sqlExpression"]
    assert log.properties["sqlFilter"]["sqlExpression"] == copies.format("log")
    own = named(nodes, "/subscriptions", "on-gold").properties
    assert own["forwardDeadLetteredMessagesTo"] == "on-gold-dead"
    assert "forwardDeadLetteredMessagesTo" not in named(nodes, "/subscriptions", "on-log").properties
    assert named(nodes, "/subscriptions", "on-log").properties["requiresSession"] is True
    assert named(nodes, "/topics", "log").properties["supportOrdering"] is True


def test_objects(nodes: dict[str, Node]) -> None:
    subscription = named(nodes, "/eventSubscriptions", "fn-on-file")
    queue = named(nodes, "/queues", "on-file-objects")
    delivery = subscription.properties["deliveryWithResourceIdentity"]
    assert delivery["destination"]["properties"]["resourceId"] == queue.id
    assert queue.properties["maxDeliveryCount"] == 3
    assert queue.properties["forwardDeadLetteredMessagesTo"] == "on-file-dead"
    assert subscription.properties["filter"] == {
        "includedEventTypes": ["Microsoft.Storage.BlobCreated", "Microsoft.Storage.BlobDeleted"],
        "subjectBeginsWith": "/blobServices/default/containers/files/blobs/in/",
        "subjectEndsWith": ".csv",
        "isSubjectCaseSensitive": True,
    }
    # Versions are a setting of the account.
    plain, versioned = (named(nodes, "/containers", name).id for name in ("files", "archive"))
    assert plain.split("/blobServices")[0] != versioned.split("/blobServices")[0]
    for container, on in ((plain, False), (versioned, True)):
        services = nodes[container.rpartition("/containers/")[0]]
        assert services.properties["isVersioningEnabled"] is on


def test_tables(nodes: dict[str, Node]) -> None:
    orders = named(nodes, "sqlDatabases/containers", "orders").properties["resource"]
    assert orders["partitionKey"]["paths"] == ['/"order-id"']
    assert orders["uniqueKeyPolicy"] == {"uniqueKeys": [{"paths": ["/place"]}]}
    assert orders["defaultTtl"] == -1
    parts = named(nodes, "sqlDatabases/containers", "parts").properties["resource"]
    assert "defaultTtl" not in parts
    for leases in ("leases", "other-leases"):
        resource = named(nodes, "sqlDatabases/containers", leases).properties["resource"]
        assert resource["partitionKey"]["paths"] == ["/id"]


def test_a_template_that_breaks_a_rule_is_not_handed_out(
    plan: BuildPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROLES, "send", ("Azure Service Bus Data Owner", "0" * 8))
    with pytest.raises(PortafaasError, match="work: lacks 69a216fc"):
        emit(plan)


def test_what_holds_data_is_locked_and_a_secret_is_only_made_when_asked(
    document: dict[str, Any],
) -> None:
    locks = [r for r in document["resources"] if r["type"].endswith("/locks")]
    assert {r["condition"] for r in locks} == {"[parameters('protectData')]"}
    assert len(locks) == 5
    shells = [r for r in document["resources"] if r["type"].endswith("vaults/secrets")]
    assert [r["condition"] for r in shells] == [
        "[contains(parameters('secretShells'), 'api-key')]",
        "[contains(parameters('secretShells'), 'other-key')]",
    ]


def test_permissions_say_what_and_why(plan: BuildPlan) -> None:
    bus = "Microsoft.ServiceBus/namespaces/<namespace>"
    found = [p for p in emit(plan).permissions if p.function == "work"]
    assert [(p.grant, p.scope, p.why) for p in found if p.why != "platform"] == [
        (RECEIVER, f"{bus}/queues/jobs", "$.functions.work.trigger"),
        (SENDER, f"{bus}/queues/jobs", "$.functions.work.trigger"),
        (SENDER, f"{bus}/queues/failed", "$.queues.jobs.dead-letter"),
        (SENDER, f"{bus}/queues/in-order", "$.functions.work.uses[0].send"),
        (SENDER, f"{bus}/topics/news", "$.functions.work.uses[1].publish"),
        (
            "Key Vault Secrets User",
            "Microsoft.KeyVault/vaults/<vault>/secrets/api-key",
            "$.functions.work.uses[2].read",
        ),
    ]
    assert sorted(p.grant for p in found if p.why == "platform") == [
        "Monitoring Metrics Publisher", "Storage Blob Data Owner",
    ]  # fmt: skip


def test_a_grant_that_is_wider_than_asked_for_is_noted(plan: BuildPlan) -> None:
    noted = emit(plan).notes
    assert [(n.code, n.severity, n.path) for n in noted] == [
        ("PF3010", "note", "$.functions.on-gold.uses[0].write"),
        ("PF3010", "note", "$.functions.on-file.uses[1].write"),
    ]


def test_one_assignment_for_two_reasons(service: types.ModuleType) -> None:
    """A trigger and a use that need the same role on the same table are one assignment."""
    found, _ = resolve(emit(service.plan()).documents["shop.arm.json"])
    scopes = [n.properties["scope"] for n in found.values()
              if n.type.endswith("/sqlRoleAssignments")
              and n.properties["roleDefinitionId"].endswith("-000000000001")
              and "fn-on-part" in n.properties["principalId"]]  # fmt: skip
    assert len(scopes) == 1
    assert scopes[0].endswith("/colls/parts")


def test_nothing_is_made_that_nothing_needs(service: types.ModuleType) -> None:
    lone = service.plan(
        functions=(service.function("web", HttpTrigger(("GET",), "/")),),
        queues=(), topics=(), buckets=(), tables=(), secrets=(), stage="",
    )  # fmt: skip
    document = emit(lone).documents["shop.arm.json"]
    assert sorted({r["type"].split("/")[0] for r in document["resources"]}) == [
        "Microsoft.Authorization", "Microsoft.Insights", "Microsoft.ManagedIdentity",
        "Microsoft.OperationalInsights", "Microsoft.Storage", "Microsoft.Web",
    ]  # fmt: skip
    assert list(document["outputs"]["urls"]["value"]) == ["web"]
    assert set(document["variables"]) == {"unique"}


def test_names_of_any_length_fit_and_differ(service: types.ModuleType) -> None:
    """Rules of names are checked at each build: it would raise."""
    functions = []
    for name in ("f" * 50, "f" * 49 + "g", "a", "b"):
        functions += [
            service.function(f"{name}-1", HttpTrigger(("GET",), f"/{name}")),
            service.function(f"{name}-2"[-50:], ObjectTrigger("files")),
        ]
    for stage in ("", "s" * 40):
        long = service.plan(service="a" * 60, stage=stage, functions=tuple(functions))
        found, problems = resolve(emit(long).documents["a" * 60 + ".arm.json"])
        assert problems == []
        for kind in ("Microsoft.Web/sites", "Microsoft.Web/serverfarms"):
            assert sum(n.type == kind for n in found.values()) == len(functions)
    emit(service.plan(service="a", stage=""))


def test_stages_and_services_share_no_name(service: types.ModuleType) -> None:
    def globally(**more: str) -> set[str]:
        found, _ = resolve(next(iter(emit(service.plan(**more)).documents.values())))
        return {n.id for n in found.values() if not n.scope}

    one, two, three = globally(), globally(stage="test"), globally(service="store")
    assert not one & two
    assert not one & three


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"queues": (QueuePlan("jobs", delay=5), QueuePlan("in-order", ordered=True))},
         "$.queues.jobs.delay"),
        ({"queues": (QueuePlan("jobs", retention=0), QueuePlan("in-order", ordered=True))},
         "$.queues.jobs.retention"),
        ({"tables": (TablePlan("orders"), TablePlan("parts"), TablePlan("leases"))},
         "$.tables.leases"),
        ({"topics": (TopicPlan("news"), TopicPlan("log"), TopicPlan("jobs"))}, "$.topics.jobs"),
        ({"topics": (TopicPlan("news"), TopicPlan("log"), TopicPlan("on-file-objects"))},
         "$.topics.on-file-objects"),
        ({"buckets": (BucketPlan("files"), BucketPlan("archive"), BucketPlan("ab"))},
         "$.buckets.ab"),
    ],
)  # fmt: skip
def test_what_azure_cannot_do_is_refused(
    service: types.ModuleType, change: dict[str, Any], path: str
) -> None:
    found = [p for p in ADAPTER.check(service.plan(**change)) if p.severity == "error"]
    assert [(p.code, p.path) for p in found] == [("PF3002", path)]
    assert [p for p in ADAPTER.check(service.plan()) if p.severity == "error"] == []


def test_more_at_once_in_an_instance_than_the_queue_allows(service: types.ModuleType) -> None:
    functions = tuple(
        dataclasses.replace(f, concurrency=10) if f.name == "work" else f
        for f in service.FUNCTIONS
    )
    found = ADAPTER.check(service.plan(functions=functions))
    assert [(p.code, p.path) for p in found] == [("PF3002", "$.functions.work.concurrency")]


def test_a_variable_of_keys_that_is_a_parameter_too(service: types.ModuleType) -> None:
    def with_keys(name: str) -> BuildPlan:
        trigger = HttpTrigger(("GET",), "/", Auth("key", name))
        made: BuildPlan = service.plan(functions=(service.function("web", trigger),))
        return made

    found = ADAPTER.check(with_keys("LOCATION"))
    assert [(p.code, p.path) for p in found] == [("PF3002", "$.functions.web.trigger.http.auth")]
    assert ADAPTER.check(with_keys("ApiKeys")) == []
    declared = emit(with_keys("ApiKeys")).documents["shop.arm.json"]["parameters"]
    assert declared["ApiKeys"]["type"] == "securestring"


def test_keys_that_the_manifest_has_are_no_parameter(service: types.ModuleType) -> None:
    trigger = HttpTrigger(("GET",), "/", Auth("key", "KEYS"))
    web = service.function("web", trigger, environment={"KEYS": "demo=00"})
    plan = service.plan(functions=(web,))
    document = emit(plan).documents["shop.arm.json"]
    assert "KEYS" not in document["parameters"]
    found, _ = resolve(document)
    assert settings(found, "web")["KEYS"] == "demo=00"


def test_more_resources_than_a_deployment_takes(service: types.ModuleType) -> None:
    def many(count: int) -> BuildPlan:
        triggers = (
            HttpTrigger(("GET",), "/"), QueueTrigger("jobs"), TopicTrigger("news"),
            ObjectTrigger("files"), TableTrigger("parts"),
        )  # fmt: skip
        made: BuildPlan = service.plan(
            functions=tuple(
                service.function(f"f{n}", triggers[n % 5], Use("read", "table", "orders"))
                for n in range(count)
            )
        )
        return made

    assert size(many(50)) <= 800 < size(many(75))
    assert len(ADAPTER.infrastructure(many(50)).documents) == 1
    refused = ADAPTER.infrastructure(many(75))
    assert refused.documents == {}
    assert [(n.code, n.path, n.severity) for n in refused.notes] == [
        ("PF3002", "$.functions", "error")
    ]
