"""Letters of a queue of SQS while somebody looks at them: received, removed, or put back.

SQS has no way to look without receiving: what was received is invisible for a while, and visible
again at once when we are done with it, or by itself should we break off. Queues of dead letters
have no redrive policy, so that looking moves nothing. In a FIFO queue what is behind ten others of
its group is not shown while those are looked at.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.letters import Found, Place, read

#: Seconds that a letter is invisible to others while we have it.
_HIDDEN = 120
_BATCH = 10


class Held:
    """Letters of one queue that were received, until they are removed or put back."""

    def __init__(self, cloud: Cloud, place: Place, url: str) -> None:
        self.client = cloud.client("sqs")
        self.plan = cloud.plan
        self.place = place
        self.url = url
        # Asks all of SQS's servers, not a sample of them; of a second, usually.
        self.wait = min(20, round(cloud.poll))
        #: The newest receipt by the queue's own id of each message.
        self.receipts: dict[str, str] = {}
        self.known: set[str] = set()
        #: Milliseconds since 1970, by SQS's own clock, of which it tells seconds.
        self.start = 0

    def batches(self) -> Iterator[Sequence[Found]]:
        """Yield what there is, each once, until SQS gives nothing twice.

        Of many, those that we had first come again before we have seen the last: it ends when as
        many have come again as there are, and nothing new.
        """
        empty = stale = 0
        while empty < 2 and stale <= len(self.known):
            answer = self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=_HIDDEN,
                WaitTimeSeconds=self.wait,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            self.start = self.start or _date(answer)
            messages = answer.get("Messages", [])
            empty = 0 if messages else empty + 1
            fresh = []
            for message in messages:
                id = message["MessageId"]
                self.receipts[id] = message["ReceiptHandle"]
                if id not in self.known:
                    self.known.add(id)
                    fresh.append(read(self.plan, self.place, message))
            stale = 0 if fresh else stale + len(messages)
            if fresh:
                yield fresh

    def asked(self, found: Found, ids: Collection[str] | None, done: Collection[str]) -> bool:
        """Tell whether a letter is one of *ids*, and was there when we began.

        In the second that we began in, it is what has not been here before.
        """
        if not found.belongs or (ids is not None and found.letter.id not in ids):
            return False
        if found.stamp < self.start:
            return True
        return found.stamp < self.start + 1000 and found.letter.id not in done

    def remove(self, letters: Sequence[Found]) -> Sequence[Found]:
        """Delete *letters* from the queue; return those that are gone."""
        gone = []
        for start in range(0, len(letters), _BATCH):
            chunk = letters[start : start + _BATCH]
            entries = [
                {"Id": str(n), "ReceiptHandle": self.receipts[each.message]}
                for n, each in enumerate(chunk)
            ]
            answer = self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)
            lost = {int(each["Id"]) for each in answer.get("Failed", ())}
            for number, each in enumerate(chunk):
                if number not in lost:
                    del self.receipts[each.message]
                    gone.append(each)
        return gone

    def put_back(self) -> None:
        """Make visible what is left; what this fails at is visible in two minutes."""
        handles = list(self.receipts.values())
        for start in range(0, len(handles), _BATCH):
            entries = [
                {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for n, handle in enumerate(handles[start : start + _BATCH])
            ]
            self.client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)


def _date(answer: Any) -> int:
    """Return the second of SQS's clock at which it answered, in milliseconds since 1970."""
    from email.utils import parsedate_to_datetime
    from time import time

    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    seconds = parsedate_to_datetime(text).timestamp() if text else time()
    return int(seconds) * 1000
