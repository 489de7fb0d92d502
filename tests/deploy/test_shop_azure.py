"""The whole example shop on Azure: ``python -m portafaas`` and Microsoft's clients, as anybody has
them, against a cloud on this machine (Resource Manager, deployment sites, vault, blobs, logs)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.azure import azure_deployment_planes as planes
from tests.unit.azure import azure_deployment_server as server
from tests.unit.azure import azure_deployment_stacks as stacks
from tests.unit.azure import fake_arm

SECRET = "the-key-of-the-bank"
DATA = {
    "Microsoft.DocumentDB/databaseAccounts", "Microsoft.KeyVault/vaults",
    "Microsoft.ServiceBus/namespaces", "Microsoft.Storage/storageAccounts",
}  # fmt: skip
COMMANDS = ("deploy --yes", "status", "logs")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Any]:
    with server.cloud(planes, stacks, fake_arm, planes.certify(tmp_path / "tls.pem")) as made:
        yield made


@pytest.fixture
def shop(cloud: Any, tmp_path: Path, make_shop: Callable[[str, Mapping[str, str]], Any]) -> Any:
    return make_shop(
        "azure",
        {
            "ARM_ENDPOINT": cloud.root, "AZURE_LOCATION": "westeurope",
            "IDENTITY_ENDPOINT": f"{cloud.root}/identity", "IDENTITY_HEADER": "header",
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            "REQUESTS_CA_BUNDLE": str(tmp_path / "tls.pem"),
        },
    )  # fmt: skip


def types(ids: Any) -> Counter[str]:
    """Return how many resources there are of each type, by their ids."""
    found: Counter[str] = Counter()
    for one in ids:
        words = one.rpartition("/providers/")[2].split("/")
        found["/".join([words[0], *words[1::2]]).lower()] += 1
    return found


def test_the_life_of_the_shop(shop: Any, cloud: Any) -> None:
    # Nothing is there, and looking changes nothing.
    assert "PF8010" in shop("destroy", "--yes", status=1)
    assert "PF8010" in shop("secrets", "set", "payment-key", stdin=SECRET, status=1)
    first = shop.json("diff", "--exit-code", status=3)
    assert first["first"] and first["permissions"]
    assert all(line.startswith("+ ") for line in first["permissions"])
    assert not cloud.groups and not cloud.resources and not cloud.stacks and not cloud.planes.blobs

    deployed = shop.json("deploy", "--yes")
    assert deployed["permissions"] == first["permissions"]
    assert deployed["release"] == first["release"] and deployed["status"]["health"] == "ready"
    assert [note["code"] for note in deployed["notes"]] == ["PF8011"]
    told = shop("deploy", "--yes")
    assert "already there" in told and "No changes of resources" in told
    assert "https://shop-create-order" in told

    # Everything of the document is there, and each function has its package.
    document = shop.document()
    wanted = Counter(r["type"].lower() for r in document["resources"] if "condition" not in r)
    ids = [one["id"] for one in cloud.within("shop")]
    there = types(ids)
    assert {kind: there[kind] for kind in wanted if there[kind] < wanted[kind]} == {}
    assert there["microsoft.authorization/locks"], "the data is protected"
    assert there["microsoft.web/sites"] == len(cloud.planes.published) == 9
    assert {len(packages) for packages in cloud.planes.published.values()} == {1}
    status = shop.json("status")
    assert status["health"] == "ready" and status["release"] == deployed["release"]
    assert status["outputs"].keys() == {"create-order", "get-order"}
    assert types(ids).total() == len(status["resources"])
    assert status["last"]["who"] == "ada@example.com"
    assert shop.json("drift", "--exit-code") == []

    # A secret is in the vault, and nowhere else.
    shop("secrets", "set", "payment-key", stdin=f"{SECRET}\n")
    assert cloud.planes.secrets["payment-key"][-1]["value"] == SECRET
    assert shop.json("diff", "--exit-code")["notes"] == []
    cloud.planes.rows.append(("2026-11-23T10:00:00Z", site(cloud, "charge"), "paid", "1"))
    assert "charge  paid" in shop("logs", "charge")

    # What functions may do comes first, whatever else changes.
    shop.edit("uses: [{write: stock}]\n  notify:", "uses: [{write: stock}, {read: uploads}]\n  notify:")
    shop.edit("value: 100000", "value: 1")
    diff = shop.json("diff", "--exit-code", status=3)
    assert diff["permissions"] and all(p.startswith("+ inventory: ") for p in diff["permissions"])
    order = [change["security"] for change in diff["changes"]]
    assert order == sorted(order, reverse=True) and order[0] and not order[-1]
    text = shop("deploy", "--yes")
    assert text.index("Permissions") < text.index("Access") < text.index("Resources")
    assert diff["release"][:19] in text and diff["previous"] == first["release"]
    after = {one["id"] for one in cloud.within("shop")}
    assert types(after - set(ids)) == {"microsoft.authorization/roleassignments": len(after - set(ids))}
    assert {len(packages) for packages in cloud.planes.published.values()} == {2}

    back = shop.json("rollback", "--yes")
    assert back["release"] == first["release"]
    assert [line.replace("- ", "+ ", 1) for line in back["permissions"]] == diff["permissions"]
    assert {one["id"] for one in cloud.within("shop")} == set(ids)
    assert shop.outcomes() == [("rollback", "succeeded"), ("deploy", "succeeded"), ("deploy", "succeeded")]
    shop.edit("value: 1,", "value: 100000,")
    shop.edit(", {read: uploads}]\n  notify:", "]\n  notify:")
    assert shop.json("diff", "--exit-code")["release"] == first["release"]

    # By hand: more memory, and a role that is gone.
    cloud.edit(site(cloud, "charge"), lambda one: memory(one, 4096))
    grant = next(one for one in ids if "/roleAssignments/" in one)
    cloud.gone(grant)
    drift = {(d["type"], d["kind"]): d for d in shop.json("drift", "--exit-code", status=3)}
    assert drift.keys() == {
        ("Microsoft.Web/sites", "changed"), ("Microsoft.Authorization/roleAssignments", "removed"),
    }  # fmt: skip
    assert "4096" in str(drift["Microsoft.Web/sites", "changed"]["detail"])
    assert [c["action"] for c in shop.json("diff", "--exit-code", status=3)["changes"]] == ["add", "change"]
    assert shop.json("deploy", "--yes")["status"]["health"] == "ready"
    assert shop.json("drift", "--exit-code") == []

    # Data outlives the service; the next deployment has it again.
    kept = shop.json("destroy", "--yes")["kept"]
    assert DATA <= {item["type"] for item in kept}
    assert not types(cloud.ids())["microsoft.web/sites"] and not cloud.stacks
    assert cloud.planes.secrets["payment-key"][-1]["value"] == SECRET
    assert shop.json("status", status=1)["health"] == "absent"
    assert "PF8010" in shop("destroy", "--yes", status=1)
    again = shop.json("deploy", "--yes")
    assert again["status"]["health"] == "ready"
    assert {one["id"] for one in cloud.within("shop")} == set(ids)
    assert len(cloud.planes.secrets["payment-key"]) == 2, "the value was not written over"

    kept = shop.json("destroy", "--yes", "--data")["kept"]
    (vault,) = kept
    assert "purge protection" in vault["type"]
    assert "shop" not in cloud.groups and not cloud.stacks
    (store,) = cloud.groups
    assert store.startswith("portafaas-") and len(cloud.resources) == len(cloud.within(store))
    assert "destroy   succeeded" in shop("history", "--verbose")

    for place in (shop.said.encode(), shop.written(), *cloud.planes.blobs.values(), b"".join(cloud.sent)):
        assert SECRET.encode() not in place
    # Nor are digests of API keys shown, or kept where records and packages are.
    for place in (shop.said.encode(), shop.written(), *cloud.planes.blobs.values()):
        assert shop.digest.encode() not in place


def site(cloud: Any, function: str) -> str:
    """Return the name of a function's app."""
    (found,) = [
        one["id"] for one in cloud.resources.values()
        if one.get("tags", {}).get("function") == function and one["id"].split("/")[-2] == "sites"
    ]  # fmt: skip
    return str(found.rpartition("/")[2])


