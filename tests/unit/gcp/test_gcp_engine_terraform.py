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
    status = cases.deploy(engine, release, heard, preview)
    assert status.health == "ready", status
    assert status.package == release.package_digest
    assert status.outputs["get-order"].startswith("google_cloudfunctions2_function/shop-test-get")
    assert FUNCTION in {p.resource for p in heard}
    count = len(status.resources)
    assert len(_files(cloud)) == count > 20
    assert engine.preview(release).changes == ()

    # Another package: the functions, and nothing else, change.
    other = cases.release(tmp_path, plan, "2", {})
    preview = engine.preview(other)
    changed = preview.changes
    assert [(c.action, c.type) for c in changed] == [
        ("change", "google_cloudfunctions2_function")
    ] * 2
    assert changed[0].detail == "build_config.source.storage_source.object"
    assert not any(change.security for change in changed)

    # A function whose build fails: the package that runs is still the old one.
    (cloud / "fail.json").write_text(
        json.dumps({"google_cloudfunctions2_function/shop-test-work": f"bad {cases.DIGEST}"})
    )
    error = _refusal(cases.deploy, engine, other, [], preview)
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
    preview = engine.preview(other)
    again = {change.resource: change for change in preview.changes}
    assert again["google_pubsub_topic.dead_letter__jobs"].action == "add"
    # Terraform puts back who may call.
    assert again["google_cloudfunctions2_function.get_order"].security
    assert cases.deploy(engine, other, [], preview).health == "ready"
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
    assert cases.deploy(engine, release, [], preview).health == "ready"
    assert engine.destroy(True, heard.append) == ()
    assert _files(cloud) == {"google_storage_bucket/project-1-shop-test-files.content"}
    assert engine.status().health == "absent"
    assert [i.code for i in _refusal(engine.destroy, True, print).diagnostics] == ["PF8010"]


def test_terraform_of_this_machine(google: Google, cloud: Path, tmp_path: Path) -> None:
    google.made_secret = cases.made_secret  # type: ignore[method-assign]
    _deploys(LOCAL, cloud, tmp_path)
    names = {name for _, name in google.storage.objects if name.startswith("_/")}
    assert names == set(), "neither state nor lock nor documents are left"


def test_terraform_of_infrastructure_manager(google: Google, cloud: Path, tmp_path: Path) -> None:
    google.made_secret = cases.made_secret  # type: ignore[method-assign]
    _deploys(cases.SMALL, cloud, tmp_path)
    assert google.deployments == {} and google.previews == {}


def _tiny(**fields: Any) -> Any:
    return cases.changed(LOCAL, functions=(), queues=(), secrets=(), **fields)


BUCKET = "google_storage_bucket.files"


def _failing(cloud: Path, kind: str, name: str, text: str) -> None:
    (cloud / "fail.json").write_text(json.dumps({f"{kind}/{name}": text}))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "PF8008"),
        ("googleapi: Error 429: Quota exceeded for buckets, rateLimitExceeded", "PF8009"),
        ("googleapi: Error 403: storage.buckets.create denied, forbidden", "PF8007"),
    ],
)
def test_a_bucket_that_cannot_be_made(
    google: Google, cloud: Path, tmp_path: Path, text: str | None, code: str
) -> None:
    engine = _engine(_tiny())
    if text is None:
        (cloud / "google_storage_bucket").mkdir()
        (cloud / "google_storage_bucket" / "project-1-shop-test-files").write_text("{}")
    else:
        _failing(cloud, "google_storage_bucket", "project-1-shop-test-files", text)
    error = _refusal(cases.deploy, engine, cases.release(tmp_path, _tiny()))
    assert [item.code for item in error.diagnostics] == [code]
    assert error.diagnostics[0].message.startswith(f"{BUCKET}: ")
    assert text is None or text in str(error)
    assert "with 0 resources in place" in error.message
    status = engine.status()
    assert (status.health, status.state) == ("failed", "INCOMPLETE")


def test_a_lock_that_is_held(google: Google, cloud: Path, tmp_path: Path) -> None:
    engine, release = _engine(_tiny()), cases.release(tmp_path, _tiny())
    cases.deploy(engine, release)
    lock = {"ID": "1700", "Operation": "OperationTypeApply", "Who": "bob@host", "Created": "now"}
    google.storage.put(*LOCK, json.dumps(lock).encode())
    status = engine.status()
    assert status.health == "busy" and "bob@host" in status.reason
    for act in (lambda: engine.preview(release), lambda: engine.destroy(False, print)):
        error = _refusal(act)
        assert [item.code for item in error.diagnostics] == ["PF8005"]
        assert "bob@host" in error.message
        assert f"gcloud storage rm gs://{'/'.join(LOCK)}" in str(error)
    assert engine.status().resources == ((BUCKET, "google_storage_bucket", "applied"),)


