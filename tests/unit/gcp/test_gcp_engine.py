"""Deployments by Infrastructure Manager: the real client against a server that checks requests."""

from __future__ import annotations

import signal
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
from tests.unit.gcp.gcp_deployment_server import PROJECT, Google, Server
from tests.unit.gcp.gcp_deployment_storage import refuse

NAME = f"projects/{PROJECT}/locations/europe-west1/deployments/shop-test"
FUNCTION = "google_cloudfunctions2_function.work"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    state = Google()
    server = Server(state)
    cases.isolate(monkeypatch, tmp_path, server.environment())
    yield state
    server.stop()
    assert state.problems == []


@pytest.fixture
def engine(google: Google) -> Any:
    return _engine()


def _engine(plan: Any = cases.SMALL) -> Any:
    made: Any = ADAPTER.engine(plan)
    made.poll = 0.005
    return made


def _refusal(act: Any, *arguments: Any) -> DeploymentError:
    with pytest.raises(DeploymentError) as caught:
        act(*arguments)
    assert cases.DIGEST not in str(caught.value)
    return caught.value


def _codes(error: DeploymentError) -> list[str]:
    return [item.code for item in error.diagnostics]


def test_a_first_deployment(engine: Any, google: Google, tmp_path: Path) -> None:
    release = cases.release(tmp_path)
    assert engine.status().health == "absent"
    preview = engine.preview(release)
    assert preview.first and google.storage.buckets == {}, "a preview makes nothing"
    assert {change.action for change in preview.changes} == {"add"}
    security = {change.type for change in preview.changes if change.security}
    assert security >= {"google_service_account", "google_cloud_run_service_iam_member"}
    assert "google_cloudfunctions2_function" not in security

    heard: list[Any] = []
    status = cases.deploy(engine, release, heard)
    assert status.health == "ready" and status.state == "ACTIVE"
    assert status.package == release.package_digest
    assert [kind for _, kind, _ in status.resources].count("google_cloudfunctions2_function") == 2
    assert "get-order" in status.outputs and "work" not in status.outputs
    assert (FUNCTION, "RECONCILED") in {(p.resource, p.state) for p in heard}

    [deployment] = google.deployments.values()
    assert deployment["name"] == NAME
    assert deployment["labels"] == {"managed-by": "portafaas", "service": "shop", "stage": "test"}
    account = f"portafaas-deployer@{PROJECT}.iam.gserviceaccount.com"
    assert deployment["serviceAccount"] == f"projects/{PROJECT}/serviceAccounts/{account}"
    assert deployment["tfVersionConstraint"] == "=1.5.7"
    given = {n: v["inputValue"] for n, v in deployment["terraformBlueprint"]["inputValues"].items()}
    bucket = f"{PROJECT}-portafaas-europe-west1"
    assert given == {
        "project": PROJECT, "region": "europe-west1", "source_bucket": bucket,
        "source_digest": release.file_digest, "env_HTTP_KEYS": cases.DIGEST,
    }  # fmt: skip
    # The package is where the document looks for it.
    digest = release.file_digest.removeprefix("sha256:")
    source = google.runner.state[FUNCTION]["build_config"]["source"]["storage_source"]
    assert source["bucket"] == bucket
    assert source["object"] == f"shop/{digest}.zip"
    assert (bucket, source["object"]) in google.storage.objects
    assert google.previews == {}


def test_an_update_shows_what_changes_and_keeps_the_keys(
    engine: Any, google: Google, tmp_path: Path
) -> None:
    cases.deploy(engine, cases.release(tmp_path))
    fewer = cases.changed(cases.SMALL, functions=cases.SMALL.functions[:1], queues=())
    release = cases.release(tmp_path, fewer, "2", {})
    preview = _engine(fewer).preview(release)
    assert not preview.first
    found = {change.resource: change for change in preview.changes}
    assert list(found) == sorted(found)
    assert found[FUNCTION].action == "remove"
    order = found["google_cloudfunctions2_function.get_order"]
    assert order.action == "change"
    assert order.detail == "build_config.source.storage_source.object"
    assert found["google_service_account.work"].security
    assert google.previews == {}, "it holds values, and counts against a quota"

    status = cases.deploy(_engine(fewer), release)
    assert status.package == release.package_digest
    [deployment] = google.deployments.values()
    given = deployment["terraformBlueprint"]["inputValues"]
    assert given["env_HTTP_KEYS"] == {"inputValue": cases.DIGEST}
    assert FUNCTION not in google.runner.state


