"""What goes wrong: credentials, names, resources that fail midway, others who deploy, Ctrl-C."""

from __future__ import annotations

import builtins
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portafaas.deployment import DeploymentError, Release
from portafaas.plan import BuildPlan

NAME = "shop-dev"


@pytest.fixture
def small(stack: BuildPlan) -> BuildPlan:
    return replace(
        stack, functions=(stack.function("work"), stack.function("create")), topics=stack.topics[:1]
    )


@pytest.fixture
def tiny(stack: BuildPlan) -> BuildPlan:
    """Quick to deploy: a queue and a function."""
    return replace(
        stack, functions=(stack.function("work"),), topics=(), buckets=(), tables=(), secrets=()
    )


def refused(call: Any, *args: Any) -> DeploymentError:
    with pytest.raises(DeploymentError) as caught:
        call(*args)
    assert caught.value.diagnostics
    return caught.value


def code(error: DeploymentError) -> str:
    (only,) = {diagnostic.code for diagnostic in error.diagnostics}
    return only


def test_no_credentials(cloud: Any, tiny: BuildPlan, monkeypatch: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert code(refused(cloud.engine(tiny).caller)) == "PF8001"
    assert code(refused(cloud.engine(tiny).status)) == "PF8001"


def test_a_profile_that_is_not_there(cloud: Any, tiny: BuildPlan, monkeypatch: Any) -> None:
    from portafaas_aws.deployment import engine

    monkeypatch.setenv("AWS_PROFILE", "nobody")
    error = refused(engine(tiny).caller)
    # The package's name for it is not hidden by a module's.
    assert code(error) == code(refused(engine(tiny).caller)) == "PF8001" and "nobody" in str(error)


@pytest.mark.parametrize("answer", ["ExpiredToken", "InvalidClientTokenId", "AccessDenied"])
def test_credentials_that_are_refused(cloud: Any, tiny: BuildPlan, answer: str) -> None:
    cloud.tell(fault={"GetCallerIdentity": [answer, "The security token is no good", 403]})
    error = refused(cloud.engine(tiny).caller)
    assert code(error) == "PF8002"
    assert "The security token is no good" in str(error)


def test_no_region(cloud: Any, tiny: BuildPlan, monkeypatch: Any) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    error = refused(cloud.engine(tiny).caller)
    assert code(error) == "PF8003" and "AWS_REGION" in str(error)


def test_the_region_is_the_one_that_aws_s_own_tools_take(
    cloud: Any, tiny: BuildPlan, monkeypatch: Any
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert cloud.engine(tiny).caller().place.endswith("region eu-west-3")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert cloud.engine(tiny).caller().place.endswith("region eu-west-3")
    monkeypatch.setenv("AWS_REGION", "")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert cloud.engine(tiny).caller().place.endswith("region us-east-1")


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_REGION", "eu central"), ("AWS_ENDPOINT_URL", "no address")]
)
def test_settings_that_make_no_sense(
    cloud: Any, tiny: BuildPlan, monkeypatch: Any, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    error = refused(cloud.engine(tiny).caller)
    assert code(error) == "PF8003" and value in str(error)


def test_no_boto3(tiny: BuildPlan, monkeypatch: Any) -> None:
    from portafaas_aws.deployment import engine

    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("boto"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *args, **kwargs)

    made = engine(tiny)
    monkeypatch.setattr(builtins, "__import__", without)
    error = refused(made.caller)
    assert code(error) == "PF8004" and "portafaas[aws]" in str(error)


def test_an_engine_is_made_without_its_library(tiny: BuildPlan) -> None:
    """The start of the command line is a budget."""
    program = (
        "import sys; from portafaas_aws.adapter import ADAPTER; ADAPTER.engine(None); "
        "print([m for m in sys.modules if m.startswith(('boto', 'portafaas_aws.infra'))])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_network_that_is_not_there(cloud: Any, tiny: BuildPlan, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert code(refused(cloud.engine(tiny).caller)) == "PF8012"


def test_a_bucket_that_somebody_else_made_first(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    foreign = cloud._client("s3", "999999999999")
    foreign.create_bucket(Bucket=kit.STORE, CreateBucketConfiguration={"LocationConstraint": kit.REGION})
    engine = cloud.engine(tiny)
    assert code(refused(lambda: engine.blobs(create=True))) == "PF8008"
    # Not even without the check of existence.
    assert code(refused(lambda: engine.blobs().write("packages/x", b"secret"))) == "PF8002"
    assert "Contents" not in foreign.list_objects_v2(Bucket=kit.STORE)


def test_a_stack_of_that_name_that_is_not_ours(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    other = replace(tiny, service=NAME, stage="")
    kit.Deployed(cloud.engine(other)).deploy(kit.release(other, tmp_path))
    release = kit.release(tiny, tmp_path)
    engine = cloud.engine(tiny)
    for call in (
        lambda: engine.preview(release), engine.status, engine.drift,
        lambda: engine.destroy(True, print),
    ):  # fmt: skip
        error = refused(call)
        assert code(error) == "PF8008" and f"stack {NAME}" in str(error)
    assert cloud.engine(other).status().health == "ready"


def test_data_of_that_name_that_is_not_ours(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    cloud.client("sqs").create_queue(QueueName="shop-dev-jobs")
    cloud.client("secretsmanager").create_secret(Name="shop-dev-payment-key", SecretString="x")
    error = refused(cloud.engine(small).preview, kit.release(small, tmp_path))
    assert code(error) == "PF8008"
    assert len(error.diagnostics) == 2 and "shop-dev-jobs (AWS::SQS::Queue)" in str(error)


def test_a_first_deployment_that_fails(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(small)
    deployed = kit.Deployed(engine)
    release = kit.release(small, tmp_path)
    cloud.tell(fail={"WorkFunction": "The runtime parameter of python3.7 is no longer supported"})
    error = refused(deployed.deploy, release)
    (found,) = error.diagnostics
    assert (found.code, found.message) == (
        "PF8007",
        "WorkFunction (AWS::Lambda::Function): The runtime parameter of python3.7 is no longer supported",
    )
    assert "ROLLBACK_COMPLETE" in error.message and "deploy again" in error.message
    told = {(p.resource, p.state): p.reason for p in deployed.progress}
    assert told["WorkFunction", "CREATE_FAILED"].endswith("no longer supported")
    assert (NAME, "ROLLBACK_COMPLETE") in told
    status = engine.status()
    assert (status.health, status.state, status.resume) == ("failed", "ROLLBACK_COMPLETE", "portafaas deploy")
    assert "no longer supported" in status.reason and "cancelled" not in status.reason
    # It is rolled back for good: no data either.
    assert "QueueUrls" not in cloud.client("sqs").list_queues()

    cloud.tell(fail={})
    preview = engine.preview(release)
    assert preview.first and {c.action for c in preview.changes} == {"add"}
    assert engine.apply(release, preview, deployed.progress.append).state == "CREATE_COMPLETE"


def test_a_change_that_fails(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(small)
    deployed = kit.Deployed(engine)
    first = kit.release(small, tmp_path)
    deployed.deploy(first)
    digest = kit.KEYS["PORTAFAAS_HTTP_KEYS"]
    cloud.tell(fail={"CreateFunction": f"Invalid value {digest}: quota exceeded"})
    error = refused(deployed.deploy, kit.release(small, tmp_path, "new"))
    assert code(error) == "PF8009"
    assert digest not in str(error) and "****: quota exceeded" in str(error)
    assert "UPDATE_ROLLBACK_COMPLETE" in error.message and "what ran before runs again" in error.message
    status = engine.status()
    assert (status.health, status.state) == ("ready", "UPDATE_ROLLBACK_COMPLETE")
    assert "quota exceeded" in status.reason and digest not in status.reason
    assert status.package == first.package_digest
    cloud.tell(fail={})
    assert deployed.deploy(kit.release(small, tmp_path, "new")).state == "UPDATE_COMPLETE"


def test_data_that_was_taken_back_for_nothing(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    """The import went well and what follows fails: the data stays in a stack without functions."""
    engine = cloud.engine(tiny)
    deployed = kit.Deployed(engine)
    release = kit.release(tiny, tmp_path)
    deployed.deploy(release)
    engine.destroy(False, print)
    cloud.tell(fail={"WorkFunction": "no"})
    error = refused(deployed.deploy, release)
    assert "WorkFunction (AWS::Lambda::Function): no" in str(error)
    status = engine.status()
    assert (status.health, status.resume) == ("failed", "portafaas deploy")
    assert "JobsQueue" in {name for name, _, _ in status.resources}
    cloud.tell(fail={})
    assert deployed.deploy(release).health == "ready"


def test_a_rollback_that_fails(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(tiny)
    deployed = kit.Deployed(engine)
    deployed.deploy(kit.release(tiny, tmp_path))
    cloud.tell(fail={"WorkFunction": "x is wrong", "rollback": "Resource WorkFunction is stuck"})
    release = kit.release(tiny, tmp_path, "new")
    command = f"aws cloudformation continue-update-rollback --stack-name {NAME} --region {kit.REGION}"
    error = refused(deployed.deploy, release)
    assert command in str(error) and "UPDATE_ROLLBACK_FAILED" in str(error)
    for call in (lambda: engine.preview(release), engine.drift):
        error = refused(call)
        assert code(error) == "PF8006" and "is stuck" in str(error) and command in str(error)
    status = engine.status()
    assert (status.health, status.resume) == ("failed", command)


def test_states_that_must_be_mended(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(tiny)
    release = kit.release(tiny, tmp_path)
    kit.Deployed(engine).deploy(release)
    for state in ("ROLLBACK_FAILED", "DELETE_FAILED", "UPDATE_FAILED", "CREATE_FAILED"):
        cloud.tell(state=[NAME, state, "no reason"])
        error = refused(engine.preview, release)
        verb = "rollback-stack" if state == "UPDATE_FAILED" else "delete-stack"
        assert code(error) == "PF8006", state
        assert f"aws cloudformation {verb} --stack-name {NAME}" in str(error)
        assert engine.status().health == "failed"


def test_a_state_left_by_others(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    """A stack that was previewed by hand is empty, and is made anew."""
    engine = cloud.engine(tiny)
    release = kit.release(tiny, tmp_path)
    deployed = kit.Deployed(engine)
    deployed.deploy(release)
    cloud.tell(state=[NAME, "REVIEW_IN_PROGRESS", ""])
    assert engine.status().health == "absent"
    assert engine.preview(release).first


def test_while_another_deployment_is_under_way(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    engine, other = cloud.engine(tiny), cloud.engine(tiny)
    release = kit.release(tiny, tmp_path)
    cloud.tell(hold="WorkFunction")
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(kit.Deployed(engine).deploy(release)))
    thread.start()
    try:
        assert cloud.tell(wait=True)
        assert other.status().health == "busy"
        for call in (
            lambda: other.preview(release), lambda: other.destroy(False, print), other.drift,
        ):  # fmt: skip
            assert code(refused(call)) == "PF8005"
    finally:
        cloud.tell(go=True)
        thread.join(20)
    assert done[0].health == "ready"


def test_another_deployment_between_preview_and_apply(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    mine, theirs = cloud.engine(tiny), cloud.engine(tiny)
    first, second = kit.release(tiny, tmp_path), kit.release(tiny, tmp_path, "two")
    third = kit.release(tiny, tmp_path, "three")
    kit.Deployed(theirs).deploy(first)
    preview = mine.preview(second)
    kit.Deployed(theirs).deploy(third)
    error = refused(mine.apply, second, preview, print)
    assert code(error) == "PF8005" and "deploy again" in str(error)
    assert mine.status().package == third.package_digest


def test_a_deployment_that_is_interrupted(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(tiny)
    deployed = kit.Deployed(engine)
    release = kit.release(tiny, tmp_path)
    cloud.tell(hold="WorkFunction")

    def interrupt(progress: Any) -> None:
        if progress.resource == "WorkFunction":
            raise KeyboardInterrupt

    preview = engine.preview(release)
    engine.blobs(create=True).write(release.package_key, release.package)
    with pytest.raises(KeyboardInterrupt):
        engine.apply(release, preview, interrupt)
    assert engine.status().health == "busy"
    assert code(refused(engine.preview, release)) == "PF8005"
    cloud.tell(go=True)
    wait_for(engine, "ready")
    assert deployed.deploy(release).health == "ready"


def test_an_interruption_before_the_engine_has_begun(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path, monkeypatch: Any) -> None:
    from portafaas_aws.deployment import changes

    engine = cloud.engine(tiny)
    release = kit.release(tiny, tmp_path)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(changes, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.apply(release, engine.preview(release), print)
    assert cloud.client("cloudformation").describe_stacks()["Stacks"] == []


def wait_for(engine: Any, health: str) -> None:
    for _ in engine.cloud.pauses():
        if engine.status().health == health:
            return


def test_a_release_that_the_engine_refuses_before_it_begins(cloud: Any, kit: Any, small: BuildPlan, tmp_path: Path) -> None:
    """Its own checks find a name that is taken; the reasons are told, and nothing is left."""
    engine = cloud.engine(small)
    release = kit.release(small, tmp_path)
    preview = engine.preview(release)
    engine.blobs(create=True).write(release.package_key, release.package)
    found = documents_with(release, "Other", {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "taken"}})
    cloud.client("sqs").create_queue(QueueName="taken")
    changed = kit.release(small, tmp_path, documents=found)
    error = refused(engine.apply, changed, replace_token(preview), print)
    assert code(error) == "PF8008"
    assert "Other (AWS::SQS::Queue): Resource of type 'AWS::SQS::Queue' with identifier 'taken' already exists" in str(error)
    assert cloud.client("cloudformation").describe_stacks()["Stacks"] == []


def documents_with(release: Release, name: str, resource: Any) -> Any:
    ((file, document),) = release.documents.items()
    return {file: {**document, "Resources": {**document["Resources"], name: resource}}}


def replace_token(preview: Any) -> Any:
    return replace(preview, token=None)


def test_a_removal_that_fails_and_goes_on(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(tiny)
    kit.Deployed(engine).deploy(kit.release(tiny, tmp_path))
    cloud.tell(fail={"delete WorkRole": "Cannot delete entity, must detach all policies first"})
    error = refused(engine.destroy, True, print)
    assert code(error) == "PF8007" and "must detach all policies" in str(error)
    assert "DELETE_FAILED" in error.message and "portafaas destroy" in error.message
    # The data is not touched before the stack is gone.
    assert "shop-dev-jobs" in str(cloud.client("sqs").list_queues())
    cloud.tell(fail={})
    assert engine.destroy(True, print) == []
    assert cloud.client("iam").list_roles()["Roles"] == []
    assert "QueueUrls" not in cloud.client("sqs").list_queues()


def test_a_protected_stack(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path) -> None:
    engine = cloud.engine(tiny)
    kit.Deployed(engine).deploy(kit.release(tiny, tmp_path))
    cloud.tell(protect=True)
    error = refused(engine.destroy, False, print)
    assert code(error) == "PF8006" and "--no-enable-termination-protection" in str(error)
    assert engine.status().health == "ready"


def test_a_network_that_falters_while_the_engine_works(cloud: Any, kit: Any, tiny: BuildPlan, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    engine = cloud.engine(tiny)
    release = kit.release(tiny, tmp_path)
    preview = engine.preview(release)
    engine.blobs(create=True).write(release.package_key, release.package)
    cloud.tell(hold="WorkFunction")

    def falter(progress: Any) -> None:
        # It goes on when the faults are over.
        if (progress.resource, progress.state) == ("WorkFunction", "CREATE_IN_PROGRESS"):
            cloud.tell(fault={"DescribeStacks": ["Throttling", "Rate exceeded", 400, 3]})

    assert engine.apply(release, preview, falter).health == "ready"
    cloud.tell(fault={"DescribeStacks": ["Throttling", "Rate exceeded", 400]})
    assert code(refused(engine.status)) == "PF8012"


def test_nothing_is_deployed(cloud: Any, tiny: BuildPlan) -> None:
    engine = cloud.engine(tiny)
    for call in (engine.drift, lambda: engine.destroy(True, print), lambda: list(engine.logs(["work"], 0, False))):
        assert code(refused(call)) == "PF8010"
    assert engine.status().health == "absent"
    assert engine.blobs().names("packages/") == () and engine.blobs().read("x") is None
