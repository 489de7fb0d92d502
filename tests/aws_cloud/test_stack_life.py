"""A stack of its own: new code runs when it is deployed, and nothing runs when it is gone."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from tests.aws_cloud.cloud import Cloud
from tests.aws_cloud.deploying import built, deploy, settled

MANIFEST = """
portafaas: 1
name: life
python: "3.11"
functions:
  web:
    handler: app:web
    trigger: {http: {method: GET, path: /version}}
  work:
    handler: app:Work
    trigger: {queue: {name: jobs}}
queues: {jobs: {}}
"""
APP = """
from portafaas.runtime import QueueHandler, Response

VERSION = 1

def web(request, context):
    return Response(str(VERSION), cookies=["a=1; Path=/", "b=2"], headers={"x-version": "v"})

class Work(QueueHandler):
    def handle(self, message, context):
        print("worked on", message.text, "as", VERSION)
"""


def _changed(package: bytes) -> bytes:
    """Return *package* with other code in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "app.py":
                content = content.replace(b"VERSION = 1", b"VERSION = 2")
            if not name.endswith(".pyc"):
                new.writestr(name, content)
    return made.getvalue()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("life") / "life"
    folder.mkdir()
    (folder / "portafaas.yaml").write_text(MANIFEST)
    (folder / "app.py").write_text(APP)
    return folder


def test_from_the_first_code_to_the_removal(aws_cloud: Cloud, project: Path) -> None:
    package, template = built(project, "life")
    ids = deploy(aws_cloud, "life", package, template)
    sqs = aws_cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="life-jobs")["QueueUrl"]

    def version() -> str:
        base = aws_cloud.url(ids["HttpApi"])
        answer = aws_cloud.request("GET", "/version", base=base)
        assert (answer.status, answer.headers["x-version"]) == (200, "v")
        assert answer.cookies == ("a=1; Path=/", "b=2")
        head = aws_cloud.request("HEAD", "/version", base=base)
        assert (head.status, head.headers["allow"], head.body) == (405, "GET", b"")
        return answer.body.decode()

    def worked(text: str) -> list[str]:
        aws_cloud.forget()
        sqs.send_message(QueueUrl=url, MessageBody=text)
        aws_cloud.idle()
        return [each["log"] for each in aws_cloud.invocations]

    assert version() == "1"
    assert worked("a") == ["worked on a as 1\n"]
    # The mapping may ask for the queue's messages only; see what Lambda does with the role.
    made = {(c.service, c.operation) for c in aws_cloud.calls["life-work"]}
    assert made == {
        ("sqs", "GetQueueAttributes"), ("sqs", "ReceiveMessage"), ("sqs", "DeleteMessageBatch"),
        ("logs", "CreateLogStream"), ("logs", "PutLogEvents"),
    }  # fmt: skip

    deploy(aws_cloud, "life", _changed(package), template, "UPDATE")
    assert version() == "2"
    assert worked("b") == ["worked on b as 2\n"]

    aws_cloud.client("cloudformation").delete_stack(StackName="life")
    assert settled(aws_cloud, "life") == "DELETE_COMPLETE"
    # The queue outlives the stack; nobody is there to take its messages.
    assert worked("c") == []
    assert aws_cloud.messages("life-jobs") == ["c"]
    with pytest.raises(RuntimeError, match="KeyError"):
        aws_cloud.url(ids["HttpApi"])
    sqs.delete_queue(QueueUrl=url)
    groups = aws_cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/life")
    assert groups["logGroups"] == []


def test_templates_are_not_half_understood(aws_cloud: Cloud) -> None:
    """Types that neither moto nor we know are refused, not skipped."""
    template = {"Resources": {"A": {"Type": "AWS::Batch::Nothing", "Properties": {}}}}
    with pytest.raises(Exception, match="not emulated"):
        aws_cloud.client("cloudformation").create_stack(
            StackName="odd", TemplateBody=json.dumps(template)
        )
