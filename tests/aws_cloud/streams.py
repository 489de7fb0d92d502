"""The poller of a table's stream.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
In the server's process only.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from moto.dynamodb.models import dynamodb_backends

from tests.aws_cloud.asynchronous import send_record, stamp
from tests.aws_cloud.poller import Poller
from tests.aws_cloud.records import stream_record
from tests.aws_cloud.world import ACCOUNT


def shard_of(region: str, arn: str) -> Any:
    """Return the table's shard, or None for a stream that the table has no more."""
    name, _, label = arn.split("/", 1)[1].partition("/stream/")
    table = dynamodb_backends[ACCOUNT][region].tables.get(name)
    if table is None or table.latest_stream_label != label:
        return None
    return table.stream_shard


class StreamPoller(Poller):
    """Reads a shard from its beginning and never goes on before a change is dealt with."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: How many changes have been dealt with.
        self.position = 0
        self._iterator = ""

    def poll(self) -> bool:
        arn = self.mapping.event_source_arn
        shard = shard_of(self.region, arn)
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
