"""The Azure engine with Microsoft's clients against a cloud on this machine: deploying."""

from __future__ import annotations

from typing import Any

import pytest

from portafaas.deployment.contract import Preview, Progress
from portafaas.deployment.release import Release
from portafaas.plan import Auth, HttpTrigger, QueuePlan, QueueTrigger
from portafaas.plan.model import Use
from portafaas_azure.deployment.azureengine import AzureEngine

# Deploying.


def test_a_first_deployment(site: Any) -> None:
    engine, release = site.engine(), site.release()
    assert engine.status().health == "absent"
    preview = engine.preview(release)
    assert preview.first
    assert len(preview.changes) == len(release.documents["shop.arm.json"]["resources"]) - 2
    assert {one.action for one in preview.changes} == {"add"}
    assert site.cloud.groups == {} and site.cloud.ids() == []
    status = site.deploy()
    assert (status.health, status.state, status.package) == ("ready", "succeeded", "sha256:1")
    assert list(status.outputs) == ["web"]
    assert status.outputs["web"].startswith("https://shop-prod-web-")
    (group,) = [one for name, one in site.cloud.groups.items() if name == "shop-prod"]
    assert group["tags"] == {"managed-by": "portafaas", "service": "shop", "stage": "prod"}
    content = release.package.read_bytes() if release.package else b""
    assert [one for one in site.cloud.planes.published.values()] == [[content]] * 2
    told = {(one.type, one.state) for one in site.told}
    assert ("Microsoft.Web/sites", "Succeeded") in told
    assert ("Microsoft.Web/sites", "deployed") in told
    (stack,) = site.cloud.stacks.values()
    assert stack["unmanage"] == "detach"
    assert stack["shown"]["properties"]["denySettings"] == {"mode": "none"}
    settings = site.cloud.one(f"web-{site.unique}")["properties"]["siteConfig"]["appSettings"]
    assert {"name": "PORTAFAAS_HTTP_KEYS", "value": site.KEYS} in settings
    assert len(status.resources) == len(stack["wanted"])


def test_the_same_again_changes_nothing(site: Any) -> None:
    site.deploy()
    before = dict(site.cloud.resources)
    # Without the keys in the environment: what is deployed stays.
    release = site.release(keys="")
    preview = site.engine().preview(release)
    assert not preview.first
    assert preview.changes == ()
    site.deploy(keys="")
    assert site.cloud.resources == before
    assert [len(one) for one in site.cloud.planes.published.values()] == [1, 1]
    assert len(site.cloud.planes.secrets["token"]) == 1


def test_another_package_goes_to_the_apps_alone(site: Any) -> None:
    site.deploy()
    release = site.release(text="2")
    preview = site.engine().preview(release)
    assert [(one.action, one.type, one.detail) for one in preview.changes] == [
        ("change", "Microsoft.Web/sites", "package")
    ] * 2
    assert site.deploy(text="2").package == "sha256:2"
    assert [len(one) for one in site.cloud.planes.published.values()] == [2, 2]


def test_a_value_is_in_no_preview(site: Any) -> None:
    site.deploy()
    preview = site.engine().preview(site.release(keys="other"))
    (change,) = preview.changes
    assert "appSettings" in change.detail
    assert site.KEYS not in repr(preview) and "other" not in repr(preview)


def test_a_change_of_permissions_is_marked(site: Any) -> None:
    site.deploy()
    more = site.plan(functions=(site.WEB, site.function("work", QueueTrigger("jobs"), *site.WORK.uses,
                                         Use("send", "queue", "spare"))))  # fmt: skip
    preview = site.engine().preview(site.release(more))
    made = [one for one in preview.changes if one.action == "add"]
    assert [(one.type, one.security) for one in made] == [
        ("Microsoft.Authorization/roleAssignments", True)
    ]
    settings = [one for one in preview.changes if one.action == "change"]
    assert [(one.type, one.security) for one in settings] == [("Microsoft.Web/sites", False)]


