"""Handlers that use the resources of ``context``, deployed by the AWS engine, under their roles."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator

import pytest

from tests.aws_cloud.cloud import Cloud
from tests.aws_cloud.permissions import used_permissions

pytest.importorskip("portafaas.runtime.queues")
awsengine = pytest.importorskip("portafaas_aws.deployment.awsengine")

MANIFEST = """
portafaas: 1
name: desk
python: "3.11"
functions:
  ask:
    handler: desk:ask
    trigger: {http: {method: POST, path: /asks, auth: key}}
    uses: [{write: asks}, {read: asks}, {publish: asked}, {read: stamp}]
  route:
    handler: desk:route
    trigger: {topic: {name: asked, filter: {type: [desk.asked]}}}
    uses: [{send: replies}]
  reply:
    handler: desk:Reply
    trigger: {queue: {name: replies, batch: 4}}
    retry: {attempts: 2}
    uses: [{write: letters}, {read: letters}, {read: asks}]
queues: {replies: {ordered: true, dead-letter: true}}
topics: {asked: {}}
tables: {asks: {key: id, sort: customer}}
buckets: {letters: {}}
secrets: {stamp: {}}
"""
APP = '''
from portafaas.runtime import QueueHandler, Response
from portafaas.runtime.resources import Conflict, NotFound, NotGranted


def ask(request, context):
    row = request.json()
    try:
        context.tables["asks"].put({**row, "stamp": context.secrets["stamp"].get()}, if_absent=True)
    except Conflict:
        return Response.json(context.tables["asks"].get(row["id"], row["customer"]), status=409)
    try:
        context.queues["replies"].send(row)
    except NotGranted:
        pass
    else:
        raise AssertionError("could send")
    context.topics["asked"].publish(row, type=row.get("type", "desk.asked"), attributes={"tier": "gold"})
    return Response(status=202)


def route(event, context):
    for step in range(3):
        context.queues["replies"].send(
            {"step": step, **event.data}, key=event.data["customer"],
            attributes={"tier": event.attributes["tier"]},
        )


class Reply(QueueHandler):
    def handle(self, message, context):
        note = message.json()
        letters = context.buckets["letters"]
        name = f"{message.key}/{note['id']}.txt"
        try:
            before = letters.read(name)
        except NotFound:
            before = b""
        if note["price"] < 0:
            raise ValueError("no reply to that")
        letters.write(name, before + f"{note['step']} {note['price']!r} {message.attributes['tier']}\\n".encode())
'''


@pytest.fixture(scope="module")
def desk(aws_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The cloud with the service, as ``portafaas deploy`` leaves it."""
    from portafaas.deployment.release import make_release
    from portafaas.manifest.load import load_manifest
    from portafaas.pipeline import build
    from portafaas.plan.build import build_plan
    from portafaas_aws.infrastructure import emit

    folder = tmp_path_factory.mktemp("desk") / "desk"
    folder.mkdir()
    manifest = folder / "portafaas.yaml"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    manifest.write_text(MANIFEST.replace('"3.11"', f'"{version}"'))
    (folder / "desk.py").write_text(APP)
    build(manifest, ["aws"])
    package = folder / "out" / "aws" / "desk.zip"
    plan = build_plan(load_manifest(manifest))
    emitted = emit(plan)
    keys = {"PORTAFAAS_HTTP_KEYS": f"desk={hashlib.sha256(b'secret').hexdigest()}"}
    digest = f"sha256:{hashlib.sha256(package.read_bytes()).hexdigest()}"
    release = make_release(plan, package, digest, emitted.documents, emitted.permissions, keys)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws_cloud.environment.items():
            patch.setenv(name, value)
        engine = awsengine.AwsEngine(plan)
        engine.cloud.poll = 0.05
        preview = engine.preview(release)
        engine.blobs(create=True).write(release.package_key, package)
        engine.apply(release, preview, lambda _: None)
        engine.secrets().set("stamp", b"sealed")
        yield aws_cloud
        engine.destroy(True, lambda _: None)


def test_handlers_reach_what_they_declared(desk: Cloud) -> None:
    desk.idle()
    start = {name: len(calls) for name, calls in desk.all_calls.items()}
    base, key = desk.url("desk-http"), {"x-api-key": "secret"}
    ask = {"id": "a1", "customer": "ada", "price": 1.1, "none": None, "empty": "", "deep": [{"x": 2}]}
    assert desk.request("POST", "/asks", ask, base=base).status == 401
    assert desk.request("POST", "/asks", ask, key, base=base).status == 202
    desk.idle()
    again = desk.request("POST", "/asks", ask, key, base=base)
    assert (again.status, again.json()) == (409, {**ask, "stamp": "sealed"})
    (bucket,) = [
        b["Name"] for b in desk.client("s3").list_buckets()["Buckets"] if "desk-letters" in b["Name"]
    ]
    letter = desk.client("s3").get_object(Bucket=bucket, Key="ada/a1.txt")["Body"].read()
    assert letter == b"0 1.1 gold\n1 1.1 gold\n2 1.1 gold\n"

    desk.request("POST", "/asks", {**ask, "id": "a2", "type": "desk.other"}, key, base=base)
    desk.request("POST", "/asks", {**ask, "id": "a3", "price": -1}, key, base=base)
    desk.idle()
    dead = [json.loads(text) for text in desk.messages("desk-replies-dead.fifo")]
    assert [(m["id"], m["step"]) for m in dead] == [("a3", 0), ("a3", 1), ("a3", 2)]

    used = used_permissions(
        {n: c[start.get(n, 0) :] for n, c in desk.all_calls.items() if n.startswith("desk-")}
    )
    for principal, permissions in used.items():
        policy = desk.policy(principal)
        assert [p for p in permissions if not policy.allows(p)] == []
    assert {p[0] for p in used["desk-ask"]} >= {
        "dynamodb:GetItem", "dynamodb:PutItem", "secretsmanager:GetSecretValue", "sns:Publish",
    }  # fmt: skip
    assert {p[0] for p in used["desk-reply"]} >= {"s3:GetObject", "s3:ListBucket", "s3:PutObject"}
