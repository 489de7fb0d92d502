"""The whole example shop on Google Cloud: ``python -m portafaas``, google-auth and requests against
a cloud on this machine. Terraform is the real one, run by Infrastructure Manager or here, with a
provider that has the shapes of Google's and keeps a folder for a cloud."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from portafaas_gcp.infrastructure import schema
from tests.unit.gcp import gcp_deployment_cases as cases
from tests.unit.gcp.gcp_deployment_runners import Terraform
from tests.unit.gcp.gcp_deployment_server import EMAIL, PROJECT, Google, Server
from tests.unit.gcp.gcp_deployment_storage import say

TERRAFORM = shutil.which("terraform") or shutil.which("tofu")
pytestmark = [
    pytest.mark.skipif(TERRAFORM is None, reason="neither terraform nor tofu is installed"),
    pytest.mark.skipif(
        importlib.util.find_spec("cdktf_cdktf_provider_google") is None,
        reason="the shapes of Google's resources are not installed",
    ),
]
SECRET = "the-key-of-the-bank"
DATA = {
    "google_cloud_tasks_queue", "google_firestore_database", "google_pubsub_subscription", "google_pubsub_topic",
    "google_secret_manager_secret", "google_storage_bucket",
}  # fmt: skip
COMMANDS = ("deploy --yes", "status", "logs")
NAME = f"projects/{PROJECT}/locations/europe-west1/deployments/shop"
FUNCTIONS = "google_cloudfunctions2_function"
SCRIPT = Path(cases.__file__).with_name("gcp_deployment_provider.py")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Return the folder that is the cloud, and TF_REATTACH_PROVIDERS."""
    folder = tmp_path_factory.mktemp("cloud")
    kinds = [*schema.RESOURCES, *(f"data.{kind}" for kind in schema.DATA)]
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), *kinds],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield folder, process.stdout.readline()


@pytest.fixture
def cloud(provider: tuple[Path, str]) -> Path:
    """Return the folder of what is there: ``<type>/<name>``."""
    folder = provider[0]
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


@pytest.fixture
def google(tmp_path: Path, provider: tuple[Path, str], cloud: Path) -> Iterator[Google]:
    assert TERRAFORM is not None
    place = tmp_path / "manager"
    place.mkdir()
    state = Google(Terraform(TERRAFORM, place, provider[1]))
    state.cloud = cloud
    state.made_secret = cases.made_secret  # type: ignore[method-assign]
    yield state
    assert state.problems == [], state.problems


@pytest.fixture
def shop(
    google: Google, provider: tuple[Path, str],
    make_shop: Callable[[str, Mapping[str, str]], Any],
) -> Iterator[Any]:  # fmt: skip
    server = Server(google)
    more = {"CLOUDSDK_COMPUTE_REGION": "europe-west1", "TF_REATTACH_PROVIDERS": provider[1]}
    yield make_shop("gcp", {**server.environment(), **more})
    server.stop()


def there(cloud: Path) -> Counter[str]:
    """Return how many resources there are of each type."""
    return Counter(file.parent.name for file in cloud.glob("*/*"))


def files(cloud: Path) -> set[str]:
    return {str(file.relative_to(cloud)) for file in cloud.glob("*/*")}


