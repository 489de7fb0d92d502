"""Credentials, settings, the store, secrets and logs: the real google-auth against local servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from portafaas.deployment import DeploymentError
from portafaas_gcp.adapter import ADAPTER
from portafaas_gcp.deployment import store as stores
from tests.unit.gcp import gcp_deployment_cases as cases
from tests.unit.gcp.gcp_deployment_server import EMAIL, PROJECT, Google, Server
from tests.unit.gcp.gcp_deployment_storage import refuse, say

BUCKET = f"{PROJECT}-portafaas-europe-west1"
SECRET = f"projects/{PROJECT}/secrets/shop-test-token"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    server = Server(Google())
    cases.isolate(monkeypatch, tmp_path, server.environment())
    yield server
    server.stop()
    assert server.google.problems == []


@pytest.fixture
def google(server: Server) -> Google:
    return server.google


def _engine(plan: Any = cases.SMALL) -> Any:
    made: Any = ADAPTER.engine(plan)
    made.poll = 0.005
    return made


@pytest.fixture
def engine(google: Google) -> Any:
    return _engine()


def _refusal(act: Any, *arguments: Any) -> tuple[str, str]:
    with pytest.raises(DeploymentError) as caught:
        act(*arguments)
    [item] = caught.value.diagnostics
    return item.code, str(caught.value)


@pytest.fixture(scope="module")
def private() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    nothing = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, nothing).decode()


@pytest.fixture
def key_file(
    server: Server, private: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    place = tmp_path / "key.json"
    place.write_text(json.dumps({
        "type": "service_account", "project_id": "project-2", "private_key": private,
        "private_key_id": "1", "client_email": "robot@project-2.iam.gserviceaccount.com",
        "token_uri": f"{server.root}token",
    }))  # fmt: skip
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(place))
    return place


def test_who_deploys_by_the_metadata_server(engine: Any) -> None:
    caller = engine.caller()
    assert caller.name == EMAIL
    assert caller.place == f"{PROJECT} europe-west1"


def test_who_deploys_by_a_key(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = _engine().caller()
    assert caller.name == "robot@project-2.iam.gserviceaccount.com"
    assert caller.place == "project-2 europe-west1"
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project-3")
    assert _engine().caller().place == "project-3 europe-west1"


def test_who_deploys_by_a_persons_login(
    google: Google, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "user.json"
    place.write_text(json.dumps({
        "type": "authorized_user", "client_id": "1", "client_secret": "x",
        "refresh_token": "very-secret", "token_uri": f"{server.root}token",
    }))  # fmt: skip
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(place))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
    monkeypatch.setattr(
        "google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{server.root}token"
    )
    assert _engine().caller().name == "ada@example.com"
    google.answers["GET", "oauth2/v2/userinfo"] = [refuse(403, "PERMISSION_DENIED", "no scope")]
    assert _engine().caller().name == "unknown"


def test_no_credentials(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.isolate(monkeypatch, tmp_path, {"NO_GCE_CHECK": "true"})
    engine = _engine()
    for act in (engine.caller, engine.status, lambda: engine.blobs().read("a"),
                lambda: engine.secrets().list(), lambda: list(engine.logs(["work"], 0, False))):
        code, text = _refusal(act)
        assert code == "PF8001" and "gcloud auth application-default login" in text


def test_a_key_file_that_is_none(tmp_path: Path, key_file: Path) -> None:
    key_file.write_text("{}")
    assert _refusal(_engine().caller)[0] == "PF8001"
    key_file.unlink()
    assert _refusal(_engine().caller)[0] == "PF8001"


def test_expired_credentials(key_file: Path, google: Google, private: str) -> None:
    google.token_answer = say(400, {"error": "invalid_grant", "error_description": "Invalid JWT"})
    for act in (_engine().caller, _engine().status):
        code, text = _refusal(act)
        assert code == "PF8002" and "invalid_grant" in text and "gcloud auth" in text
        assert private.splitlines()[1] not in text


def test_refused_credentials(engine: Any, google: Google) -> None:
    engine.caller()
    google.token = "another"
    google.token_answer = say(200, {"access_token": "old", "expires_in": 3600})
    assert _refusal(engine.status)[0] == "PF8002"


def test_google_is_out_of_reach(
    server: Server, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONFIG", "http://127.0.0.1:1/")
    code, text = _refusal(_engine().status)
    assert code == "PF8012" and "ConnectionError" in text


def test_the_token_endpoint_is_out_of_reach(key_file: Path) -> None:
    about = json.loads(key_file.read_text())
    key_file.write_text(json.dumps({**about, "token_uri": "http://127.0.0.1:1/token"}))
    assert _refusal(_engine().caller)[0] == "PF8012"


def test_settings(google: Google, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = cases.changed(cases.SMALL, options={})
    code, text = _refusal(_engine(nowhere).caller)
    assert code == "PF8003" and "targets: {gcp: {region:" in text
    monkeypatch.setenv("GOOGLE_CLOUD_REGION", "us-east1")
    assert _engine(nowhere).caller().place == "project-2 us-east1"
    monkeypatch.setenv("CLOUDSDK_COMPUTE_REGION", "us-east4")
    assert _engine(nowhere).caller().place == "project-2 us-east4"
    about = json.loads(key_file.read_text())
    del about["project_id"]
    key_file.write_text(json.dumps(about))
    monkeypatch.setenv("PATH", "")  # gcloud would be asked
    code, text = _refusal(_engine().caller)
    assert code == "PF8003" and "GOOGLE_CLOUD_PROJECT" in text


def test_without_googles_library(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth.transport.requests", None)
    code, text = _refusal(_engine().caller)
    assert code == "PF8004" and "pip install 'portafaas[gcp]'" in text


def test_an_engine_costs_nothing_until_it_is_used() -> None:
    code = (
        "import sys; from portafaas_gcp.deployment import engine;"
        "from tests.unit.gcp.gcp_deployment_cases import SMALL; before = set(sys.modules);"
        "engine(SMALL); new = set(sys.modules) - before;"
        "print(sorted(n for n in new if n.split('.')[0] in ('google', 'requests', 'urllib3')))"
    )
    root = Path(__file__).resolve().parents[3]
    path = os.pathsep.join(str(p) for p in (root, root / "adapters"))
    environment = {**os.environ, "PYTHONPATH": path}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True,
                         text=True, check=True, cwd=root)  # fmt: skip
    assert out.stdout.strip() == "[]"


# The store.


def test_the_store(engine: Any, google: Google, tmp_path: Path) -> None:
    store = engine.blobs()
    assert store.read("records/a") is None and list(store.names("")) == []
    store.remove("records/a")
    assert google.storage.buckets == {}, "reading makes nothing"
    store = engine.blobs(create=True)
    bucket = google.storage.buckets[BUCKET]
    assert bucket["location"] == "europe-west1" and bucket["versioning"] == {"enabled": True}
    access = bucket["iamConfiguration"]
    assert access["uniformBucketLevelAccess"] == {"enabled": True}
    assert access["publicAccessPrevention"] == "enforced"

    keys = [f"records/shop/{i}" for i in range(5)]
    for key in reversed(keys):
        store.write(key, key.encode())
    package = tmp_path / "package"
    package.write_bytes(b"zip")
    store.write("packages/shop/a b?#/c.zip", package)
    assert (BUCKET, "shop/a b?#/c.zip") in google.storage.objects
    assert store.names("records/") == keys, "more than a page"
    assert store.names("records/shop/3") == keys[3:4]
    assert store.names("packages/shop/") == ["packages/shop/a b?#/c.zip"]
    assert store.names("pack") == ["packages/shop/a b?#/c.zip"]
    assert store.names("") == ["packages/shop/a b?#/c.zip", *keys]
    assert store.names("packages/records/") == []
    assert store.read("records/shop/3") == b"records/shop/3"
    assert store.read("packages/shop/a b?#/c.zip") == b"zip"
    store.write("records/shop/3", b"new")
    assert store.read("records/shop/3") == b"new"
    store.remove("records/shop/3")
    store.remove("records/shop/3")
    assert store.read("records/shop/3") is None
    assert _engine().blobs(create=True).names("records/") == [*keys[:3], keys[4]]


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 2 << 20, (5 << 20) + 17])
def test_uploads_in_parts(
    engine: Any, google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(stores, "PART", 1 << 20)
    content = os.urandom(size)
    place = tmp_path / "big"
    place.write_bytes(content)
    store = engine.blobs(create=True)
    store.write("packages/shop/big.zip", place)
    store.write("records/big", content)
    assert store.read("packages/shop/big.zip") == content
    assert store.read("records/big") == content
    assert len(google.storage.uploads) == (2 if size > 1 << 20 else 0)


def test_an_upload_that_is_damaged(
    engine: Any, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = engine.blobs(create=True)
    google.storage.damage = True
    assert _refusal(store.write, "records/a", b"content")[0] == "PF8012"
    monkeypatch.setattr(stores, "PART", 1 << 18)
    assert _refusal(store.write, "records/a", b"x" * (1 << 19))[0] == "PF8012"


def test_a_bucket_that_was_removed_meanwhile(engine: Any, google: Google) -> None:
    store = engine.blobs(create=True)
    google.storage.buckets.clear()
    code, text = _refusal(store.write, "records/a", b"x")
    assert code == "PF8007" and "bucket does not exist" in text


def test_a_strangers_bucket(engine: Any, google: Google) -> None:
    google.storage.strangers.add(BUCKET)
    code, text = _refusal(engine.blobs, True)
    assert code == "PF8008" and BUCKET in text
    # What lies in it is not looked at, and nothing of ours goes there.
    google.storage.put(BUCKET, "_/records/a", b"theirs")
    assert engine.blobs().read("records/a") is None
    assert list(engine.blobs().names("")) == []


def test_a_bucket_that_is_not_longer_than_allowed() -> None:
    assert stores.bucket_name("p", "europe-west1") == "p-portafaas-europe-west1"
    name = stores.bucket_name("p" * 30, "northamerica-northeast1")
    assert len(name) <= 63 and name.startswith("p" * 30 + "-portafaas-")
    assert name != stores.bucket_name("p" * 30, "northamerica-northeast2")
    assert stores.bucket_name("example.com:p", "us-east1") == "example-com-p-portafaas-us-east1"


def test_a_bucket_that_may_not_be_made(engine: Any, google: Google) -> None:
    google.answers["POST", "storage/v1/b"] = [
        say(403, {"error": {"code": 403, "message": "ada may not storage.buckets.create",
                            "errors": [{"reason": "forbidden"}]}})
    ]  # fmt: skip
    code, text = _refusal(engine.blobs, True)
    assert code == "PF8002" and "storage.buckets.create" in text


# Secrets.


def _states(google: Google) -> list[str]:
    return [item["state"] for item in google.secrets[SECRET]["versions"]]


def test_secrets(engine: Any, google: Google) -> None:
    secrets = engine.secrets()
    [fact] = secrets.list()
    assert (fact.name, fact.physical, fact.changed) == ("token", "shop-test-token", "")
    secrets.set("token", b"one")
    assert google.secrets[SECRET]["labels"] == {
        "managed-by": "portafaas", "service": "shop", "stage": "test",
    }  # fmt: skip
    first = secrets.list()[0].changed
    assert first.startswith("2026-")
    for number in range(2, 5):
        secrets.set("token", b"%d" % number)
    assert _states(google) == ["DESTROYED", "DESTROYED", "DISABLED", "ENABLED"]
    assert google.secrets[SECRET]["versions"][-1]["value"] == b"4"
    google.secrets[SECRET]["versions"][2]["state"] = "ENABLED"  # by hand
    secrets.set("token", b"5")
    assert _states(google) == ["DESTROYED", "DESTROYED", "DESTROYED", "DISABLED", "ENABLED"]
    assert secrets.list()[0].changed > first
    assert b"4" not in repr(secrets.list()).encode().replace(b"2026-11-23T10:00:04", b"")


def test_a_secret_that_is_undeclared(engine: Any, google: Google) -> None:
    secrets = engine.secrets()
    for act in (lambda: secrets.set("tokem", b"hunter2"), lambda: secrets.remove("tokem")):
        code, text = _refusal(act)
        assert code == "PF8011" and "did you mean 'token'?" in text and "hunter2" not in text
    assert google.secrets == {}


def test_a_secret_of_somebody_else(engine: Any, google: Google, tmp_path: Path) -> None:
    google.secrets[SECRET] = {"name": SECRET, "versions": [], "labels": {"service": "shop"}}
    release = cases.release(tmp_path)
    secrets = engine.secrets()
    for act in (lambda: secrets.set("token", b"x"), lambda: secrets.remove("token"),
                lambda: engine.apply(release, None, print)):
        assert _refusal(act)[0] == "PF8008"
    assert google.secrets[SECRET]["versions"] == [] and google.deployments == {}


def test_removing_a_secret(engine: Any, google: Google, tmp_path: Path) -> None:
    secrets = engine.secrets()
    secrets.remove("token")
    secrets.set("token", b"one")
    secrets.remove("token")
    assert google.secrets == {}, "no deployment has it"
    secrets.set("token", b"one")
    secrets.set("token", b"two")
    cases.deploy(engine, cases.release(tmp_path))
    secrets.remove("token")
    assert _states(google) == ["DESTROYED", "DESTROYED"]
    assert secrets.list()[0].changed == ""


def test_a_secret_with_a_value_is_taken_over(engine: Any, google: Google, tmp_path: Path) -> None:
    engine.secrets().set("token", b"one")
    release = cases.release(tmp_path)
    preview = engine.preview(release)
    assert preview.notes == ()
    cases.deploy(engine, release, [], preview)
    [deployment] = google.deployments.values()
    ours = google._files(deployment["terraformBlueprint"])["portafaas.tf.json"]
    assert ours["import"] == [{"to": "google_secret_manager_secret.token", "id": SECRET}]


def test_secrets_that_may_not_be_seen(engine: Any, google: Google) -> None:
    google.answers["GET", f"v1/{SECRET}"] = [
        refuse(403, "PERMISSION_DENIED", "secretmanager.secrets.get denied")
    ]
    code, text = _refusal(engine.secrets().list)
    assert code == "PF8002" and "secretmanager.secrets.get" in text


# Logs.


def _entry(number: int, moment: datetime, service: str = "shop-test-work", **what: Any) -> Any:
    return {
        "timestamp": moment.isoformat().replace("+00:00", "Z"), "insertId": str(number),
        "resource": {"type": "cloud_run_revision", "labels": {"service_name": service}},
        **(what or {"textPayload": f"line {number}\n"}),
    }  # fmt: skip


def test_logs(engine: Any, google: Google) -> None:
    start = datetime(2026, 11, 23, 10, tzinfo=UTC)
    later = start + timedelta(seconds=1)
    google.entries = [
        _entry(0, start - timedelta(seconds=1)),
        _entry(1, start),
        _entry(2, later, "shop-test-get-order"),
        _entry(2, later, "shop-test-get-order"),  # in two log buckets
        _entry(3, later, jsonPayload={"message": "hi", "level": "info"}),
    ]
    lines = list(engine.logs(["work", "get-order"], start.timestamp(), False))
    assert [(line.function, line.text) for line in lines] == [
        ("work", "line 1"), ("get-order", "line 2"), ("work", '{"level": "info", "message": "hi"}'),
    ]  # fmt: skip
    assert lines[0].time == "2026-11-23T10:00:00Z"
    [wanted] = set(google.filters)
    assert 'resource.type="cloud_run_revision"' in wanted
    assert 'service_name=("shop-test-get-order" OR "shop-test-work")' in wanted
    assert 'resource.labels.location="europe-west1"' in wanted
    assert "run.googleapis.com%2Frequests" in wanted
    google.filters.clear()
    assert list(engine.logs(["nobody"], 0, False)) == [] and google.filters == []


def test_logs_that_are_followed(engine: Any, google: Google) -> None:
    now = datetime.now(UTC)
    google.entries = [_entry(1, now)]
    lines = engine.logs(["work"], time.time() - 5, True)
    assert next(lines).text == "line 1"
    # One comes late, with an earlier time.
    google.entries = [_entry(2, now - timedelta(seconds=3)), _entry(1, now), _entry(3, now)]
    assert [line.text for line in islice(lines, 2)] == ["line 2", "line 3"]
    google.entries.append(_entry(4, now))
    assert next(lines).text == "line 4"


def test_logs_that_may_not_be_read(engine: Any, google: Google) -> None:
    google.answers["POST", "v2/entries:list"] = [
        refuse(403, "PERMISSION_DENIED", "Permission denied for all log views")
    ]
    assert _refusal(lambda: list(engine.logs(["work"], 0, False)))[0] == "PF8002"
