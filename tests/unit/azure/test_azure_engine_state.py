"""The Azure engine: the store, secrets, drift, destroying, and logs."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portafaas.deployment.contract import Drift, Kept
from portafaas.plan import HttpTrigger, TopicPlan, TopicTrigger
from portafaas.plan.model import SecretPlan
from portafaas_azure.deployment.ids import bucket_accounts, in_order, is_data, is_security, label
from portafaas_azure.deployment.vault import scope_of

# The store.


def test_no_store_yet(site: Any) -> None:
    blobs = site.engine().blobs()
    assert blobs.read("a") is None
    assert list(blobs.names("")) == []
    blobs.remove("a")
    assert site.refused(lambda: blobs.write("a", b"1"))[0] == ["PF8010"]
    assert site.cloud.ids() == []


def test_the_store(site: Any, tmp_path: Path) -> None:
    blobs = site.engine().blobs(create=True)
    (account,) = [one for one in site.cloud.ids("storageAccounts") if one.count("/") == 8]
    made = site.cloud.one(account)
    assert made["properties"] == {
        "allowBlobPublicAccess": False, "allowSharedKeyAccess": False,
        "minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": True,
    }  # fmt: skip
    assert made["location"] == "westeurope" and made["tags"] == {"managed-by": "portafaas"}
    name = account.rpartition("/")[2]
    assert len(name) <= 24 and name.isalnum() and name == name.lower()
    assert site.cloud.one("blobservices/default")["properties"]["isVersioningEnabled"] is True
    assert site.cloud.one("containers/portafaas")["properties"] == {"publicAccess": "None"}
    (role,) = site.cloud.ids("roleAssignments")
    given = site.cloud.one(role)["properties"]
    assert given["roleDefinitionId"].endswith("/ba92f5b4-2d11-453d-a403-e96b0029c9fe")
    assert (given["principalId"], given["principalType"]) == ("0000-ada", "User")
    blobs.write("records/a b.json", b"{}")
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100_000)
    blobs.write("packages/a.zip", file)
    assert blobs.read("packages/a.zip") == b"x" * 100_000
    blobs.write("packages/a.zip", b"2")
    assert blobs.read("packages/a.zip") == b"2"
    assert list(blobs.names("")) == ["packages/a.zip", "records/a b.json"]
    assert list(blobs.names("rec")) == ["records/a b.json"]
    blobs.remove("packages/a.zip")
    blobs.remove("packages/a.zip")
    assert blobs.read("packages/a.zip") is None
    # Again, and of another stage: the same one.
    before = dict(site.cloud.resources)
    site.engine(site.plan(stage="test")).blobs(create=True)
    assert site.cloud.resources == before
    site.engine(site.plan(options={"location": "northeurope"})).blobs(create=True)
    assert len(site.cloud.resources) == 2 * len(before)


def test_the_stores_role_of_an_application(site: Any) -> None:
    site.cloud.planes.claims = {"appid": "robot", "oid": "0000-robot", "idtyp": "app"}
    assert site.engine().caller().name == "robot"
    site.engine().blobs(create=True)
    (role,) = site.cloud.ids("roleAssignments")
    assert site.cloud.one(role)["properties"]["principalType"] == "ServicePrincipal"


def test_a_new_role_is_waited_for(site: Any) -> None:
    blobs = site.engine().blobs(create=True)
    site.cloud.planes.blob_denials = 3
    blobs.write("a", b"1")
    assert blobs.read("a") == b"1"
    site.cloud.planes.blob_denials = 10**6
    engine = site.engine()
    engine.patience = 0.0
    found, text = site.refused(lambda: engine.blobs().read("a"))
    assert found == ["PF8002"] and "Storage Blob Data Contributor" in text


def test_who_may_not_give_the_role_may_have_it(site: Any) -> None:
    body = {"error": {"code": "AuthorizationFailed", "message": "no"}}
    site.cloud.instead.append(("PUT", "roleAssignments", 403, body))
    blobs = site.engine().blobs(create=True)
    blobs.write("a", b"1")


def test_the_stores_name_is_taken(site: Any) -> None:
    site.cloud.failures["storageaccounts/pf"] = {
        "code": "StorageAccountAlreadyTaken", "message": "The name is already taken.",
    }  # fmt: skip
    assert site.refused(lambda: site.engine().blobs(create=True))[0] == ["PF8008"]


# Secrets.

TWO = (SecretPlan("token"), SecretPlan("other"))


def test_secrets_before_a_deployment(site: Any) -> None:
    secrets = site.engine().secrets()
    assert [(one.name, one.changed) for one in secrets.list()] == [("token", "")]
    assert site.refused(lambda: secrets.set("token", b"v"))[0] == ["PF8010"]
    assert site.refused(lambda: secrets.remove("token"))[0] == ["PF8010"]


def test_secrets(site: Any) -> None:
    two = site.plan(secrets=TWO)
    site.deploy(two)
    secrets = site.engine(two).secrets()
    assert [(one.name, one.changed) for one in secrets.list()] == [("token", ""), ("other", "")]
    # The vault gives one secret a page, and this is the second.
    secrets.set("token", b"hidden")
    facts = secrets.list()
    assert [(one.name, one.changed) for one in facts] == [
        ("token", "2023-11-14T22:13:20Z"), ("other", "")
    ]  # fmt: skip
    assert facts[0].physical.endswith("/token") and facts[0].physical.startswith("kv")
    assert "hidden" not in repr(facts)
    site.deploy(two)
    assert [one["value"] for one in site.cloud.planes.secrets["token"]] == ["unset", "hidden"]


def test_a_secret_removed_and_set_again(site: Any) -> None:
    site.deploy()
    secrets = site.engine().secrets()
    secrets.set("token", b"one")
    secrets.remove("token")
    assert site.cloud.planes.secrets == {} and "token" in site.cloud.planes.deleted
    assert [one.changed for one in secrets.list()] == [""]
    # No shell is put over a secret that can be recovered: Azure refuses that.
    assert site.deploy().health == "ready"
    secrets.set("token", b"two")
    assert [one["value"] for one in site.cloud.planes.secrets["token"]][-1] == "two"
    secrets.remove("token")
    secrets.remove("token")


def test_a_secret_is_purged_where_that_is_allowed(site: Any) -> None:
    site.cloud.planes.recovery = "Recoverable+Purgeable"
    site.deploy()
    site.engine().secrets().remove("token")
    assert site.cloud.planes.secrets == site.cloud.planes.deleted == {}


def test_secrets_that_are_not_ours_to_set(site: Any) -> None:
    site.deploy()
    secrets = site.engine().secrets()
    assert site.refused(lambda: secrets.set("stranger", b"v"))[0] == ["PF8011"]
    assert site.refused(lambda: secrets.remove("stranger"))[0] == ["PF8011"]
    found, text = site.refused(lambda: secrets.set("token", b"\xff\xfehidden"))
    assert found == ["PF8011"] and "hidden" not in text


def test_a_vault_that_refuses(site: Any) -> None:
    site.deploy()
    site.cloud.planes.vault_denied = True
    secrets = site.engine().secrets()
    for call in (secrets.list, lambda: secrets.set("token", b"v"), lambda: secrets.remove("token")):
        found, text = site.refused(call)
        assert found == ["PF8002"] and "Key Vault Secrets Officer" in text
    # Who deploys need not see secrets.
    assert site.deploy().health == "ready"


@pytest.mark.parametrize(
    ("root", "scope"),
    [
        ("https://kv-a.vault.azure.net", "https://vault.azure.net/.default"),
        ("https://kv-a.vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net/.default"),
        ("https://kv-a.vault.azure.cn", "https://vault.azure.cn/.default"),
    ],
)
def test_a_token_for_the_vaults_cloud(root: str, scope: str) -> None:
    assert scope_of(root) == scope


# Drift.


def test_nothing_has_drifted(site: Any) -> None:
    assert site.refused(site.engine().drift)[0] == ["PF8010"]
    site.deploy()
    site.engine().secrets().set("token", b"v")
    assert list(site.engine().drift()) == []
    # Another build than the deployed one is no drift.
    assert list(site.engine(site.plan(functions=(site.WEB,))).drift()) == []


def test_edited_by_hand(site: Any) -> None:
    site.deploy()
    web = site.cloud.one(f"sites/shop-prod-web-{site.unique}")
    web["properties"]["httpsOnly"] = False
    web["properties"]["siteConfig"]["appSettings"][0]["value"] = "edited"
    site.cloud.one("queues/spare")["properties"]["requiresSession"] = True
    gone = site.cloud.one("queues/jobs")["id"]
    site.cloud.gone(gone)
    found = list(site.engine().drift())
    name = f"shop-prod-{site.unique}"
    assert Drift(f"{name}/spare", "Microsoft.ServiceBus/namespaces/queues", "changed",
                 ("properties.requiresSession: expected False, found True",)) in found  # fmt: skip
    assert Drift(f"{name}/jobs", "Microsoft.ServiceBus/namespaces/queues", "removed") in found
    (app,) = [one for one in found if one.type == "Microsoft.Web/sites"]
    assert app.detail == (
        "properties.httpsOnly: expected True, found False",
        "properties.siteConfig.appSettings.0.value",
    )
    assert "edited" not in repr(found)
    assert len([one for one in found if one.kind == "removed"]) == 3  # with the roles on it


def test_an_app_removed_by_hand(site: Any) -> None:
    site.deploy()
    site.cloud.gone(site.cloud.one(f"sites/shop-prod-web-{site.unique}")["id"])
    found = list(site.engine().drift())
    assert Drift(f"shop-prod-web-{site.unique}", "Microsoft.Web/sites", "removed") in found
    assert site.deploy().health == "ready"
    assert list(site.engine().drift()) == []


# Destroying.


def test_nothing_to_destroy(site: Any) -> None:
    for data in (False, True):
        call = lambda data=data: site.engine().destroy(data, site.told.append)  # noqa: E731
        assert site.refused(call)[0] == ["PF8010"]


def test_destroy_keeps_data(site: Any) -> None:
    site.deploy()
    site.engine().secrets().set("token", b"v")
    kept = site.engine().destroy(False, site.told.append)
    types = sorted({one.type for one in kept})
    assert types == [
        "Microsoft.KeyVault/vaults", "Microsoft.KeyVault/vaults/secrets",
        "Microsoft.ServiceBus/namespaces", "Microsoft.ServiceBus/namespaces/queues",
        "Microsoft.Storage/storageAccounts",
        "Microsoft.Storage/storageAccounts/blobServices/containers",
    ]  # fmt: skip
    left = [one for one in site.cloud.ids() if "/resourceGroups/shop-prod/" in one]
    assert not any(word in one.lower() for one in left for word in
                   ("web/", "roleassign", "managedidentity", "insights"))  # fmt: skip
    assert len([one for one in left if "/locks/" in one]) == 3
    assert site.cloud.planes.secrets["token"][-1]["value"] == "v"
    assert site.engine().status().health == "absent"
    assert site.cloud.planes.blobs  # the store is not the service's
    # And the service comes back to its data.
    assert site.deploy().health == "ready"
    assert site.cloud.planes.secrets["token"][-1]["value"] == "v"


def test_destroy_with_data_leaves_nothing(site: Any) -> None:
    site.deploy()
    vault = next(one for one in site.cloud.ids("vaults") if one.count("/") == 8).split("/")[-1]
    kept = site.engine().destroy(True, site.told.append)
    assert kept == [Kept(vault, "deleted vault; purge protection keeps it until "
                                "2030-01-01T00:00:00Z")]  # fmt: skip
    assert "shop-prod" not in site.cloud.groups
    assert [one for one in site.cloud.ids() if "/resourceGroups/shop-prod/" in one] == []
    assert site.cloud.stacks == {}
    assert [one for one in site.cloud.planes.blobs if one.startswith("packages/")]


def test_destroy_purges_what_may_be_purged(site: Any) -> None:
    site.cloud.purge_protection = False
    site.deploy()
    assert site.engine().destroy(True, site.told.append) == []
    assert site.cloud.deleted_vaults == {}


def test_destroy_data_after_the_rest(site: Any) -> None:
    site.deploy()
    site.engine().destroy(False, site.told.append)
    site.engine().destroy(True, site.told.append)
    assert "shop-prod" not in site.cloud.groups


def test_destroy_in_a_shared_group(site: Any) -> None:
    site.cloud.groups["all"] = {"name": "all", "location": "westeurope", "tags": {}}
    strange = "/subscriptions/s/resourceGroups/all/providers/Microsoft.Web/sites/strange"
    site.cloud.resources[strange.lower()] = {"id": strange, "location": "x", "tags": {}}
    named = site.plan(options={"location": "westeurope", "resource-group": "all"})
    site.deploy(named)
    site.engine(named).destroy(False, site.told.append)
    site.engine(named).destroy(True, site.told.append)
    assert "all" in site.cloud.groups
    assert [one for one in site.cloud.ids() if "/resourceGroups/all/" in one] == [strange]
    # What somebody has taken the tags from is the stack's all the same.
    site.deploy(named)
    for part in (f"sites/shop-prod-web-{site.unique}", f"namespaces/shop-prod-{site.unique}"):
        site.cloud.one(part)["tags"] = {}
    site.engine(named).destroy(True, site.told.append)
    assert [one for one in site.cloud.ids() if "/resourceGroups/all/" in one] == [strange]


def test_a_service_without_data_leaves_no_group(site: Any) -> None:
    page = site.plan(
        functions=(site.function("page", HttpTrigger(("GET",), "/page")),),
        queues=(), buckets=(), secrets=(),
    )  # fmt: skip
    site.deploy(page)
    assert site.engine(page).destroy(False, site.told.append) == []
    assert "shop-prod" not in site.cloud.groups


def test_a_resource_that_cannot_be_deleted(site: Any) -> None:
    site.deploy()
    site.cloud.failures["serverfarms/shop-prod-web"] = {"code": "Busy", "message": "an app is on it"}
    call = lambda: site.engine().destroy(False, site.told.append)  # noqa: E731
    found, text = site.refused(call)
    assert found == ["PF8007"]
    assert "an app is on it" in text and "portafaas destroy" in text
    # The stack knows the rest, and the data is locked.
    assert site.engine().status().health != "absent"
    assert len([one for one in site.cloud.ids("locks") if "/shop-prod/" in one]) == 3
    site.cloud.failures.clear()
    assert call()
    assert site.engine().status().health == "absent"


# Logs.


def test_logs(site: Any) -> None:
    site.deploy()
    web, work = (f"shop-prod-{name}-{site.unique}" for name in ("web", "work"))
    site.cloud.planes.rows = [
        ("2024-01-01T00:00:02.1234567Z", web, "second\n", "b"),
        ("2024-01-01T00:00:01Z", work, "first", "a"),
    ]
    found = [tuple(getattr(one, part) for part in ("time", "function", "text"))
             for one in site.engine().logs((), 1_700_000_000.5, False)]  # fmt: skip
    assert found == [
        ("2024-01-01T00:00:01Z", "work", "first"),
        ("2024-01-01T00:00:02.1234567Z", "web", "second"),
    ]
    assert "datetime(2023-11-14T22:13:20.500000Z)" in site.cloud.planes.queries[0]
    one = list(site.engine().logs(("web",), 0.0, False))
    assert [line.text for line in one] == ["second"]
    assert list(site.engine().logs(("unknown",), 0.0, False)) == []


def test_logs_are_followed(site: Any) -> None:
    site.deploy()
    web = f"shop-prod-web-{site.unique}"
    site.cloud.planes.late = [
        [("2999-01-01T00:00:02Z", web, "two", "2")],
        [("2999-01-01T00:00:01Z", web, "one, late", "1")],
        [],
        [("2999-01-01T00:00:02Z", web, "two", "3")],
    ]
    lines = site.engine().logs(("web",), 0.0, True)
    assert [one.text for one in itertools.islice(lines, 3)] == ["two", "one, late", "two"]


def test_no_logs_of_nothing(site: Any) -> None:
    assert site.refused(lambda: list(site.engine().logs((), 0.0, False)))[0] == ["PF8010"]


# A service that uses everything.


def test_everything(site: Any, service: Any) -> None:
    options = {"location": "westeurope", "auth-client-id": "app"}
    every = service.plan(options=options)
    status = site.deploy(every)
    assert status.health == "ready"
    assert sorted(status.outputs) == ["orders-get", "private", "signed", "web"]
    assert len(site.cloud.planes.published) == len(service.FUNCTIONS)
    assert site.engine(every).preview(site.release(every, keys="")).changes == ()
    assert list(site.engine(every).drift()) == []
    kept = site.engine(every).destroy(False, site.told.append)
    assert {one.type.rpartition("/")[2] for one in kept} == {
        "namespaces", "queues", "topics", "storageAccounts", "databaseAccounts", "sqlDatabases",
        "containers", "vaults", "secrets",
    }  # fmt: skip
    left = [one for one in site.cloud.ids() if "/resourceGroups/shop-prod/" in one]
    assert not any(word in one for one in left for word in
                   ("Microsoft.Web", "roleAss", "sqlRole", "/subscriptions/on-", "EventGrid"))  # fmt: skip
    site.engine(every).destroy(True, site.told.append)
    assert [one for one in site.cloud.ids() if "/resourceGroups/shop-prod/" in one] == []


def test_a_topics_function_leaves(site: Any) -> None:
    topic = site.plan(
        functions=(site.function("heard", TopicTrigger("news")),), topics=(TopicPlan("news"),)
    )
    site.deploy(topic)
    site.deploy(site.plan(topics=(TopicPlan("news"),)))
    assert [one for one in site.cloud.ids("topics") if "/subscriptions/heard" in one] == []
    assert [one for one in site.cloud.ids("topics") if one.endswith("/news")]


# Ids.

_AT = "/subscriptions/s/resourceGroups/g/providers"


def test_ids(site: Any) -> None:
    queue = f"{_AT}/Microsoft.ServiceBus/namespaces/n/queues/q"
    role = f"{queue}/providers/Microsoft.Authorization/roleAssignments/r"
    assert label(queue) == "n/q" and label(role) == "n/q: r"
    plan = site.plan()
    assert is_data(plan, queue) and not is_data(plan, role)
    assert is_data(plan, f"{queue}/providers/Microsoft.Authorization/locks/l")
    buckets, versioned = bucket_accounts(plan)
    for name, data in ((buckets, True), (versioned, True), ("web12345", False), ("buc", False)):
        assert is_data(plan, f"{_AT}/Microsoft.Storage/storageAccounts/{name}u123") is data
    assert is_security(role) and not is_security(queue, ["properties.lockDuration"])
    assert is_security(f"{_AT}/Microsoft.Web/sites/w", ["identity.userAssignedIdentities"])
    site_id, farm = f"{_AT}/Microsoft.Web/sites/w", f"{_AT}/Microsoft.Web/serverfarms/w"
    config = f"{site_id}/config/authsettingsV2"
    assert in_order([farm, config, site_id, queue, role]) == [site_id, farm, queue]


def test_an_engine_costs_no_client() -> None:
    """The command line makes an engine before it knows what for."""
    words = (
        "import sys; from portafaas_azure.adapter import ADAPTER; from portafaas.plan import "
        "BuildPlan; ADAPTER.engine(BuildPlan('s', '', '3.12', 'x86_64', ())); "
        "print([one for one in sys.modules if one.startswith('azure')])"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
