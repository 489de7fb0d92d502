"""Lambda's event source mappings: pollers of queues and of tables' streams.

Whatever Lambda does with the function's role is done here through the API with that role: receive
and delete messages, read streams, report failures. In the server's process only.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends

from tests.aws_cloud.asynchronous import send_record, stamp
from tests.aws_cloud.functions import Functions
from tests.aws_cloud.records import queue_record, stream_record
from tests.aws_cloud.world import ACCOUNT, World

#: Seconds that a batching window takes at most: AWS's may be minutes.
LONGEST_WINDOW = 0.3


def mappings() -> Iterator[tuple[str, Any]]:
    """Yield region and mapping of each event source mapping that is enabled."""
    for region, backend in list(lambda_backends[ACCOUNT].items()):
        for mapping in list(backend._event_source_mappings.values()):
            if mapping.enabled:
                yield region, mapping


class Sources:
    """A thread for each mapping, begun and ended as mappings come and go."""

    def __init__(self, world: World, functions: Functions) -> None:
        self._world = world
        self._functions = functions
        self._pollers: dict[str, _Poller] = {}
        world.pending.append(self._pending)
        threading.Thread(target=self._watch, daemon=True, name="mappings").start()

    def _watch(self) -> None:
        while not self._world.stopping:
            version = self._world.version
            for region, mapping in mappings():
                if mapping.uuid not in self._pollers:
                    kind = _QueuePoller if ":sqs:" in mapping.event_source_arn else _StreamPoller
                    poller = kind(self._world, self._functions, region, mapping)
                    self._pollers[mapping.uuid] = poller
                    poller.start()
            self._world.wait(version, 5.0)

    def _pending(self) -> list[str]:
        found = []
        for region, mapping in mappings():
            name = mapping.event_source_arn.split(":", 5)[5]
            if ":sqs:" in mapping.event_source_arn:
                queue = sqs_backends[ACCOUNT][region].queues.get(name)
                if queue is not None and queue._messages:
                    found.append(f"{len(queue._messages)} messages in {name}")
                continue
            poller = self._pollers.get(mapping.uuid)
            shard = _shard(region, mapping.event_source_arn)
            done = poller.position if isinstance(poller, _StreamPoller) else 0
            if shard is not None and len(shard.items) > done:
                found.append(f"{len(shard.items) - done} changes in {name}")
        return found


def _shard(region: str, arn: str) -> Any:
    """Return the table's shard, or None for a stream that the table has no more."""
    name, _, label = arn.split("/", 1)[1].partition("/stream/")
    table = dynamodb_backends[ACCOUNT][region].tables.get(name)
    if table is None or table.latest_stream_label != label:
        return None
    return table.stream_shard


class _Poller(threading.Thread):
    def __init__(self, world: World, functions: Functions, region: str, mapping: Any) -> None:
        super().__init__(daemon=True, name=mapping.function_arn.rpartition(":")[2])
        self.world = world
        self.functions = functions
        self.region = region
        self.mapping = mapping

    def run(self) -> None:
        self.begun = False
        while not self.world.stopping and self._exists():
            version = self.world.version
            try:
                if not self.mapping.enabled or not self.poll():
                    self.world.wait(version, self.patience())
            except Exception:
                # As on AWS, where a mapping that may not read its source tries on.
                traceback.print_exc(file=sys.stderr)
                self.world.wait(self.world.version, 0.2)

    def _exists(self) -> bool:
        backend = lambda_backends[ACCOUNT][self.region]
        return backend._event_source_mappings.get(self.mapping.uuid) is self.mapping

    def patience(self) -> float:
        """Return how long to wait when there is nothing to do and nothing happens."""
        return 5.0

    def poll(self) -> bool:
        """Deliver what there is; tell whether there was something."""
        raise NotImplementedError

    def function(self) -> Any:
        return lambda_backends[ACCOUNT][self.region].get_function(self.mapping.function_arn)

    def wants(self, facts: Any) -> bool:
        """Tell whether the mapping's filters let a record through.

        https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
        """
        filters = (self.mapping.filter_criteria or {}).get("Filters")
        return not filters or any(matches(json.loads(f["Pattern"]), facts) for f in filters)

    def invoke(self, records: list[dict[str, Any]]) -> set[str] | None:
        """Return the ids of the records that failed, or None when all did."""
        ok, value = self.functions.invoke(
            self.function(), {"Records": records}, f"{len(records)} of {self.source}"
        )
        if not ok:
            return None
        if "ReportBatchItemFailures" not in (self.mapping.function_response_types or ()):
            return set()
        return failures(value)

    @property
    def source(self) -> str:
        return str(self.mapping.event_source_arn.split(":", 5)[5])