def test_another_key_is_a_change_of_who_may_call(
    engine: Any, google: Google, tmp_path: Path
) -> None:
    cases.deploy(engine, cases.release(tmp_path))
    release = cases.release(tmp_path, environ={"HTTP_KEYS": "eve=" + "e" * 64})
    [change] = engine.preview(release).changes
    assert change.security
    assert change.detail == "service_config.environment_variables.HTTP_KEYS"
    assert "eeee" not in repr(change)


def test_keys_that_nobody_knows(engine: Any, google: Google, tmp_path: Path) -> None:
    release = cases.release(tmp_path, environ={})
    for act in (engine.preview, lambda r: engine.apply(r, None, print)):
        error = _refusal(act, release)
        assert _codes(error) == ["PF8013"]
        assert "HTTP_KEYS" in str(error) and "sha256sum" in str(error)
    assert google.deployments == {}


def test_a_failure_midway_and_how_it_goes_on(
    engine: Any, google: Google, tmp_path: Path
) -> None:
    one = cases.release(tmp_path)
    cases.deploy(engine, one)
    google.runner.fail = {
        FUNCTION: (400, f"Error 400: bad build {cases.DIGEST}"),
        "google_storage_bucket.more": (409, "Error 409: You already own this bucket"),
        "google_pubsub_topic.queue__jobs": (429, "Quota exceeded for topics"),
    }
    more = (*cases.SMALL.buckets, BucketPlan("more"))
    two = cases.release(tmp_path, cases.changed(cases.SMALL, buckets=more), "2")
    heard: list[Any] = []
    error = _refusal(cases.deploy, engine, two, heard)
    reasons = {item.message.partition(":")[0]: item for item in error.diagnostics}
    assert reasons[FUNCTION].code == "PF8007" and "bad build (not shown)" in reasons[FUNCTION].message
    assert reasons["google_storage_bucket.more"].code == "PF8008"
    assert reasons["google_pubsub_topic.queue__jobs"].code == "PF8009"
    assert "FAILED" in error.message
    assert "portafaas deploy --target gcp --stage test" in error.message
    assert (FUNCTION, "FAILED") in {(p.resource, p.state) for p in heard}

    status = engine.status()
    assert status.health == "failed" and status.state == "FAILED"
    assert status.resume == "portafaas deploy --target gcp --stage test"
    assert "bad build" in status.reason and cases.DIGEST not in status.reason
    assert status.package == one.package_digest, "the new one does not run"

    google.runner.fail = {}
    assert cases.deploy(engine, two).health == "ready"
    assert engine.status().package == two.package_digest


def test_a_failure_before_terraform(engine: Any, google: Google, tmp_path: Path) -> None:
    google.failing_build = {
        "errorCode": "CLOUD_BUILD_PERMISSION_DENIED",
        "stateDetail": "the account may not build",
    }
    error = _refusal(cases.deploy, engine, cases.release(tmp_path))
    assert _codes(error) == ["PF8007"] and "the account may not build" in str(error)
    google.failing_build = None
    assert cases.deploy(engine, cases.release(tmp_path)).health == "ready"


def test_a_preview_that_fails(engine: Any, google: Google, tmp_path: Path) -> None:
    release = cases.release(tmp_path)
    cases.deploy(engine, release)
    before = dict(google.deployments[NAME])
    errors = [
        {"resourceAddress": FUNCTION, "errorDescription": f"wrong\n  region {cases.DIGEST}"}
    ]
    google.preview_failure = {"errorCode": "PREVIEW_BUILD_RUN_FAILED", "tfErrors": errors}
    error = _refusal(engine.preview, release)
    assert error.diagnostics[0].message == f"{FUNCTION}: wrong region (not shown)"
    assert "nothing was changed" in error.message
    google.preview_failure = {"errorCode": "DEPLOYMENT_LOCK_ACQUIRE_FAILED",
                              "errorStatus": {"message": "held by bob"}}  # fmt: skip
    error = _refusal(engine.preview, release)
    assert _codes(error) == ["PF8005"] and "held by bob" in str(error)
    google.preview_failure = {"errorCode": "PREVIEW_BUILD_API_FAILED",
                              "errorStatus": {"message": "no build today"}}  # fmt: skip
    error = _refusal(engine.preview, release)
    assert _codes(error) == ["PF8007"] and "no build today" in str(error)
    assert google.previews == {} and google.deployments[NAME] == before