def edit(cloud: Path, name: str, change: Callable[[Any], Any]) -> None:
    file = cloud / name
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def test_the_life_of_the_shop(shop: Any, google: Google, cloud: Path) -> None:
    # Nothing is there, and looking changes nothing.
    assert "PF8010" in shop("destroy", "--yes", status=1)
    first = shop.json("diff", "--exit-code", status=3)
    assert first["first"] and first["permissions"]
    assert all(line.startswith("+ ") for line in first["permissions"])
    assert not files(cloud) and not google.storage.buckets and not google.deployments

    # A secret may have its value before the service is there.
    shop("secrets", "set", "payment-key", stdin=f"{SECRET}\n")
    (secret,) = google.secrets.values()
    assert secret["versions"][-1]["value"] == SECRET.encode()
    deployed = shop.json("deploy", "--yes")
    assert deployed["permissions"] == first["permissions"] and deployed["notes"] == []
    assert deployed["release"] == first["release"] and deployed["status"]["health"] == "ready"
    told = shop("deploy", "--yes")
    assert "already there" in told and "No changes of resources" in told

    # Everything of the document is there, and the package where the functions look for it.
    wanted = {kind: len(bodies) for kind, bodies in shop.document()["resource"].items()}
    assert there(cloud) == wanted and wanted[FUNCTIONS] == 9
    ids = files(cloud)
    status = shop.json("status")
    assert status["health"] == "ready" and status["release"] == deployed["release"]
    assert status["outputs"].keys() == {"create-order", "get-order"}
    assert Counter(r["type"] for r in status["resources"]) == wanted
    assert status["last"]["who"] == EMAIL
    assert packages(google, cloud) == 1
    assert shop.json("drift", "--exit-code") == []
    google.entries.append({
        "timestamp": "2126-11-23T10:00:00Z", "textPayload": "paid", "insertId": "1",
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": "shop-charge"}},
    })  # fmt: skip
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
    assert "+ inventory: roles/storage.objectViewer on google_storage_bucket.uploads" in text
    assert diff["release"][:19] in text and diff["previous"] == first["release"]
    added = sorted(name.partition("/")[0] for name in files(cloud) - ids)
    assert added == ["google_service_account_iam_member", "google_storage_bucket_iam_member"]

    back = shop.json("rollback", "--yes")
    assert back["release"] == first["release"]
    assert [line.replace("- ", "+ ", 1) for line in back["permissions"]] == diff["permissions"]
    assert files(cloud) == ids
    assert shop.outcomes() == [("rollback", "succeeded"), ("deploy", "succeeded"), ("deploy", "succeeded")]
    shop.edit("value: 1,", "value: 100000,")
    shop.edit(", {read: uploads}]\n  notify:", "]\n  notify:")
    assert shop.json("diff", "--exit-code")["release"] == first["release"]

    # By hand: more memory, and a topic that is gone.
    edit(cloud, f"{FUNCTIONS}/shop-charge", memory)
    topic = next(name for name in ids if name.startswith("google_pubsub_topic/") and "order-events" in name)
    (cloud / topic).unlink()
    drift = {(d["type"], d["kind"]): d for d in shop.json("drift", "--exit-code", status=3)}
    assert drift.keys() == {(FUNCTIONS, "changed"), ("google_pubsub_topic", "removed")}
    assert "4Gi" in str(drift[FUNCTIONS, "changed"]["detail"])
    assert shop.json("deploy", "--yes")["status"]["health"] == "ready"
    assert shop.json("drift", "--exit-code") == [] and files(cloud) == ids

    # Data outlives the service; the next deployment has it again.
    kept = shop.json("destroy", "--yes")["kept"]
    assert {item["type"] for item in kept} == DATA == set(there(cloud))
    assert len(kept) == len(files(cloud))
    assert shop.json("status", status=1)["health"] == "absent"
    assert "PF8010" in shop("destroy", "--yes", status=1)
    assert shop.json("deploy", "--yes")["status"]["health"] == "ready"
    assert files(cloud) == ids
    assert len(secret["versions"]) == 1, "the value was not written over"

    assert shop.json("destroy", "--yes", "--data")["kept"] == []
    assert files(cloud) == set() and google.deployments == {} and google.previews == {}
    assert "destroy   succeeded" in shop("history", "--verbose")

    stored = [content for _, content in google.storage.objects.values()]
    written = [f.read_bytes() for f in google.runner._folder.rglob("*") if f.is_file()]
    for place in (shop.said.encode(), shop.written(), *stored, *written):
        assert SECRET.encode() not in place
    # Nor are digests of API keys shown, or written to the build.
    for text in (shop.said, shop.written().decode("latin-1")):
        assert shop.digest not in text


def test_terraform_of_this_machine_and_two_stages(shop: Any, google: Google, cloud: Path) -> None:
    manifest = shop.root / "portafaas.yaml"
    manifest.write_text(manifest.read_text() + "targets: {gcp: {engine: terraform}}\n")
    # Of another stage; it fails midway, and goes on.
    failing = {"google_pubsub_topic/shop-test-order-events": "Error 400: no more topics today"}
    (cloud / "fail.json").write_text(json.dumps(failing))
    said = shop("deploy", "--yes", "--stage", "test", status=1)
    assert "PF8007" in said and "no more topics" in said and files(cloud)
    assert "portafaas deploy --target gcp --stage test" in said
    (cloud / "fail.json").unlink()
    test = shop.json("deploy", "--yes", "--stage", "test")
    before = files(cloud)
    assert len(before) == len(test["status"]["resources"])
    first = shop.json("deploy", "--yes")
    assert len(files(cloud) - before) == len(before) and before < files(cloud)
    assert first["status"]["outputs"].keys() == {"create-order", "get-order"}
    assert shop.json("destroy", "--yes", "--data", "--stage", "test")["kept"] == []
    assert not files(cloud) & before and len(files(cloud)) == len(before)
    assert shop.json("diff", "--exit-code")["release"] == first["release"]
    assert {item["type"] for item in shop.json("destroy", "--yes")["kept"]} == DATA
    shop("destroy", "--yes", "--data")
    assert not files(cloud) and not google.deployments
    assert not [name for _, name in google.storage.objects if "terraform" in name]


