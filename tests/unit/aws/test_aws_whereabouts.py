"""A script reaches what is deployed: ``connect`` on a local AWS, with the real driver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.connection import connect
from portafaas.deployment import DeploymentError
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.runtime import secrets
from portafaas.runtime.resources import ResourceError
from portafaas_aws.runtime import calls

MANIFEST = """\
portafaas: 1
name: shop
functions:
  work: {handler: "app:work", trigger: {queue: {name: taken}}, uses: [send: steps, publish: order-news, read: orders, write: files, read: api-key]}
queues: {taken: {}, jobs: {}, steps: {ordered: true}}
topics: {order-news: {ordered: true}}
tables: {orders: {key: id, sort: line}}
buckets: {files: {}}
secrets: {api-key: {}}
stages: {dev: {}}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("def work(message, context): ...\n")
    file = tmp_path / "portafaas.yaml"
    file.write_text(MANIFEST)
    return file


@pytest.fixture
def fresh(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The cloud, with no clients or values of other tests."""
    import boto3

    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(calls, "_clients", {})
    monkeypatch.setattr(secrets, "_entries", {})
    yield cloud


def test_everything_is_reachable(fresh: Any, kit: Any, manifest: Path, tmp_path: Path) -> None:
    plan = build_plan(load_manifest(manifest, "dev"), "aws")
    with pytest.raises(DeploymentError) as caught:
        connect(manifest, target="aws", stage="dev")
    assert [one.code for one in caught.value.diagnostics] == ["PF8010"]
    engine = fresh.engine(plan)
    kit.Deployed(engine).deploy(kit.release(plan, tmp_path))

    # What scripts are told is what functions are told.
    told = engine.whereabouts()
    variables = fresh.client("lambda").get_function_configuration(FunctionName="shop-dev-work")
    own = {
        name: value for name, value in variables["Environment"]["Variables"].items()
        if name.split("_")[1] in ("QUEUE", "TOPIC", "TABLE", "BUCKET", "SECRET")
    }  # fmt: skip
    # moto has URLs of AWS's own in its stacks: an engine asks SQS.
    steps = "PORTAFAAS_QUEUE_STEPS"
    assert told[steps].rpartition("/")[2] == own[steps].rpartition("/")[2] == "shop-dev-steps.fifo"
    own[steps] = told[steps]
    assert len(own) == 5 and own.items() <= told.items()
    assert set(told) - set(own) == {"PORTAFAAS_QUEUE_JOBS", "PORTAFAAS_QUEUE_TAKEN"}

    shop = connect(manifest, target="aws", stage="dev")
    id = shop.queues["jobs"].send({"order": "7"})
    sqs = fresh.client("sqs")
    url = sqs.get_queue_url(QueueName="shop-dev-jobs")["QueueUrl"]
    (message,) = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    assert json.loads(message["Body"]) == {"order": "7"}
    assert message["MessageAttributes"]["pf-id"]["StringValue"] == id
    shop.queues["steps"].send("x", key="1")
    shop.topics["order-news"].publish("x", type="order.placed", key="7")
    shop.tables["orders"].put({"id": "7", "line": "1", "sum": 3})
    assert shop.tables["orders"].get("7", "1") == {"id": "7", "line": "1", "sum": 3}
    shop.buckets["files"].write("a", b"b")
    assert shop.buckets["files"].read("a") == b"b"
    engine.secrets().set("api-key", b"hush")
    assert shop.secrets["api-key"].get() == "hush"


def test_with_a_profile(
    fresh: Any, kit: Any, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and region may be in files alone, where the driver on AWS never looks."""
    plan = build_plan(load_manifest(manifest, "dev"), "aws")
    kit.Deployed(fresh.engine(plan)).deploy(kit.release(plan, tmp_path))
    fresh.engine(plan).secrets().set("api-key", b"\xff\0")
    file = tmp_path / "aws"
    file.write_text(
        "[profile work]\naws_access_key_id = test\naws_secret_access_key = test\n"
        f"region = {kit.REGION}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "work")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    shop = connect(manifest, target="aws", stage="dev")
    shop.queues["jobs"].send("x")
    assert shop.secrets["api-key"].get_bytes() == b"\xff\0"


def test_what_is_not_deployed_yet(fresh: Any, kit: Any, manifest: Path, tmp_path: Path) -> None:
    plan = build_plan(load_manifest(manifest, "dev"), "aws")
    kit.Deployed(fresh.engine(plan)).deploy(kit.release(plan, tmp_path))
    manifest.write_text(MANIFEST.replace("jobs: {},", "jobs: {}, more: {},"))
    shop = connect(manifest, target="aws", stage="dev")
    shop.queues["jobs"].send("x")
    with pytest.raises(ResourceError, match="PORTAFAAS_QUEUE_MORE, which says where"):
        shop.queues["more"].send("x")