def failures(value: Any) -> set[str] | None:
    """Return the ids that an answer reports, or None when it has to count as a failure of all."""
    if value is None:
        return set()
    if not isinstance(value, dict) or (value and "batchItemFailures" not in value):
        return None
    found = value.get("batchItemFailures") or []
    ids = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in found]
    known = {id for id in ids if isinstance(id, str) and id}
    return known if len(known) == len(set(ids)) else None


def matches(pattern: Any, facts: Any) -> bool:
    """Tell whether *facts* have what an event pattern of literal values asks for."""
    if isinstance(pattern, dict):
        return isinstance(facts, dict) and all(
            matches(inner, facts.get(name)) for name, inner in pattern.items()
        )
    if any(isinstance(value, dict) for value in pattern):
        raise NotImplementedError(f"pattern {pattern}")
    return facts in pattern


class _QueuePoller(_Poller):
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
            self._delete([m for m in messages if m not in wanted])
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
        self._delete([m for m in messages if m["MessageId"] not in failed])
        backend = sqs_backends[ACCOUNT][self.region]
        for message in messages:
            if message["MessageId"] in failed:
                # AWS leaves them until they are visible again by themselves.
                backend.change_message_visibility(self.source, message["ReceiptHandle"], 0)

    def _delete(self, messages: list[dict[str, Any]]) -> None:
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


class _StreamPoller(_Poller):
    """Reads a shard from its beginning and never goes on before a change is dealt with."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: How many changes have been dealt with.
        self.position = 0
        self._iterator = ""

    def poll(self) -> bool:
        arn = self.mapping.event_source_arn
        shard = _shard(self.region, arn)
        if shard is None or len(shard.items) <= self.position:
            return False
        streams = self.world.client(
            "dynamodbstreams", self.region, self.function().function_name
        )
        if not self._iterator:
            (found,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
            if self.mapping.starting_position != "TRIM_HORIZON":
                raise NotImplementedError(self.mapping.starting_position)
            self._iterator = streams.get_shard_iterator(
                StreamArn=arn, ShardId=found["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
        answer = streams.get_records(ShardIterator=self._iterator, Limit=self.mapping.batch_size)
        self._iterator = answer["NextShardIterator"]
        records = [stream_record(r, arn, self.region) for r in answer["Records"]]
        with self.world.busy(f"a batch of {self.source}"):
            self._deliver([r for r in records if self.wants(r)], shard.id)
            self.position += len(records)
        return bool(records)

    def _deliver(self, records: list[dict[str, Any]], shard: str) -> None:
        attempts = 0
        while records and not self.world.stopping and self._exists():
            attempts += 1
            failed = self.invoke(records)
            numbers = [r["dynamodb"]["SequenceNumber"] for r in records]
            if failed is not None and not failed:
                return
            known = [n for n in numbers if n in (failed or ())]
            if known and (start := numbers.index(known[0])):
                # What comes before the first that failed is done with.
                records, attempts = records[start:], 1
            if self._given_up(records[0], attempts):
                self._report(records, shard, attempts)
                return
            self.world.wait(self.world.version, min(1.0, 0.01 * 2**attempts))

    def _given_up(self, record: dict[str, Any], attempts: int) -> bool:
        most, age = self.mapping.max_retry_attempts, self.mapping.max_record_age
        if most is not None and most >= 0 and attempts > most:
            return True
        created = record["dynamodb"]["ApproximateCreationDateTime"]
        return age is not None and 0 <= age < time.time() - created

    def _report(self, records: list[dict[str, Any]], shard: str, attempts: int) -> None:
        config = self.mapping.destination_config or {}
        destination = config.get("OnFailure", {}).get("Destination")
        if not destination:
            return
        facts = [r["dynamodb"] for r in records]
        record = {
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "functionArn": self.mapping.function_arn,
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": attempts,
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "version": "1.0",
            "timestamp": stamp(),
            "DDBStreamBatchInfo": {
                "shardId": shard,
                "startSequenceNumber": facts[0]["SequenceNumber"],
                "endSequenceNumber": facts[-1]["SequenceNumber"],
                "approximateArrivalOfFirstRecord": stamp(),
                "approximateArrivalOfLastRecord": stamp(),
                "batchSize": len(records),
                "streamArn": self.mapping.event_source_arn,
            },
        }
        send_record(self.world, self.function(), destination, record)