def test_ctrl_c_and_two_at_once(engine: Any, google: Google, tmp_path: Path) -> None:
    release = cases.release(tmp_path)
    preview = engine.preview(release)
    google.go.clear()

    def interrupt(progress: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.apply(release, preview, interrupt)
    # Google goes on by itself.
    assert engine.status().health == "busy" and engine.status().state == "CREATING"
    for act in (
        lambda: engine.preview(release),
        lambda: engine.apply(release, preview, print),
        lambda: engine.destroy(False, print),
        engine.drift,
    ):
        error = _refusal(act)
        assert _codes(error) == ["PF8005"] and "CREATING" in str(error)
    google.join()
    assert engine.status().health == "ready"
    assert engine.preview(release).changes == ()


def test_somebody_was_quicker(engine: Any, google: Google, tmp_path: Path) -> None:
    release = cases.release(tmp_path)
    preview = engine.preview(release)
    path = f"v1/{NAME.rpartition('/')[0]}"
    taken = refuse(409, "ALREADY_EXISTS", "Resource already exists")
    google.answers["POST", path] = [taken]
    assert _codes(_refusal(engine.apply, release, preview, print)) == ["PF8005"]
    engine.apply(release, preview, print)
    for answer in (
        refuse(409, "ABORTED", "the resource is being updated by another operation"),
        refuse(400, "FAILED_PRECONDITION", "The deployment is locked"),
    ):
        google.answers["PATCH", f"v1/{NAME}"] = [answer]
        assert _codes(_refusal(engine.apply, release, preview, print)) == ["PF8005"]


def test_ctrl_c_while_a_preview_is_made(engine: Any, google: Google, tmp_path: Path) -> None:
    release = cases.release(tmp_path)
    cases.deploy(engine, release)
    google.go.clear()
    timer = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        engine.preview(release)
    timer.join()
    assert google.previews == {}
    assert engine.status().health == "ready"


def test_an_answer_that_is_no_json(engine: Any, google: Google) -> None:
    google.answers["GET", f"v1/{NAME}"] = [(200, {}, b"<html>log in to our network</html>")]
    assert _codes(_refusal(engine.status)) == ["PF8012"]


def test_a_lock_by_hand(engine: Any, google: Google, tmp_path: Path) -> None:
    release = cases.release(tmp_path)
    cases.deploy(engine, release)
    google.deployments[NAME]["lockState"] = "LOCKED"
    google.locks[NAME] = {"lockId": "1658", "who": "bob@host", "createTime": "2026-11-23T09:00:00Z"}
    error = _refusal(engine.preview, release)
    assert _codes(error) == ["PF8005"]
    assert "bob@host" in str(error) and f"unlock {NAME} --lock-id=1658" in str(error)
    assert engine.status().health == "busy"


def test_a_deployment_that_google_suspended(
    engine: Any, google: Google, tmp_path: Path
) -> None:
    release = cases.release(tmp_path)
    cases.deploy(engine, release)
    google.deployments[NAME].update(state="SUSPENDED", stateDetail="project was recovered")
    error = _refusal(engine.preview, release)
    assert _codes(error) == ["PF8006"] and "gcloud infra-manager deployments describe" in str(error)
    assert engine.status().health == "failed"


def test_the_name_is_taken(engine: Any, google: Google, tmp_path: Path) -> None:
    release = cases.release(tmp_path)
    cases.deploy(engine, release)
    google.deployments[NAME]["labels"] = {"managed-by": "portafaas", "service": "shop-test"}
    for act in (lambda: engine.preview(release), engine.status, lambda: engine.destroy(True, print)):
        assert _codes(_refusal(act)) == ["PF8008"]
    assert NAME in google.deployments


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (refuse(403, "PERMISSION_DENIED", "Permission 'config.deployments.create' denied"),
         "PF8002", "config.deployments.create"),
        (refuse(403, "PERMISSION_DENIED", "Infrastructure Manager API has not been used",
                reason="SERVICE_DISABLED", service="config.googleapis.com"),
         "PF8003", f"gcloud services enable config.googleapis.com --project={PROJECT}"),
        (refuse(429, "RESOURCE_EXHAUSTED", "Quota exceeded for deployments"), "PF8009", "quota"),
        (refuse(401, "UNAUTHENTICATED", "invalid credentials"), "PF8002", "gcloud auth"),
        (refuse(400, "INVALID_ARGUMENT", "no such version"), "PF8007", "no such version"),
        (refuse(503, "UNAVAILABLE", "try later"), "PF8012", "try later"),
    ],
)  # fmt: skip
def test_refusals(
    engine: Any, google: Google, tmp_path: Path, answer: Any, code: str, says: str
) -> None:
    release = cases.release(tmp_path)
    preview = engine.preview(release)
    google.answers["POST", f"v1/{NAME.rpartition('/')[0]}"] = [answer] * 5
    google.calls.clear()
    error = _refusal(engine.apply, release, preview, print)
    assert _codes(error) == [code] and says in str(error)
    made = ("POST", f"v1/{NAME.rpartition('/')[0]}")
    # What changes something is not sent twice; a call with a bad token was none.
    assert google.calls.count(made) == (3 if says == "gcloud auth" else 1)
    google.answers.clear()
    assert engine.apply(release, preview, print).health == "ready"


