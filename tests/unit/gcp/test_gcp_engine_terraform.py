"""Deployments that the real Terraform plans and applies, to a cloud that is a folder.

Both engines: Terraform on this machine, with its state in the fake of Cloud Storage, and
Infrastructure Manager, whose fake runs Terraform, too.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.deployment import DeploymentError
from portafaas.plan import BucketPlan
from portafaas_gcp.adapter import ADAPTER
from tests.unit.gcp import gcp_deployment_cases as cases
from tests.unit.gcp.gcp_deployment_runners import Terraform
from tests.unit.gcp.gcp_deployment_server import PROJECT, Google, Server

TERRAFORM = shutil.which("terraform") or shutil.which("tofu")
pytestmark = [
    pytest.mark.skipif(TERRAFORM is None, reason="neither terraform nor tofu is installed"),
    pytest.mark.skipif(
        importlib.util.find_spec("cdktf_cdktf_provider_google") is None,
        reason="the shapes of Google's resources are not installed",
    ),
]
OPTIONS = {"region": "europe-west1", "engine": "terraform"}
LOCAL = cases.changed(cases.SMALL, options=OPTIONS)
FUNCTION = "google_cloudfunctions2_function.work"
STATE = (f"{PROJECT}-portafaas-europe-west1", "_/terraform/shop-test/default.tfstate")
LOCK = (STATE[0], STATE[1].replace("tfstate", "tflock"))


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Return the folder that is the cloud, and TF_REATTACH_PROVIDERS."""
    folder = tmp_path_factory.mktemp("cloud")
    script = Path(__file__).with_name("gcp_deployment_provider.py")
    [document] = ADAPTER.infrastructure(LOCAL).documents.values()
    kinds = [*document["resource"], *(f"data.{kind}" for kind in document["data"])]
    with subprocess.Popen(
        [sys.executable, str(script), str(folder), *kinds],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield folder, process.stdout.readline()


@pytest.fixture
def cloud(provider: tuple[Path, str]) -> Path:
    folder = provider[0]
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


@pytest.fixture
def google(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: tuple[Path, str], cloud: Path
) -> Iterator[Google]:
    assert TERRAFORM is not None
    place = tmp_path / "manager"
    place.mkdir()
    state = Google(Terraform(TERRAFORM, place, provider[1]))
    state.cloud = cloud
    server = Server(state)
    more = {"TF_REATTACH_PROVIDERS": provider[1]}
    cases.isolate(monkeypatch, tmp_path, {**server.environment(), **more})
    yield state
    server.stop()
    assert state.problems == [], state.problems


def _engine(plan: Any = LOCAL) -> Any:
    made: Any = ADAPTER.engine(plan)
    made.poll = 0.02
    return made


def _refusal(act: Any, *arguments: Any) -> DeploymentError:
    with pytest.raises(DeploymentError) as caught:
        act(*arguments)
    assert cases.DIGEST not in str(caught.value)
    return caught.value


def _files(cloud: Path) -> set[str]:
    return {str(file.relative_to(cloud)) for file in cloud.glob("*/*")}


def _edit(file: Path, change: Any) -> None:
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def _deploys(plan: Any, cloud: Path, tmp_path: Path) -> None:
    """Deploy, change, drift, fail, resume, destroy: the same by either engine."""
    engine = _engine(plan)
    release = cases.release(tmp_path, plan)
    assert engine.status().health == "absent"
    # A secret with a value comes first; the deployment takes it over.
    engine.secrets().set("token", b"hunter2")
    assert (cloud / "google_secret_manager_secret" / "shop-test-token").exists()

    preview = engine.preview(release)
    assert preview.first and preview.notes == ()
    heard: list[Any] = []
    status = cases.deploy(engine, release, heard)
    assert status.health == "ready", status
    assert status.package == release.package_digest
    assert status.outputs["get-order"].startswith("google_cloudfunctions2_function/shop-test-get")
    assert FUNCTION in {p.resource for p in heard}
    count = len(status.resources)
    assert len(_files(cloud)) == count > 20
    assert engine.preview(release).changes == ()

    # Another package: the functions, and nothing else, change.
    other = cases.release(tmp_path, plan, "2", {})
    changed = engine.preview(other).changes
    assert [(c.action, c.type) for c in changed] == [
        ("change", "google_cloudfunctions2_function")
    ] * 2
    assert changed[0].detail == "build_config.source.storage_source.object"
    assert not any(change.security for change in changed)

    # A function whose build fails: the package that runs is still the old one.
    (cloud / "fail.json").write_text(
        json.dumps({"google_cloudfunctions2_function/shop-test-work": f"bad {cases.DIGEST}"})
    )
    error = _refusal(cases.deploy, engine, other)
    assert [item.code for item in error.diagnostics] == ["PF8007"]
    assert error.diagnostics[0].message.startswith(f"{FUNCTION}: ")
    assert "bad (" in str(error), "the engine's own words"
    assert "portafaas deploy --target gcp --stage test" in error.message
    status = engine.status()
    assert status.health == "failed" and status.package == release.package_digest
    assert status.resume == "portafaas deploy --target gcp --stage test"
    (cloud / "fail.json").unlink()
    assert cases.deploy(engine, other).package == other.package_digest
    work = json.loads((cloud / "google_cloudfunctions2_function" / "shop-test-work").read_text())
    source = work["build_config"][0]["source"][0]["storage_source"][0]["object"]
    assert source == f"shop/{other.file_digest.removeprefix('sha256:')}.zip"
    orders = cloud / "google_cloudfunctions2_function" / "shop-test-get-order"
    kept = json.loads(orders.read_text())["service_config"][0]["environment_variables"]
    assert kept["HTTP_KEYS"] == cases.DIGEST

    # Edited and removed by hand.
    assert list(engine.drift()) == []

    def edit(value: Any) -> None:
        value["service_config"][0]["available_memory"] = "1Gi"
        value["service_config"][0]["environment_variables"]["HTTP_KEYS"] = "eve=hers"
        value["update_time"] = "now"

    _edit(orders, edit)
    (cloud / "google_pubsub_topic" / "shop-test-jobs-dead-letter").unlink()
    found = {item.resource: item for item in engine.drift()}
    assert found.keys() == {
        "google_cloudfunctions2_function.get_order", "google_pubsub_topic.dead_letter__jobs",
    }  # fmt: skip
    assert found["google_pubsub_topic.dead_letter__jobs"].kind == "removed"
    assert found["google_cloudfunctions2_function.get_order"].detail == (
        'service_config.available_memory: "256Mi" expected, "1Gi" found',
        "service_config.environment_variables.HTTP_KEYS",
    )
    again = {change.resource: change for change in engine.preview(other).changes}
    assert again["google_pubsub_topic.dead_letter__jobs"].action == "add"
    # Terraform puts back who may call.
    assert again["google_cloudfunctions2_function.get_order"].security
    assert cases.deploy(engine, other).health == "ready"
    assert list(engine.drift()) == []

    # What may not be lost stays, and is taken back.
    (cloud / "google_storage_bucket" / "project-1-shop-test-files.content").touch()
    kept = engine.destroy(False, heard.append)
    assert {(one.name, one.type) for one in kept} == cases.DATA
    left = {f"{kind}/{name}" for name, kind in cases.DATA}
    assert _files(cloud) - {"google_storage_bucket/project-1-shop-test-files.content"} == left
    assert engine.status().health == "absent"
    assert [i.code for i in _refusal(engine.destroy, False, print).diagnostics] == ["PF8010"]
    preview = engine.preview(release)
    assert preview.first
    assert cases.deploy(engine, release).health == "ready"
    assert engine.destroy(True, heard.append) == ()
    assert _files(cloud) == {"google_storage_bucket/project-1-shop-test-files.content"}
    assert engine.status().health == "absent"
    assert [i.code for i in _refusal(engine.destroy, True, print).diagnostics] == ["PF8010"]


def test_terraform_of_this_machine(google: Google, cloud: Path, tmp_path: Path) -> None:
    google.made_secret = _made_secret  # type: ignore[method-assign]
    _deploys(LOCAL, cloud, tmp_path)
    names = {name for _, name in google.storage.objects if name.startswith("_/")}
    assert names == set(), "neither state nor lock nor documents are left"


def test_terraform_of_infrastructure_manager(google: Google, cloud: Path, tmp_path: Path) -> None:
    google.made_secret = _made_secret  # type: ignore[method-assign]
    _deploys(cases.SMALL, cloud, tmp_path)
    assert google.deployments == {} and google.previews == {}


def _made_secret(name: str) -> Any:
    """Return a secret as the provider would have made it."""
    spec = importlib.util.spec_from_file_location(
        "terraform_provider", Path(__file__).with_name("terraform_provider.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shape = module.shape_of("google_secret_manager_secret")
    empty = {**dict.fromkeys(shape["attributes"]), **{n: [] for n in shape["blocks"]}}
    auto = {"customer_managed_encryption": []}
    return {
        **empty, "secret_id": name, "id": f"google_secret_manager_secret/{name}",
        "replication": [{"auto": [auto], "user_managed": []}],
    }  # fmt: skip
