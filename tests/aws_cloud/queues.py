"""The poller of a queue.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
In the server's process only.
"""

from __future__ import annotations

import json
import time
from typing import Any

from moto.sqs.models import sqs_backends

from tests.aws_cloud.poller import Poller
from tests.aws_cloud.records import queue_record
from tests.aws_cloud.world import ACCOUNT

#: Seconds that a batching window takes at most: AWS's may be minutes.
LONGEST_WINDOW = 0.3


class QueuePoller(Poller):
    """Receives batches and deletes what succeeded; what failed is visible again in its own time."""

    def run(self) -> None:
        self.sqs = self.world.client("sqs", self.region, self.function().function_name)
        account, name = self.mapping.event_source_arn.split(":")[4:6]
        self.url = f"{self.world.endpoint}/{account}/{name}"
        super().run()

    @property
    def queue(self) -> Any:
        return sqs_backends[ACCOUNT][self.region].queues.get(self.source)

    def patience(self) -> float:
        # Delayed messages become visible without anything happening.
        return 0.02 if self.queue is not None and self.queue._messages else 5.0

    def poll(self) -> bool:
        if self.queue is None or not self.queue.messages:
            return False
        if not self.begun:
            # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
            self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
            self.begun = True
        messages = self._collect()
        wanted = [m for m in messages if self.wants({"body": _json_or_text(m["Body"])})]
        if len(wanted) < len(messages):
            self._remove([m for m in messages if m not in wanted])
        if wanted:
            with self.world.busy(f"a batch of {self.source}"):
                self._deliver(wanted)
        # Nothing may have come out though there was something: moved away, or held back.
        return bool(messages)

    def _collect(self) -> list[dict[str, Any]]:
        size = self.mapping.batch_size
        window = min(float(self.mapping.max_batch_window or 0), LONGEST_WINDOW)
        end = time.monotonic() + window
        messages: list[dict[str, Any]] = []
        while len(messages) < size:
            version = self.world.version
            found = self.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(10, size - len(messages)),
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            messages += found
            left = end - time.monotonic()
            if not messages or (not found and left <= 0):
                break
            if not found:
                self.world.wait(version, left)
        return messages

    def _deliver(self, messages: list[dict[str, Any]]) -> None:
        records = [queue_record(m, self.mapping.event_source_arn, self.region) for m in messages]
        failed = self.invoke(records)
        ids = {m["MessageId"] for m in messages}
        if failed is None or not failed <= ids:
            failed = ids
        self._remove([m for m in messages if m["MessageId"] not in failed])
        backend: Any = sqs_backends[ACCOUNT][self.region]
        for message in messages:
            if message["MessageId"] in failed:
                # The rest of the queue's timeout, unless the function has set one.
                backend.leave(self.source, message["ReceiptHandle"])

    def _remove(self, messages: list[dict[str, Any]]) -> None:
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages[start : start + 10])
            ]
            if entries:
                answer = self.sqs.delete_message_batch(QueueUrl=self.url, Entries=entries)
                assert not answer.get("Failed"), answer


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