def memory(one: dict[str, Any], value: int) -> None:
    one["properties"]["functionAppConfig"]["scaleAndConcurrency"]["instanceMemoryMB"] = value


@pytest.mark.parametrize("case", ["none", "expired"])
def test_credentials(shop: Any, cloud: Any, case: str) -> None:
    if case == "none":
        shop.environ["AZURE_TOKEN_CREDENTIALS"] = "EnvironmentCredential"
        code, mend = "PF8001", "az login"
    else:
        cloud.planes.identity = (400, {"statusCode": 400, "message": "expired"})
        code, mend = "PF8002", "az login"
    for command, said in shop.together(*COMMANDS, status=1).items():
        assert f"{code}: " in said and mend in said, command
    said = shop("secrets", "set", "payment-key", stdin=SECRET, status=1)
    assert code in said and SECRET not in said
    assert not cloud.groups and not cloud.resources
    assert {call.partition(" ")[2] for call in cloud.calls} <= {"/metadata/endpoints", "/identity"}


def test_what_is_wrong_is_told_before_anybody_is_asked(shop: Any, cloud: Any) -> None:
    said = shop("deploy", "--yes", "--stage", "tset", status=2)
    assert "PF1007" in said and "did you mean 'test'?" in said
    assert "PF8011" in shop("secrets", "set", "payment-kye", stdin=SECRET, status=1)
    assert cloud.calls == []
    del shop.environ["PORTAFAAS_HTTP_KEYS"]
    assert "PF8013" in shop("deploy", "--yes", status=1)
    del shop.environ["AZURE_LOCATION"]
    assert "PF8003" in shop("deploy", "--yes", status=1)
    assert not cloud.groups and not cloud.resources