def test_what_leaves_is_deleted_and_data_is_kept(site: Any) -> None:
    site.deploy()
    less = site.plan(functions=(site.WEB,), queues=(QueuePlan("jobs"),), buckets=())
    preview = site.engine().preview(site.release(less))
    found = {(one.action, one.type) for one in preview.changes}
    assert ("keep", "Microsoft.ServiceBus/namespaces/queues") in found
    assert ("keep", "Microsoft.Storage/storageAccounts") in found
    assert ("remove", "Microsoft.Web/sites") in found
    assert ("remove", "Microsoft.Storage/storageAccounts") in found
    assert not any(one.type.endswith("secrets") for one in preview.changes)
    site.deploy(less)
    left = site.cloud.ids()
    assert [one for one in left if "-work" in one] == []
    assert [one.rpartition("/")[2] for one in site.cloud.ids("queues") if "role" not in one] == [
        "spare", "jobs",
    ]  # fmt: skip
    assert [one for one in left if one.endswith("containers/files")]
    # The role on the queue lay under a lock, which is there again.
    assert not any("queues/jobs/providers" in one for one in left)
    assert len(site.cloud.ids("locks")) == 3
    assert "pending/shop/prod/shop-prod.json" not in site.cloud.planes.blobs


def test_what_could_not_be_deleted_is_deleted_next_time(site: Any) -> None:
    site.deploy()
    less = site.plan(functions=(site.WEB,))
    site.cloud.failures["sites/shop-prod-work"] = {"code": "Oops", "message": "no deletion today"}
    found, text = site.refused(site.applying(made=less))
    assert found == ["PF8007"]
    assert "no deletion today" in text and "portafaas deploy" in text
    assert len(site.cloud.ids("locks")) == 3
    site.cloud.failures.clear()
    left = [one.resource for one in site.engine().preview(site.release(less)).changes]
    assert any("shop-prod-work" in one for one in left)
    site.deploy(less)
    assert not any("shop-prod-work" in one for one in site.cloud.ids())


def test_a_rollback_takes_everything_from_the_release(site: Any) -> None:
    release = site.release()
    site.deploy()
    less = site.plan(functions=(site.WEB,))
    site.deploy(less, text="2")
    old = Release(
        release.plan, None, release.package_digest, release.file_digest, release.documents,
        release.permissions, release.digest,
    )  # fmt: skip
    engine = site.engine(less)
    status = engine.apply(old, engine.preview(old), site.told.append)
    assert (status.health, status.package) == ("ready", "sha256:1")
    assert any("sites/shop-prod-work" in one for one in site.cloud.ids())


# One-deploy.


def test_new_roles_are_waited_for(site: Any) -> None:
    site.cloud.planes.refusals += [
        (401, ""), (403, "no"), (500, "busy"),
        (400, "BlobUploadFailedException: Response status code does not indicate success: 403"),
    ]  # fmt: skip
    assert site.deploy().health == "ready"
    waiting = [one for one in site.told if one.state == "waiting"]
    assert waiting and all("permissions" in one.reason for one in waiting)


def test_a_deployment_site_that_is_not_up_yet(site: Any) -> None:
    site.cloud.dark = 3
    assert site.deploy().health == "ready"
    assert [one for one in site.told if one.state == "waiting" and "503" in one.reason]


def test_an_app_that_never_ends(site: Any) -> None:
    site.deploy()
    site.cloud.planes.outcomes[f"shop-prod-work-{site.unique}"] = (1, "building")
    engine, release = site.engine(), site.release(text="2")
    engine.blobs().write(release.package_key, release.package)
    engine.limit = 0.5
    call = lambda: engine.apply(release, Preview(()), site.told.append)  # noqa: E731
    found, text = site.refused(call)
    assert found == ["PF8007"] and "no end" in text


def test_waiting_for_roles_has_an_end(site: Any) -> None:
    engine, release = site.engine(), site.release()
    assert release.package is not None
    engine.blobs(create=True).write(release.package_key, release.package)
    engine.patience = 0.0
    site.cloud.planes.refusals += [(403, "still not")]
    found, text = site.refused(lambda: engine.apply(release, Preview(()), site.told.append))
    assert found == ["PF8007"] and "still not" in text
    status = site.engine().status()
    assert (status.health, status.resume) == ("failed", "portafaas deploy")


def test_an_app_that_refuses_gets_the_package_next_time(site: Any) -> None:
    site.deploy()
    name = f"shop-prod-work-{site.unique}"
    site.cloud.planes.outcomes[name] = (3, "Package deployment failed")
    found, text = site.refused(site.applying(text="2"))
    assert found == ["PF8007"]
    assert name in text and "the zip has no host.json" in text
    status = site.engine().status()
    assert (status.health, status.package, status.resume) == ("failed", "", "portafaas deploy")
    site.cloud.planes.outcomes.clear()
    assert site.deploy(text="2").package == "sha256:2"
    assert len(site.cloud.planes.published[name]) == 3
    assert len(site.cloud.planes.published[name.replace("work", "web")]) == 2