def test_a_moment_of_trouble_is_passed_over(engine: Any, google: Google, tmp_path: Path) -> None:
    trouble = refuse(503, "UNAVAILABLE", "try later")
    google.answers["GET", f"v1/{NAME}"] = [trouble] * 3
    assert engine.status().health == "absent"
    google.answers["GET", f"v1/{NAME}"] = [trouble] * 4
    assert _codes(_refusal(engine.status)) == ["PF8012"]


def test_drift(engine: Any, google: Google, tmp_path: Path) -> None:
    assert _codes(_refusal(engine.drift)) == ["PF8010"]
    cases.deploy(engine, cases.release(tmp_path))
    assert engine.drift() == ()
    google.runner.drift = [
        {"address": FUNCTION, "type": "google_cloudfunctions2_function", "mode": "managed",
         "change": {"actions": ["update"], "before": {"location": "a"}, "after": {"location": "b"}}},
        {"address": "google_pubsub_topic.queue__jobs", "type": "google_pubsub_topic",
         "mode": "managed", "change": {"actions": ["delete"], "before": {}, "after": None}},
    ]  # fmt: skip
    changed, removed = engine.drift()
    assert (changed.resource, changed.kind) == (FUNCTION, "changed")
    assert changed.detail == ('location: "a" expected, "b" found',)
    assert (removed.resource, removed.kind) == ("google_pubsub_topic.queue__jobs", "removed")
    assert google.previews == {}


def test_destroy_keeps_data_and_a_deployment_takes_it_back(
    engine: Any, google: Google, tmp_path: Path
) -> None:
    assert _codes(_refusal(engine.destroy, False, print)) == ["PF8010"]
    release = cases.release(tmp_path)
    cases.deploy(engine, release)
    kept = engine.destroy(False, print)
    assert {(one.name, one.type) for one in kept} == cases.DATA
    left = google.runner.state
    assert {address.partition(".")[0] for address in left} == {kind for _, kind in cases.DATA}
    assert all(body["lifecycle"] == {"prevent_destroy": True} for body in left.values())
    queue = left["google_pubsub_subscription.queue__jobs"]
    assert "push_config" not in queue and "depends_on" not in queue
    status = engine.status()
    assert status.health == "absent" and len(status.resources) == len(cases.DATA)
    given = google.deployments[NAME]["terraformBlueprint"]["inputValues"]
    assert given.keys() == {"project", "region"}, "no keys stay behind"
    assert _codes(_refusal(engine.destroy, False, print)) == ["PF8010"]
    assert _codes(_refusal(engine.drift)) == ["PF8010"]
    assert _codes(_refusal(engine.preview, cases.release(tmp_path, environ={}))) == ["PF8013"]

    preview = engine.preview(release)
    assert preview.first
    assert not {c.resource for c in preview.changes if c.action == "add"} & left.keys()
    assert cases.deploy(engine, release).health == "ready"
    assert engine.destroy(True, print) == ()
    assert google.deployments == {} and google.runner.state == {}


