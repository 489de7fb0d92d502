import json
import os

from notes import aws
from portafaas.runtime import Permanent, QueueHandler, Throttled


def sort(event, context):
    if event.data["text"] == "unsorted" and "MENDED" not in os.environ:
        raise Permanent("nobody sorts that")
    if event.data["text"] == "later" and event.attempt == 1:
        raise Throttled("not yet", retry_after=30)
    aws.client("sqs").send_message(
        QueueUrl=aws.address("queue", "filing"), MessageBody=json.dumps(event.data),
        MessageAttributes={"from": {"DataType": "String", "StringValue": event.id}},
    )


class File(QueueHandler):
    def handle(self, message, context):
        note = message.json()
        if note["text"] == "poison" and "MENDED" not in os.environ:
            raise ValueError("cannot file that")
        if note["text"] == "crash" and "MENDED" not in os.environ:
            os._exit(3)
        aws.client("s3").put_object(
            Bucket=aws.address("bucket", "archive"), Key=f"filed/{note['id']}.txt",
            Body=f"{note['text']} {message.attributes['from']}".encode(),
        )


class Count(QueueHandler):
    """Each group's steps in order: what comes too early fails."""

    def __init__(self):
        self.seen = {}

    def handle(self, message, context):
        step = message.json()
        if step["step"] != self.seen.setdefault(message.key, 0):
            raise ValueError(f"step {step} of {message.key} comes too early")
        if step.get("stumble") and message.attempt == 1:
            raise ValueError("stumbles once")
        self.seen[message.key] += 1
        aws.put("counts", id=f"steps-{message.key}", count=self.seen[message.key])


def watch(change, context):
    if change.new["text"] == "unwatched" and "MENDED" not in os.environ:
        raise ValueError("not this one")
    if change.new["text"] == "crash":
        os._exit(3)
    aws.put("counts", id=f"note-{change.keys['id']}", text=change.new["text"])
    if change.new["text"] == "steps":
        for step in range(6):
            body = {"step": step, "stumble": step == 2}
            for key in ("a", "b"):
                aws.client("sqs").send_message(
                    QueueUrl=aws.address("queue", "steps"), MessageBody=json.dumps(body),
                    MessageGroupId=f"{key}-{change.keys['id']}", MessageDeduplicationId=f"{key}-{step}-{change.keys['id']}",
                )


def stored(event, context):
    if event.key.endswith("refused.txt"):
        raise ValueError("not this object")
    aws.put("counts", id=f"{event.kind}-{event.key}", size=event.size)


def tick(event, context):
    if event.time.startswith("2027"):
        raise ValueError("not this year")
    aws.put("counts", id="tick", time=event.time)