# Failures of the engine.


def test_a_resource_that_fails_midway(site: Any) -> None:
    site.cloud.failures["sites/shop-prod-work"] = {"code": "BadRequest", "message": "no such plan"}
    found, text = site.refused(site.applying())
    assert found == ["PF8007"]
    assert "shop-prod-work" in text and "BadRequest: no such plan" in text
    assert "portafaas deploy" in text
    status = site.engine().status()
    assert (status.health, status.state, status.resume) == ("failed", "failed", "portafaas deploy")
    assert "no such plan" in status.reason
    # The second time Azure refuses before it begins: its reason, not that of the first.
    site.cloud.broken = {"code": "DeploymentStackInvalid", "message": "not a stack"}
    found, text = site.refused(site.applying())
    assert "not a stack" in text and "no such plan" not in text
    site.cloud.broken = None
    site.cloud.failures.clear()
    assert site.deploy().health == "ready"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "StorageAccountAlreadyTaken", "message": "taken"}, "PF8008"),
        ({"code": "Conflict", "message": "Website with given name x already in use."}, "PF8008"),
        ({"code": "SubscriptionIsOverQuotaForSku", "message": "no room"}, "PF8009"),
        ({"code": "QuotaExceeded", "message": "no room"}, "PF8009"),
        ({"code": "ConflictError", "message": "A vault exists in deleted state."}, "PF8006"),
        ({"code": "MissingSubscriptionRegistration",
          "message": "not registered to use namespace 'Microsoft.KeyVault'"}, "PF8006"),
        ({"code": "AuthorizationFailed", "message": "not you"}, "PF8002"),
    ],
)  # fmt: skip
def test_a_reason_has_its_code(site: Any, error: dict[str, str], code: str) -> None:
    site.cloud.failures["vaults/kv"] = error
    found, text = site.refused(site.applying())
    assert found == [code]
    assert error["message"] in text
    commands = {
        "ConflictError": "az keyvault recover --name kv",
        "MissingSubscriptionRegistration": "register --wait --namespace Microsoft.KeyVault",
    }
    assert commands.get(error["code"], "") in text


def test_a_secret_in_azures_own_words_is_struck_out(site: Any) -> None:
    site.cloud.failures["sites/shop-prod-web"] = {"code": "Bad", "message": f"setting {site.KEYS} is bad"}
    found, text = site.refused(site.applying())
    assert found == ["PF8007"] and "setting *** is bad" in text


def test_another_deployment_is_under_way(site: Any) -> None:
    site.deploy()
    (stack,) = site.cloud.stacks.values()
    stack["shown"]["properties"]["provisioningState"] = "validating"
    release = site.release()
    for call in (site.applying(),
                 lambda: site.engine().apply(release, Preview(()), site.told.append), lambda: site.engine().destroy(False, site.told.append),
                 lambda: site.engine().preview(release)):  # fmt: skip
        found, text = site.refused(call)
        assert found == ["PF8005"] and "validating" in text
    assert site.engine().status().health == "busy"


def test_another_deployment_begins_in_between(site: Any) -> None:
    body = {"error": {"code": "DeploymentStackInNonTerminalState", "message": "deploying"}}
    site.cloud.instead.append(("PUT", "deploymentStacks", 409, body))
    assert site.refused(site.applying())[0] == ["PF8005"]


def test_interrupted_and_begun_again(site: Any) -> None:
    site.cloud.pace = 3
    engine, release = site.engine(), site.release()
    assert release.package is not None
    engine.blobs(create=True).write(release.package_key, release.package)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.apply(release, Preview(()), stop)
    assert site.engine().status().health == "busy"
    assert site.refused(site.applying())[0] == ["PF8005"]
    while site.engine().status().health == "busy":
        pass
    # The stack came to its end alone, the package did not.
    assert site.engine().status().health == "failed"
    assert site.deploy().health == "ready"


# Settings and credentials.


def test_the_caller(site: Any) -> None:
    caller = site.engine().caller()
    assert caller.name == "ada@example.com"
    subscription = site.cloud.subscriptions[0]["subscriptionId"]
    assert caller.place == f"subscription {subscription}, group shop-prod"
    chosen = site.engine(AZURE_SUBSCRIPTION_ID="mine").caller()
    assert chosen.place.startswith("subscription mine")
    option = site.plan(options={"subscription": "ours", "resource-group": "all"})
    assert site.engine(option).caller().place == "subscription ours, group all"