@pytest.mark.parametrize("before", [False, True])
def test_destroy_with_data_leaves_nothing(
    engine: Any, google: Google, tmp_path: Path, before: bool
) -> None:
    release = cases.release(tmp_path)
    cases.deploy(engine, release)
    if before:
        engine.destroy(False, print)
    assert engine.destroy(True, print) == ()
    assert google.deployments == {} and google.runner.state == {}
    assert engine.status().health == "absent"
    assert engine.blobs().names("packages/") == [release.package_key]


def test_destroy_that_fails_does_not_forget_what_is_data(
    engine: Any, google: Google, tmp_path: Path
) -> None:
    cases.deploy(engine, cases.release(tmp_path))
    bucket = "google_storage_bucket.files"
    # The data was let go of, and then something of it could not be removed.
    real = google.runner.apply

    def apply(files: Any, inputs: Any) -> Any:
        ran = real(files, inputs)
        google.runner.fail = {bucket: (400, "the bucket is busy")}
        return ran

    google.runner.apply = apply
    error = _refusal(engine.destroy, True, print)
    assert "the bucket is busy" in str(error)
    assert "portafaas destroy --target gcp --stage test" in error.message
    status = engine.status()
    assert status.health == "failed" and "destroy" in status.resume
    google.runner.apply, google.runner.fail = real, {}
    kept = engine.destroy(False, print)
    assert {(one.name, one.type) for one in kept} == cases.DATA
    assert google.runner.state[bucket]["lifecycle"] == {"prevent_destroy": True}
    assert google.runner.state[bucket]["force_destroy"] is False
    assert engine.destroy(True, print) == ()
    assert google.runner.state == {}


def test_a_service_without_data_is_gone_at_once(google: Google, tmp_path: Path) -> None:
    plan = cases.changed(cases.SMALL, functions=(), queues=(), buckets=(), secrets=())
    engine = _engine(plan)
    assert cases.deploy(engine, cases.release(tmp_path, plan)).health == "ready"
    assert engine.destroy(False, print) == ()
    assert google.deployments == {}


def test_the_documents_of_what_is_deployed_are_gone(
    engine: Any, google: Google, tmp_path: Path
) -> None:
    cases.deploy(engine, cases.release(tmp_path))
    google.storage.objects.clear()
    error = _refusal(engine.destroy, False, print)
    assert _codes(error) == ["PF8006"]
    assert f"gcloud infra-manager deployments delete {NAME}" in str(error)


def test_rollback_deploys_what_the_release_says(
    engine: Any, google: Google, tmp_path: Path
) -> None:
    old = cases.release(tmp_path)
    cases.deploy(engine, old)
    newer = cases.changed(cases.SMALL, buckets=(), functions=cases.SMALL.functions[1:])
    cases.deploy(_engine(newer), cases.release(tmp_path, newer, "2"))
    assert "google_storage_bucket.files" not in google.runner.state
    # From a checkout of the newer plan.
    status = cases.deploy(_engine(newer), old)
    assert status.package == old.package_digest
    assert "google_storage_bucket.files" in google.runner.state


def test_options(google: Google, tmp_path: Path) -> None:
    options = {
        "region": "europe-west4", "terraform-version": "1.16.5",
        "deployer-service-account": "robot@project-1.iam.gserviceaccount.com",
    }  # fmt: skip
    plan = cases.changed(cases.SMALL, options=options, stage="")
    cases.deploy(_engine(plan), cases.release(tmp_path, plan))
    [(name, deployment)] = google.deployments.items()
    assert name == f"projects/{PROJECT}/locations/europe-west4/deployments/shop"
    assert deployment["labels"] == {"managed-by": "portafaas", "service": "shop"}
    assert deployment["serviceAccount"].endswith("/robot@project-1.iam.gserviceaccount.com")
    assert deployment["tfVersionConstraint"] == "=1.16.5"


def test_progress_while_it_runs(engine: Any, google: Google, tmp_path: Path) -> None:
    release = cases.release(tmp_path)
    preview = engine.preview(release)
    google.go.clear()
    heard: list[Any] = []
    thread = threading.Thread(target=engine.apply, args=(release, preview, heard.append))
    thread.start()
    until = time.monotonic() + 10
    while not heard and time.monotonic() < until:
        time.sleep(0.005)
    assert [(p.resource, p.state) for p in heard] == [("shop-test", "PREPARING_STORAGE_BUCKET")]
    google.go.set()
    thread.join()
    assert len({(p.resource, p.state) for p in heard}) == len(heard), "each state once"