def memory(value: Any) -> None:
    value["service_config"][0]["available_memory"] = "4Gi"


def packages(google: Google, cloud: Path) -> int:
    """Return how many packages functions are built from; all of them are in the store."""
    found = set()
    for file in (cloud / FUNCTIONS).iterdir():
        source = json.loads(file.read_text())["build_config"][0]["source"][0]["storage_source"][0]
        found.add((source["bucket"], source["object"]))
    assert found <= google.storage.objects.keys()
    return len(found)


@pytest.mark.parametrize("case", ["none", "expired"])
def test_credentials(shop: Any, google: Google, case: str) -> None:
    code = "PF8001" if case == "none" else "PF8002"
    if case == "none":
        shop.environ |= {"NO_GCE_CHECK": "true", "GOOGLE_CLOUD_PROJECT": PROJECT}
    else:
        google.token = "another"
        google.token_answer = say(200, {"access_token": "old", "expires_in": 3600})
    for command, said in shop.together(*COMMANDS, status=1).items():
        assert f"{code}: " in said and "gcloud auth" in said, command
    said = shop("secrets", "set", "payment-key", stdin=SECRET, status=1)
    assert code in said and SECRET not in said
    assert not google.storage.buckets and google.calls == []


def test_what_is_wrong_is_told_before_anything_is_made(shop: Any, google: Google) -> None:
    said = shop("deploy", "--yes", "--stage", "tset", status=2)
    assert "PF1007" in said and "did you mean 'test'?" in said
    assert "PF8011" in shop("secrets", "set", "payment-kye", stdin=SECRET, status=1)
    assert google.calls == []
    del shop.environ["PORTAFAAS_HTTP_KEYS"]
    assert "PF8013" in shop("deploy", "--yes", status=1)
    del shop.environ["CLOUDSDK_COMPUTE_REGION"]
    assert "PF8003" in shop("deploy", "--yes", status=1)
    assert not google.storage.buckets and not google.deployments


def test_a_failure_midway_is_told_and_resumed(shop: Any, google: Google, cloud: Path) -> None:
    failing = {"google_pubsub_topic/shop-order-events": "Error 400: no more topics today"}
    (cloud / "fail.json").write_text(json.dumps(failing))
    said = shop("deploy", "--yes", status=1)
    assert "PF8007" in said and "no more topics today" in said
    assert "portafaas deploy --target gcp" in said
    status = shop.json("status", status=1)
    assert status["health"] == "failed" and "no more topics" in status["reason"]
    assert status["resume"] == "portafaas deploy --target gcp"
    assert len(files(cloud)) > 10
    (cloud / "fail.json").unlink()
    done = shop.json("deploy", "--yes")
    assert done["status"]["health"] == "ready"
    assert all(change["action"] == "add" for change in done["changes"])
    assert [outcome for _, outcome in shop.outcomes()] == ["succeeded", "failed"]
    assert len(files(cloud)) == len(done["status"]["resources"])


def test_two_at_once_and_ctrl_c(
    shop: Any, google: Google, until: Callable[[Callable[[], Any]], None]
) -> None:
    google.go.clear()
    one = shop.start("deploy", "--yes")
    until(lambda: google.deployments)
    for said in shop.together("deploy --yes", "destroy --yes", status=1).values():
        assert "PF8005" in said
    assert shop.json("status")["health"] == "busy"
    said = shop.interrupt(one)
    assert one.returncode == 130 and "'portafaas deploy --target gcp' goes on" in said
    assert shop.outcomes() == [("destroy", "failed"), ("deploy", "interrupted")]
    # Google goes on by itself.
    google.join()
    assert shop.json("status")["health"] == "ready"
    done = shop.json("deploy", "--yes")
    assert done["changes"] == [] and done["status"]["health"] == "ready"
