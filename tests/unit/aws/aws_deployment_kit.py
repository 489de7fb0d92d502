"""A local AWS, and what tests of the engine do with it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from botocore.loaders import create_loader

from portafaas.deployment import Progress, Release
from portafaas.deployment.release import make_release
from portafaas.plan import BuildPlan
from portafaas_aws.adapter import ADAPTER
from portafaas_aws.deployment.awsengine import AwsEngine
from portafaas_aws.infrastructure import emit

REGION, ACCOUNT = "eu-central-1", "123456789012"
KEYS = {"PORTAFAAS_HTTP_KEYS": f"ada={'5e' * 32}"}
STORE = f"portafaas-{ACCOUNT}-{REGION}"


#: IAM actions of calls whose names differ.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
ACTIONS = {
    "s3:HeadBucket": ("s3:ListBucket",), "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "s3:DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "s3:PutPublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "s3:PutBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "s3:CreateBucket": ("s3:CreateBucket", "s3:PutBucketOwnershipControls"),
    "logs:FilterLogEvents": ("logs:FilterLogEvents",),
    "dynamodb:ListTagsOfResource": ("dynamodb:ListTagsOfResource",),
    "lambda:Invoke": ("lambda:InvokeFunction",),
    **{f"sqs:{name}Batch": (f"sqs:{name}",) for name in
       ("ChangeMessageVisibility", "DeleteMessage", "SendMessage")},
}  # fmt: skip


#: Prefixes of IAM that are not the service's name in boto3.
NAMES = {"resourcegroupstaggingapi": "tag", "dynamodbstreams": "dynamodb"}


def policy() -> dict[str, list[str]]:
    """Return the resources of each action of the policy in the documentation."""
    text = (Path(__file__).parents[3] / "docs" / "deployment-aws.md").read_text("utf-8")
    found: dict[str, list[str]] = {}
    for block in text.split("```json\n")[1:2]:
        for statement in json.loads(block.split("```")[0])["Statement"]:
            for action in statement["Action"]:
                found.setdefault(action, []).append(statement["Resource"])
    return found


LOADER = create_loader()


class Local:
    """One server: its address, its clients, and commands to it (see ``aws_deployment_server``)."""

    def __init__(self, process: subprocess.Popen[str], endpoint: str) -> None:
        self.process, self.endpoint = process, endpoint
        self.client = cache(self._client)
        #: Calls of engines: ``s3:PutObject``.
        self.calls: set[str] = set()

    def _client(self, service: str, account: str = "") -> Any:
        import boto3

        client = boto3.client(
            service, region_name=REGION, endpoint_url=self.endpoint,
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip
        if account:
            def other(request: Any, **_: Any) -> None:
                request.headers["x-moto-account-id"] = account

            client.meta.events.register("before-sign", other)
        return client

    def tell(self, **command: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def actions(self) -> set[str]:
        """Return the IAM actions of the calls that engines have made."""
        return {action for call in self.calls for action in ACTIONS.get(call, (call,))}

    def reset(self) -> None:
        self.tell(fail={}, fault={}, go=True)
        import urllib.request

        urllib.request.urlopen(
            urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")
        ).close()

    def engine(self, plan: BuildPlan) -> AwsEngine:
        engine: AwsEngine = ADAPTER.engine(plan)  # type: ignore[assignment]
        engine.poll = 0.04
        # Reading the models of services is most of what a small call costs.
        engine.cloud.session._session.register_component("data_loader", LOADER)

        def note(model: Any, **_: Any) -> None:
            self.calls.add(f"{NAMES.get(model.service_model.service_name, model.service_model.service_name)}:{model.name}")

        engine.cloud.session.events.register("before-call", note)
        return engine


@contextmanager
def local(log: Path) -> Iterator[Local]:
    script = Path(__file__).with_name("aws_deployment_server.py")
    with log.open("w") as file, subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdin is not None
        endpoint = process.stdout.readline().strip()
        assert endpoint.startswith("http://127.0.0.1:"), log.read_text()
        yield Local(process, endpoint)
        process.stdin.close()
        process.kill()


def package(folder: Path, content: str = "") -> Path:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(zipfile.ZipInfo("_portafaas.py"), content)
    path = folder / f"package-{len(content)}.zip"
    path.write_bytes(data.getvalue())
    return path


def release(plan: BuildPlan, folder: Path, content: str = "", environ: dict[str, str] | None = None,
            documents: Any = None) -> Release:  # fmt: skip
    """Return the release of a build of *plan*, as the core makes it."""
    made = emit(plan)
    path = package(folder, content)
    digest = "sha256:" + f"{len(content):02x}" * 32
    return make_release(plan, path, digest, documents or made.documents, made.permissions, KEYS if environ is None else environ)


class Deployed:
    """An engine, and what its last deployment reported."""

    def __init__(self, engine: AwsEngine) -> None:
        self.engine = engine
        self.progress: list[Progress] = []

    def deploy(self, release: Release) -> Any:
        """Do as the core does: preview, package, apply."""
        self.progress.clear()
        preview = self.engine.preview(release)
        assert release.package is not None
        self.engine.blobs(create=True).write(release.package_key, release.package)
        return self.engine.apply(release, preview, self.progress.append)


Make = Callable[..., Release]


def with_stage(plan: BuildPlan, stage: str) -> BuildPlan:
    return replace(plan, stage=stage)