def test_somebody_deployed_in_between(google: Google, cloud: Path, tmp_path: Path) -> None:
    engine, release = _engine(_tiny()), cases.release(tmp_path, _tiny())
    cases.deploy(engine, release)
    more = _tiny(buckets=(*LOCAL.buckets, BucketPlan("more")))
    newer = cases.release(tmp_path, more, "2")
    preview = engine.preview(newer)
    assert [change.resource for change in preview.changes] == ["google_storage_bucket.more"]
    other = _tiny(buckets=(*LOCAL.buckets, BucketPlan("other")))
    cases.deploy(_engine(other), cases.release(tmp_path, other, "3"))
    error = _refusal(engine.apply, newer, preview, print)
    assert [item.code for item in error.diagnostics] == ["PF8005"]
    assert len(_files(cloud)) == 2


def test_ctrl_c_writes_the_state_and_a_deployment_goes_on(
    google: Google, cloud: Path, tmp_path: Path
) -> None:
    three = _tiny(buckets=tuple(BucketPlan(f"b-{i}") for i in range(30)))
    engine, release = _engine(three), cases.release(tmp_path, three)
    preview = engine.preview(release)
    (cloud / "wait").touch()

    def interrupt(progress: Any) -> None:
        (cloud / "wait").unlink()
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        engine.apply(release, preview, interrupt)
    assert LOCK not in google.storage.objects
    status = engine.status()
    assert status.health == "failed" and status.resume
    assert 0 < len(status.resources) < 30, "it stopped, and knows of what it made"
    assert len(_files(cloud)) == len(status.resources)
    assert len(cases.deploy(engine, release).resources) == 30


def test_a_state_that_cannot_be_written(google: Google, cloud: Path, tmp_path: Path) -> None:
    engine, release = _engine(_tiny()), cases.release(tmp_path, _tiny())
    preview = engine.preview(release)
    denied: Any = (403, {}, b'{"error": {"code": 403, "message": "no"}}')

    def deny(progress: Any) -> None:
        google.answers["POST", "upload/.*"] = [denied] * 50

    (cloud / "wait").touch()
    timer = threading.Thread(target=_go_on, args=(google, cloud))
    timer.start()
    error = _refusal(engine.apply, release, preview, deny)
    timer.join()
    assert [item.code for item in error.diagnostics] == ["PF8006"]
    command = error.diagnostics[0].hint or ""
    place = Path(command.split()[1])
    assert "state push errored.tfstate" in command
    assert BUCKET.partition(".")[0] in (place / "errored.tfstate").read_text()
    google.answers.clear()
    subprocess.run(command, shell=True, check=True, capture_output=True)
    shutil.rmtree(place)
    assert engine.status().resources == ((BUCKET, "google_storage_bucket", "applied"),)
    assert cases.deploy(engine, release).health == "ready"


def _go_on(google: Google, cloud: Path) -> None:
    """Let the provider go on once nothing can be written any more."""
    until = time.monotonic() + 20
    while not google.answers and time.monotonic() < until:
        time.sleep(0.01)
    (cloud / "wait").unlink()


def test_another_service_of_the_same_name(google: Google, cloud: Path, tmp_path: Path) -> None:
    cases.deploy(_engine(_tiny()), cases.release(tmp_path, _tiny()))
    other = _tiny(service="shop-test", stage="")
    error = _refusal(_engine(other).preview, cases.release(tmp_path, other))
    assert [item.code for item in error.diagnostics] == ["PF8008"]
    error = _refusal(_engine(other).destroy, True, print)
    assert [item.code for item in error.diagnostics] == ["PF8008"]
    assert len(_files(cloud)) == 1


def test_a_destroy_that_fails_midway(google: Google, cloud: Path, tmp_path: Path) -> None:
    # No environment of a function: Terraform's state has what the next one needs.
    engine, release = _engine(), cases.release(tmp_path, LOCAL)
    cases.deploy(engine, release)
    _failing(cloud, "google_cloudfunctions2_function", "shop-test-work", "Error 400: not now")
    error = _refusal(engine.destroy, False, print)
    assert "portafaas destroy --target gcp --stage test" in error.message
    status = engine.status()
    assert status.health == "failed"
    assert status.resume == "portafaas destroy --target gcp --stage test"
    (cloud / "fail.json").unlink()
    kept = engine.destroy(False, print)
    assert {(one.name, one.type) for one in kept} == cases.DATA
    assert engine.status().health == "absent"


def test_without_terraform(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = _refusal(_engine().preview, cases.release(tmp_path, LOCAL))
    assert [item.code for item in error.diagnostics] == ["PF8004"]
    assert "infrastructure-manager" in str(error)
    # What is there can be told without it.
    assert _engine().status().health == "absent"