def test_no_credentials(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    found, text = site.refused(site.engine().caller)
    assert found == ["PF8001"] and "tried: Environment;" in text and "az login" in text


@pytest.mark.parametrize("status", [400, 401])
def test_expired_credentials(site: Any, status: int) -> None:
    site.cloud.planes.identity = (status, {"statusCode": status, "message": "expired"})
    assert site.refused(site.engine().caller)[0] == ["PF8002"]


def test_a_token_that_azure_refuses(site: Any) -> None:
    body = {"error": {"code": "ExpiredAuthenticationToken", "message": "The token has expired"}}
    site.cloud.instead.append(("GET", "/subscriptions", 401, body))
    found, text = site.refused(site.engine().caller)
    assert found == ["PF8002"] and "ExpiredAuthenticationToken" in text


def test_no_subscription_or_two(site: Any) -> None:
    site.cloud.subscriptions.append({"subscriptionId": "two", "state": "Disabled"})
    assert site.engine().caller().name
    site.cloud.subscriptions[1]["state"] = "Enabled"
    assert site.refused(site.engine().caller)[0] == ["PF8003"]
    site.cloud.subscriptions.clear()
    assert site.refused(site.engine().caller)[0] == ["PF8003"]


def test_the_location(site: Any) -> None:
    nowhere = site.plan(options={})
    release = site.release(nowhere)
    found, text = site.refused(lambda: site.engine(nowhere).preview(release))
    assert found == ["PF8003"] and "AZURE_LOCATION" in text
    assert site.engine(nowhere, AZURE_LOCATION="northeurope").account.location() == "northeurope"
    site.deploy()
    assert site.engine(nowhere).account.location() == "westeurope"
    assert site.engine(nowhere).preview(release).changes == ()


def test_somebody_elses_group(site: Any) -> None:
    site.cloud.groups["shop-prod"] = {"name": "shop-prod", "location": "westeurope", "tags": {}}
    assert site.refused(site.applying())[0] == ["PF8008"]
    site.cloud.groups["shop-prod"]["tags"] = {
        "managed-by": "portafaas", "service": "shop", "stage": "test",
    }  # fmt: skip
    assert site.refused(site.applying())[0] == ["PF8008"]
    named = site.plan(options={"location": "westeurope", "resource-group": "shop-prod"})
    assert site.deploy(named).health == "ready"


def test_no_keys_at_first(site: Any) -> None:
    found, text = site.refused(site.applying(keys=""))
    assert found == ["PF8013"] and "PORTAFAAS_HTTP_KEYS" in text
    assert site.cloud.stacks == {}


def test_an_app_registration_for_iam(site: Any) -> None:
    iam = site.function("private", HttpTrigger(("GET",), "/p", Auth("iam")))
    bare = site.plan(functions=(iam,))
    assert site.refused(site.applying(made=bare))[0] == ["PF8003"]
    told = site.plan(functions=(iam,), options={"location": "westeurope", "auth-client-id": "app"})
    assert site.deploy(told).health == "ready"
    assert site.deploy(bare).health == "ready"


def test_azure_is_out_of_reach(site: Any) -> None:
    engine = site.engine(ARM_ENDPOINT="http://127.0.0.1:9")
    assert site.refused(engine.caller)[0] == ["PF8012"]


def test_an_endpoint_without_tls(site: Any) -> None:
    engine = site.engine(ARM_ENDPOINT="http://management.example.com")
    assert site.refused(engine.caller)[0] == ["PF8003"]


def test_a_client_is_not_installed(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "azure.identity", None)
    found, text = site.refused(site.engine().caller)
    assert found == ["PF8004"] and "portafaas[azure]" in text


@pytest.mark.parametrize(
    ("cloud", "arm", "logs"),
    [
        ("", "https://management.azure.com", "https://api.loganalytics.io"),
        ("AzureUSGovernment", "https://management.usgovcloudapi.net", "https://api.loganalytics.us"),
        ("AzureChinaCloud", "https://management.chinacloudapi.cn",
         "https://api.loganalytics.azure.cn"),
    ],
)  # fmt: skip
def test_the_clouds(site: Any, cloud: str, arm: str, logs: str) -> None:
    found = AzureEngine(site.plan(options={"cloud": cloud} if cloud else {}), {}).account.cloud
    assert (found.arm, found.logs) == (arm, logs)
    assert found.scope.startswith("https://management.") and found.scope.endswith("/.default")
