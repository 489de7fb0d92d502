"""The Azure engine with Microsoft's clients against a cloud on this machine."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from portafaas.deployment.contract import Preview, Progress
from portafaas.deployment.release import Release, make_release
from portafaas.errors import DeploymentError
from portafaas.plan import (
    Auth,
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    QueuePlan,
    QueueTrigger,
)
from portafaas.plan.model import SecretPlan, Use
from portafaas_azure.deployment.engine import AzureEngine
from portafaas_azure.infrastructure import emit

KEYS = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
KEY = HttpTrigger(("GET",), "/web", Auth("key", "PORTAFAAS_HTTP_KEYS"))


def function(name: str, trigger: Any, *uses: Use) -> FunctionPlan:
    return FunctionPlan(name, "app", "handler", trigger, uses=uses)


WEB = function("web", KEY, Use("read", "secret", "token"))
WORK = function("work", QueueTrigger("jobs"), Use("write", "bucket", "files"))


def plan(**more: Any) -> BuildPlan:
    given: dict[str, Any] = {
        "service": "shop", "stage": "prod", "python": "3.12", "architecture": "x86_64",
        "functions": (WEB, WORK), "queues": (QueuePlan("jobs"), QueuePlan("spare")),
        "buckets": (BucketPlan("files"),), "secrets": (SecretPlan("token"),),
        "options": {"location": "westeurope"},
    }  # fmt: skip
    return BuildPlan(**{**given, **more})


class Site:
    """One user in front of one cloud."""

    def __init__(self, cloud: Any, folder: Path) -> None:
        self.cloud, self.folder = cloud, folder
        self.told: list[Progress] = []

    def engine(self, made: BuildPlan | None = None, **environ: str) -> AzureEngine:
        given = {"ARM_ENDPOINT": self.cloud.root, "AZURE_SUBSCRIPTION_ID": "", **environ}
        engine = AzureEngine(plan() if made is None else made, given)
        engine.poll, engine.retries, engine.patience, engine.limit = 0.0, 0, 5.0, 5.0
        return engine

    def release(self, made: BuildPlan | None = None, text: str = "1", keys: str = KEYS) -> Release:
        made = plan() if made is None else made
        path = self.folder / f"{text}.zip"
        with ZipFile(path, "w") as file:
            file.writestr("host.json", text)
        found = emit(made)
        environ = {"PORTAFAAS_HTTP_KEYS": keys} if keys else {}
        return make_release(
            made, path, f"sha256:{text}", found.documents, found.permissions, environ
        )

    def deploy(self, made: BuildPlan | None = None, text: str = "1", **more: Any) -> Any:
        engine, release = self.engine(made), self.release(made, text, **more)
        assert release.package is not None
        engine.blobs(create=True).write(release.package_key, release.package)
        self.told.clear()
        return engine.apply(release, engine.preview(release), self.told.append)


@pytest.fixture
def site(
    azure_cloud_modules: tuple[types.ModuleType, types.ModuleType],
    fake_arm: types.ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    server, planes = azure_cloud_modules
    certificate = planes.certify(tmp_path / "tls.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
    with server.cloud(planes, fake_arm, certificate) as cloud:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{cloud.root}/identity")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        yield Site(cloud, tmp_path)


def codes(call: Callable[[], Any]) -> tuple[list[str], str]:
    """Return the codes of the refusal that *call* raises, and its text."""
    with pytest.raises(DeploymentError) as caught:
        call()
    assert KEYS not in str(caught.value)
    return [one.code for one in caught.value.diagnostics], str(caught.value)


def apply(site: Site, **more: Any) -> Callable[[], Any]:
    return lambda: site.deploy(**more)


def actions(preview: Preview) -> set[tuple[str, str]]:
    return {(one.action, one.resource.rpartition("/")[2]) for one in preview.changes}


# Deploying.


def test_a_first_deployment(site: Site) -> None:
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
    settings = site.cloud.one(f"web-{unique(site)}")["properties"]["siteConfig"]["appSettings"]
    assert {"name": "PORTAFAAS_HTTP_KEYS", "value": KEYS} in settings
    assert len(status.resources) == len(stack["wanted"])


def unique(site: Site) -> str:
    (found,) = [one.rpartition("-")[2] for one in site.cloud.ids("vaults") if "locks" not in one
                and "roleAss" not in one and "secrets" not in one]  # fmt: skip
    return str(found)


def test_the_same_again_changes_nothing(site: Site) -> None:
    site.deploy()
    before = dict(site.cloud.resources)
    # Without the keys in the environment: what is deployed stays.
    release = site.release(keys="")
    preview = site.engine().preview(release)
    assert not preview.first
    assert preview.changes == ()
    assert [one.code for one in preview.notes] == ["PF8011"]
    assert preview.notes[0].severity == "warning"
    site.deploy(keys="")
    assert site.cloud.resources == before
    assert [len(one) for one in site.cloud.planes.published.values()] == [1, 1]
    assert len(site.cloud.planes.secrets["token"]) == 1


def test_another_package_goes_to_the_apps_alone(site: Site) -> None:
    site.deploy()
    release = site.release(text="2")
    preview = site.engine().preview(release)
    assert [(one.action, one.type, one.detail) for one in preview.changes] == [
        ("change", "Microsoft.Web/sites", "package")
    ] * 2
    assert site.deploy(text="2").package == "sha256:2"
    assert [len(one) for one in site.cloud.planes.published.values()] == [2, 2]


def test_a_value_is_in_no_preview(site: Site) -> None:
    site.deploy()
    preview = site.engine().preview(site.release(keys="other"))
    (change,) = preview.changes
    assert "appSettings" in change.detail
    assert KEYS not in repr(preview) and "other" not in repr(preview)


def test_a_change_of_permissions_is_marked(site: Site) -> None:
    site.deploy()
    more = plan(functions=(WEB, function("work", QueueTrigger("jobs"), *WORK.uses,
                                         Use("send", "queue", "spare"))))  # fmt: skip
    preview = site.engine().preview(site.release(more))
    made = [one for one in preview.changes if one.action == "add"]
    assert [(one.type, one.security) for one in made] == [
        ("Microsoft.Authorization/roleAssignments", True)
    ]
    settings = [one for one in preview.changes if one.action == "change"]
    assert [(one.type, one.security) for one in settings] == [("Microsoft.Web/sites", False)]


def test_what_leaves_is_deleted_and_data_is_kept(site: Site) -> None:
    site.deploy()
    less = plan(functions=(WEB,), queues=(QueuePlan("jobs"),), buckets=())
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
        "jobs", "spare",
    ]  # fmt: skip
    assert [one for one in left if one.endswith("containers/files")]
    # The role on the queue lay under a lock, which is there again.
    assert not any("queues/jobs/providers" in one for one in left)
    assert len(site.cloud.ids("locks")) == 3
    assert "pending/shop/prod.json" not in site.cloud.planes.blobs


def test_what_could_not_be_deleted_is_deleted_next_time(site: Site) -> None:
    site.deploy()
    less = plan(functions=(WEB,))
    site.cloud.failures["sites/shop-prod-work"] = {"code": "Oops", "message": "no deletion today"}
    found, text = codes(apply(site, made=less))
    assert found == ["PF8007"]
    assert "no deletion today" in text and "portafaas deploy" in text
    assert len(site.cloud.ids("locks")) == 3
    site.cloud.failures.clear()
    left = [one.resource for one in site.engine().preview(site.release(less)).changes]
    assert any("shop-prod-work" in one for one in left)
    site.deploy(less)
    assert not any("shop-prod-work" in one for one in site.cloud.ids())


def test_a_rollback_takes_everything_from_the_release(site: Site) -> None:
    release = site.release()
    site.deploy()
    less = plan(functions=(WEB,))
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


def test_new_roles_are_waited_for(site: Site) -> None:
    site.cloud.planes.refusals += [
        (401, ""), (403, "no"), (500, "busy"),
        (400, "BlobUploadFailedException: Response status code does not indicate success: 403"),
    ]  # fmt: skip
    assert site.deploy().health == "ready"
    waiting = [one for one in site.told if one.state == "waiting"]
    assert waiting and all("permissions" in one.reason for one in waiting)


def test_waiting_for_roles_has_an_end(site: Site) -> None:
    engine, release = site.engine(), site.release()
    assert release.package is not None
    engine.blobs(create=True).write(release.package_key, release.package)
    engine.patience = 0.0
    site.cloud.planes.refusals += [(403, "still not")]
    found, text = codes(lambda: engine.apply(release, Preview(()), site.told.append))
    assert found == ["PF8007"] and "still not" in text
    status = site.engine().status()
    assert (status.health, status.resume) == ("failed", "portafaas deploy")


def test_an_app_that_refuses_gets_the_package_next_time(site: Site) -> None:
    site.deploy()
    name = f"shop-prod-work-{unique(site)}"
    site.cloud.planes.outcomes[name] = (3, "Package deployment failed")
    found, text = codes(apply(site, text="2"))
    assert found == ["PF8007"]
    assert name in text and "the zip has no host.json" in text
    status = site.engine().status()
    assert (status.health, status.package, status.resume) == ("failed", "", "portafaas deploy")
    site.cloud.planes.outcomes.clear()
    assert site.deploy(text="2").package == "sha256:2"
    assert len(site.cloud.planes.published[name]) == 3
    assert len(site.cloud.planes.published[name.replace("work", "web")]) == 2


# Failures of the engine.


def test_a_resource_that_fails_midway(site: Site) -> None:
    site.cloud.failures["sites/shop-prod-work"] = {"code": "BadRequest", "message": "no such plan"}
    found, text = codes(apply(site))
    assert found == ["PF8007"]
    assert "shop-prod-work" in text and "BadRequest: no such plan" in text
    assert "portafaas deploy" in text
    status = site.engine().status()
    assert (status.health, status.state, status.resume) == ("failed", "failed", "portafaas deploy")
    assert "no such plan" in status.reason
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
        ({"code": "AuthorizationFailed", "message": "not you"}, "PF8002"),
    ],
)
def test_a_reason_has_its_code(site: Site, error: dict[str, str], code: str) -> None:
    site.cloud.failures["vaults/kv"] = error
    found, text = codes(apply(site))
    assert found == [code]
    assert error["message"] in text


def test_a_secret_in_azures_own_words_is_struck_out(site: Site) -> None:
    site.cloud.failures["sites/shop-prod-web"] = {"code": "Bad", "message": f"setting {KEYS} is bad"}
    found, text = codes(apply(site))
    assert found == ["PF8007"] and "setting *** is bad" in text


def test_another_deployment_is_under_way(site: Site) -> None:
    site.deploy()
    (stack,) = site.cloud.stacks.values()
    stack["shown"]["properties"]["provisioningState"] = "validating"
    for call in (apply(site), lambda: site.engine().destroy(False, site.told.append),
                 lambda: site.engine().preview(site.release())):  # fmt: skip
        found, text = codes(call)
        assert found == ["PF8005"] and "validating" in text
    assert site.engine().status().health == "busy"


def test_another_deployment_begins_in_between(site: Site) -> None:
    body = {"error": {"code": "DeploymentStackInNonTerminalState", "message": "deploying"}}
    site.cloud.instead.append(("PUT", "deploymentStacks", 409, body))
    assert codes(apply(site))[0] == ["PF8005"]


def test_interrupted_and_begun_again(site: Site) -> None:
    site.cloud.pace = 3
    engine, release = site.engine(), site.release()
    assert release.package is not None
    engine.blobs(create=True).write(release.package_key, release.package)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.apply(release, Preview(()), stop)
    assert site.engine().status().health == "busy"
    assert codes(apply(site))[0] == ["PF8005"]
    while site.engine().status().health == "busy":
        pass
    # The stack came to its end alone, the package did not.
    assert site.engine().status().health == "failed"
    assert site.deploy().health == "ready"


# Settings and credentials.


def test_the_caller(site: Site) -> None:
    caller = site.engine().caller()
    assert caller.name == "ada@example.com"
    subscription = site.cloud.subscriptions[0]["subscriptionId"]
    assert caller.place == f"subscription {subscription}, group shop-prod"
    chosen = site.engine(AZURE_SUBSCRIPTION_ID="mine").caller()
    assert chosen.place.startswith("subscription mine")
    option = plan(options={"subscription": "ours", "resource-group": "all"})
    assert site.engine(option).caller().place == "subscription ours, group all"


def test_no_credentials(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    assert codes(site.engine().caller)[0] == ["PF8001"]


@pytest.mark.parametrize("status", [400, 401])
def test_expired_credentials(site: Site, status: int) -> None:
    site.cloud.planes.identity = (status, {"statusCode": status, "message": "expired"})
    assert codes(site.engine().caller)[0] == ["PF8002"]


def test_a_token_that_azure_refuses(site: Site) -> None:
    body = {"error": {"code": "ExpiredAuthenticationToken", "message": "The token has expired"}}
    site.cloud.instead.append(("GET", "/subscriptions", 401, body))
    found, text = codes(site.engine().caller)
    assert found == ["PF8002"] and "ExpiredAuthenticationToken" in text


def test_no_subscription_or_two(site: Site) -> None:
    site.cloud.subscriptions.append({"subscriptionId": "two", "state": "Disabled"})
    assert site.engine().caller().name
    site.cloud.subscriptions[1]["state"] = "Enabled"
    assert codes(site.engine().caller)[0] == ["PF8003"]
    site.cloud.subscriptions.clear()
    assert codes(site.engine().caller)[0] == ["PF8003"]


def test_the_location(site: Site) -> None:
    nowhere = plan(options={})
    release = site.release(nowhere)
    found, text = codes(lambda: site.engine(nowhere).preview(release))
    assert found == ["PF8003"] and "AZURE_LOCATION" in text
    assert site.engine(nowhere, AZURE_LOCATION="northeurope").account.location() == "northeurope"
    site.deploy()
    assert site.engine(nowhere).account.location() == "westeurope"
    assert site.engine(nowhere).preview(release).changes == ()


def test_somebody_elses_group(site: Site) -> None:
    site.cloud.groups["shop-prod"] = {"name": "shop-prod", "location": "westeurope", "tags": {}}
    assert codes(apply(site))[0] == ["PF8008"]
    site.cloud.groups["shop-prod"]["tags"] = {
        "managed-by": "portafaas", "service": "shop", "stage": "test",
    }  # fmt: skip
    assert codes(apply(site))[0] == ["PF8008"]
    named = plan(options={"location": "westeurope", "resource-group": "shop-prod"})
    assert site.deploy(named).health == "ready"


def test_no_keys_at_first(site: Site) -> None:
    found, text = codes(apply(site, keys=""))
    assert found == ["PF8013"] and "PORTAFAAS_HTTP_KEYS" in text
    assert site.cloud.stacks == {}


def test_an_app_registration_for_iam(site: Site) -> None:
    iam = function("private", HttpTrigger(("GET",), "/p", Auth("iam")))
    bare = plan(functions=(iam,))
    assert codes(apply(site, made=bare))[0] == ["PF8003"]
    told = plan(functions=(iam,), options={"location": "westeurope", "auth-client-id": "app"})
    assert site.deploy(told).health == "ready"
    assert site.deploy(bare).health == "ready"


def test_azure_is_out_of_reach(site: Site) -> None:
    engine = site.engine(ARM_ENDPOINT="http://127.0.0.1:9")
    assert codes(engine.caller)[0] == ["PF8012"]


def test_an_endpoint_without_tls(site: Site) -> None:
    engine = site.engine(ARM_ENDPOINT="http://management.example.com")
    assert codes(engine.caller)[0] == ["PF8003"]


def test_a_client_is_not_installed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "azure.identity", None)
    found, text = codes(site.engine().caller)
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
def test_the_clouds(cloud: str, arm: str, logs: str) -> None:
    found = AzureEngine(plan(options={"cloud": cloud} if cloud else {}), {}).account.cloud
    assert (found.arm, found.logs) == (arm, logs)
    assert found.scope.startswith("https://management.") and found.scope.endswith("/.default")
