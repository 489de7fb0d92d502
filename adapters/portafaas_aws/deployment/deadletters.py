"""Dead letters, in queues of SQS: looked at, sent to their functions again, removed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from portafaas.deployment.dead_letters import (
    Box,
    DeadLetter,
    DeadLetters,
    Redriven,
    dead_letter_boxes,
)
from portafaas_aws.deployment.cloud import Cloud, speaking
from portafaas_aws.deployment.faults import code_of
from portafaas_aws.deployment.held import Held
from portafaas_aws.deployment.letters import Found, Place, place_of
from portafaas_aws.deployment.stack import nothing
from portafaas_aws.names import bucket_name
from portafaas_aws.runtime.batches import SQS, chunks

#: Seconds that a function may take beyond its timeout to begin and to answer.
_SLACK = 30

#: (id, why it was not moved).
Reasons = list[tuple[str, str]]
Letters = list[Found]
Names = list[str]


class AwsDeadLetters(DeadLetters):
    """The dead letters of one service and stage."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    @speaking("the dead letters cannot be reached:")
    def boxes(self) -> Sequence[Box]:
        """Return the boxes; the count is SQS's approximate one, without what is being looked at."""
        found = []
        for name, kind in dead_letter_boxes(self.cloud.plan):
            place = place_of(self.cloud.plan, name)
            # Of a queue that is an ordinary one, too, nobody knows how many of it are letters.
            count = None if place.shared else self._count(self._url(place.dead))
            found.append(Box(name, kind, place.dead, count))
        return found

    @speaking("the dead letters cannot be read:")
    def list(self, box: str, limit: int) -> Sequence[DeadLetter]:
        """Return letters by the time they came; they stay where they are."""
        place = place_of(self.cloud.plan, box)
        found: Letters = []
        with self._held(place) as held:
            for batch in held.batches():
                found += [letter for letter in batch if letter.belongs]
                if len(found) >= limit:
                    break
            # Changes are read in their stream, while the letters are ours.
            found = sorted(found[:limit], key=lambda letter: letter.stamp)
            return [self._whole(letter).letter for letter in found]

    @speaking("not all dead letters were sent again; portafaas dlq redrive goes on:")
    def redrive(self, box: str, ids: Collection[str] | None) -> Redriven:
        """Send letters to the queue they came from, changes to the function itself.

        A change is gone when the function has answered that it is done, or given up again.
        """
        place = place_of(self.cloud.plan, box)
        moved: Names = []
        failed: Reasons = []
        missing = set(ids or ())
        with self._held(place) as held:
            for batch in held.batches():
                wanted = [each for each in batch if held.asked(each, ids, moved)]
                missing -= {each.letter.id for each in wanted}
                for done in self._again(place, wanted, failed):
                    held.remove(done)
                    moved += [each.letter.id for each in done]
        return Redriven(len(moved), (*failed, *((id, place.absent) for id in sorted(missing))))

    @speaking("not all dead letters were removed; portafaas dlq purge goes on:")
    def purge(self, box: str, ids: Collection[str] | None) -> int:
        """Remove letters one by one: purging a queue would take those that come in meanwhile."""
        place = place_of(self.cloud.plan, box)
        removed: Names = []
        with self._held(place) as held:
            for batch in held.batches():
                wanted = [each for each in batch if held.asked(each, ids, removed)]
                removed += [each.letter.id for each in held.remove(wanted)]
        return len(removed)

    def _url(self, queue: str) -> str:
        try:
            return str(self.cloud.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"])
        except Exception as exc:
            if "NonExistentQueue" in code_of(exc) or code_of(exc) == "QueueDoesNotExist":
                raise nothing(self.cloud) from None
            raise

    def _count(self, url: str) -> int:
        name = "ApproximateNumberOfMessages"
        answer = self.cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    @contextmanager
    def _held(self, place: Place) -> Iterator[Held]:
        held = Held(self.cloud, place, self._url(place.dead))
        try:
            yield held
        finally:
            held.put_back()

    def _again(
        self, place: Place, letters: Sequence[Found], failed: Reasons
    ) -> Iterator[Sequence[Found]]:
        """Send *letters* where they came from; yield those there, put the others to *failed*."""
        if not place.source:
            yield from self._invoke(place, letters, failed)
            return
        source = self._url(place.source)
        made = [each.again(source.endswith(".fifo")) for each in letters]
        told: set[int] = set()
        stopped: set[str] = set()
        for chunk in chunks(SQS, made, stopped, {}):
            entries = [{"Id": str(index), **made[index][0]} for index in chunk]
            answer = self.cloud.client("sqs").send_message_batch(QueueUrl=source, Entries=entries)
            lost = {int(each["Id"]): each for each in answer.get("Failed", ())}
            for index, each in lost.items():
                reason = f"{each.get('Code')}: {each.get('Message', '')}"
                failed.append((letters[index].letter.id, reason))
                if place.ordered:
                    stopped.add(made[index][0]["MessageGroupId"])
            told.update(chunk)
            yield [letters[index] for index in chunk if index not in lost]
        reason = "an earlier letter of its key was not sent"
        failed += [
            (each.letter.id, reason) for n, each in enumerate(letters) if n not in told
        ]

    def _invoke(
        self, place: Place, letters: Sequence[Found], failed: Reasons
    ) -> Iterator[Sequence[Found]]:
        """Give changes to the function, one by one and in order; yield each that is done."""
        from botocore.config import Config

        assert place.function is not None
        # A second invocation for one that takes long would be a second delivery.
        config = Config(
            read_timeout=place.function.timeout + _SLACK,
            retries={"total_max_attempts": 1},
            user_agent_extra="portafaas",
        )
        function = self.cloud.session.client(
            "lambda", region_name=self.cloud.region, config=config
        )
        for each in sorted(map(self._whole, letters), key=lambda letter: letter.order):
            if each.change is None:
                why = "the change itself is gone: its stream keeps it for 24 hours"
                failed.append((each.letter.id, why))
                continue
            record = each.redriven_change()
            answer = function.invoke(
                FunctionName=place.physical, Payload=json.dumps({"Records": [record]}).encode()
            )
            said = json.loads(answer["Payload"].read() or b"null")
            if answer.get("FunctionError"):
                text = said.get("errorMessage", "") if isinstance(said, dict) else ""
                failed.append((each.letter.id, f"{answer['FunctionError']}: {text}"))
            elif said and said.get("batchItemFailures"):
                failed.append((each.letter.id, "the function failed at it again"))
            else:
                yield [each]

    def _whole(self, found: Found) -> Found:
        """Return *found* with what it has only the place of: a body in a bucket, a change.

        As it is where that is gone, or a body may not be read.
        """
        if found.claim:
            bucket, _, key = found.claim.partition("/")
            name = bucket_name(self.cloud.plan, bucket)
            name = name.replace("${AWS::AccountId}", self.cloud.account)
            name = name.replace("${AWS::Region}", self.cloud.region)
            try:
                answer = self.cloud.client("s3").get_object(
                    Bucket=name, Key=key, ExpectedBucketOwner=self.cloud.account
                )
                return found.with_body(answer["Body"].read())
            except Exception as exc:
                if code_of(exc) in ("AccessDenied", "NoSuchBucket", "NoSuchKey"):
                    return found
                raise
        if found.where is None or found.change is not None:
            return found
        where = found.where
        streams = self.cloud.client("dynamodbstreams")
        try:
            start = streams.get_shard_iterator(
                StreamArn=where["streamArn"],
                ShardId=where["shardId"],
                ShardIteratorType="AT_SEQUENCE_NUMBER",
                SequenceNumber=where["startSequenceNumber"],
            )["ShardIterator"]
            records = streams.get_records(ShardIterator=start, Limit=1)["Records"]
        except Exception as exc:
            if code_of(exc) in ("TrimmedDataAccessException", "ResourceNotFoundException"):
                return found
            raise
        if not records or records[0]["dynamodb"]["SequenceNumber"] != where["startSequenceNumber"]:
            return found
        return found.with_change(records[0])