def test_a_failure_midway_is_told_and_resumed(shop: Any, cloud: Any) -> None:
    cloud.failures["/topics/order-events"] = {"code": "Conflict", "message": "no more topics today"}
    said = shop("deploy", "--yes", status=1)
    assert "PF8007" in said and "no more topics today" in said
    assert "'portafaas deploy" in said and not cloud.planes.published
    status = shop.json("status", status=1)
    assert status["health"] == "failed" and "no more topics" in status["reason"]
    assert status["resume"] == "portafaas deploy --target azure"
    assert len(cloud.resources) > 10
    # The next one gets through, but for the package of one app.
    cloud.failures.clear()
    cloud.planes.refusals = [(400, "no room")]
    said = shop("deploy", "--yes", status=1)
    assert "1 of 9 apps" in said and "no room" in said
    assert shop.json("status", status=1)["health"] == "failed"
    diff = shop.json("diff", "--exit-code", status=3)
    assert [(c["type"], c["detail"]) for c in diff["changes"]] == [("Microsoft.Web/sites", "package")]
    assert shop.json("deploy", "--yes")["status"]["health"] == "ready"
    # Those that had it were left alone.
    assert Counter(map(len, cloud.planes.published.values())) == {1: 9}
    assert [outcome for _, outcome in shop.outcomes()] == ["succeeded", "failed", "failed"]


def test_two_at_once_and_ctrl_c(
    shop: Any, cloud: Any, until: Callable[[Callable[[], Any]], None]
) -> None:
    cloud.pace = 0
    one = shop.start("deploy", "--yes")
    until(lambda: cloud.stacks)
    for said in shop.together("deploy --yes", "destroy --yes", status=1).values():
        assert "PF8005" in said
    assert shop.json("status")["health"] == "busy"
    said = shop.interrupt(one)
    assert one.returncode == 130 and "'portafaas deploy --target azure' goes on" in said
    assert shop.outcomes() == [("destroy", "failed"), ("deploy", "interrupted")]
    # Azure goes on by itself.
    cloud.pace = 1000
    status = shop.json("status", status=1)
    assert status["health"] == "failed" and "no package" in status["reason"]
    assert shop.json("deploy", "--yes")["status"]["health"] == "ready"
