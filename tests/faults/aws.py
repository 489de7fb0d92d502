"""AWS: moto's SQS and SNS through boto3, the loop of Lambda's event source mappings, awslambdaric.

What is deployed is our template, through moto's CloudFormation. What the loop does is described in
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html. One difference: the
queues' visibility timeout is shortened in the template, so that a batch whose process died
is there again within seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from portafaas.artifact import unpack
from portafaas.deployment.dead_letters import DeadLetters
from portafaas.vendor import VendorSession
from portafaas_aws.vendor import runtime
from tests.aws_cloud.cloud import ACCOUNT, REGION, _server_environment
from tests.aws_cloud.deploying import deploy
from tests.aws_cloud.functions import interpreter
from tests.aws_cloud.poller import matches
from tests.aws_cloud.records import queue_record, stream_record
from tests.faults.target import PYTHON, Target

_ROOT = Path(__file__).parents[2]
#: Seconds that a queue's messages are invisible for, after a process has died.
VISIBILITY = 4
#: Seconds after which a message that is held back is left to come again by itself.
LONGEST = 2.5
#: Batches that pass a message that is overtaken.
OVERTAKING = 3


class Server:
    """The moto server; what ``deploy`` calls a cloud."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.aws_server"],
            cwd=_ROOT,
            env=_server_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout is not None
        self.endpoint = self._process.stdout.readline().strip()
        if not self.endpoint:
            raise RuntimeError(log.read_text())
        self.client = cache(self._client)

    def _client(self, service: str, region: str = REGION) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=20),
        )

    @property
    def environment(self) -> dict[str, str]:
        """What an SDK needs to talk to it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


class Aws(Target):
    """See the module."""

    name = "aws"
    # SQS gives out of a FIFO queue ten messages of a key at most.
    shows_all = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._server = Server(folder / "server.log")
        package, _, documents = self.built()
        template = json.loads(documents[0].read_text())
        for resource in template["Resources"].values():
            # What we deploy is six times the function's timeout. Nobody receives while a batch is
            # being worked on: what becomes visible then is nobody else's.
            if "VisibilityTimeout" in resource["Properties"]:
                resource["Properties"]["VisibilityTimeout"] = VISIBILITY
        stack = f"{self.plan.service}-{self.plan.stage}" if self.plan.stage else self.plan.service
        deploy(self._server, stack, package.read_bytes(), template)  # type: ignore[arg-type]
        self.package = folder / "package"
        unpack(package, self.package)
        self._sessions: dict[str, VendorSession] = {}
        sources = self._server.client("lambda").list_event_source_mappings()
        self._mappings: list[_Mapping | _Stream] = [
            (_Mapping if ":sqs:" in facts["EventSourceArn"] else _Stream)(self, facts)
            for facts in sources["EventSourceMappings"]
        ]

    def client(self, service: str) -> Any:
        """Return the client of *service*; threads share it."""
        return self._server.client(service)

    def session(self, function: str) -> VendorSession:
        """Return the process of *function*, configured as it is deployed."""
        if function not in self._sessions:
            facts = self.client("lambda").get_function_configuration(
                FunctionName=f"{self.plan.service}-{function}"
            )
            self._sessions[function] = runtime().start(
                self.package,
                entry=facts["Handler"],
                function=facts["FunctionName"],
                python=interpreter(PYTHON),
                env={
                    **facts.get("Environment", {}).get("Variables", {}),
                    **self.environment,
                    **self._server.environment,
                },
                timeout=float(facts["Timeout"]),
                memory=int(facts["MemorySize"]),
                settings={"region": REGION, "account": ACCOUNT, "init_timeout": 60.0},
            )
        return self._sessions[function]

    def order(self, order: Mapping[str, Any]) -> Any:
        function = self.plan.function("feed")
        (request,) = self.adapter.encode(self.plan, function, self.http("/feed", order))
        result = self.session("feed").invoke(request.payload)
        if not result.ok or result.value["statusCode"] != 200:
            raise RuntimeError(f"{result.value}\n{result.logs}")
        return json.loads(result.value["body"])

    def start(self) -> None:
        for mapping in self._mappings:
            # For each look at a queue, moto and boto3 work for milliseconds.
            self.loop(mapping.function, mapping.step, longest=0.5)

    def pending(self) -> dict[str, int]:
        return {m.function: count for m in self._mappings if (count := m.pending())}

    def dead_letters(self) -> DeadLetters:
        os.environ |= self._server.environment
        return self.adapter.engine(self.plan).dead_letters()

    def close(self) -> None:
        self.stop()
        for session in self._sessions.values():
            session.close()
        self._server.close()


class _Mapping:
    """One event source mapping, with one execution environment."""

    def __init__(self, target: Aws, facts: Mapping[str, Any]) -> None:
        self.target = target
        self.function = facts["FunctionArn"].rpartition(":")[2].partition("-")[2]
        self.arn = facts["EventSourceArn"]
        self.size = facts["BatchSize"]
        assert "ReportBatchItemFailures" in facts["FunctionResponseTypes"]
        account, name = self.arn.split(":")[4:6]
        self.sqs = target.client("sqs")
        self.url = self.sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
        #: Messages that were received, and are held back: how many batches still, and which.
        self.held: deque[list[Any]] = deque()
        self._lock = threading.Lock()

    def pending(self) -> int:
        """Return how many messages there are, those that are invisible too."""
        names = ("", "NotVisible", "Delayed")
        facts = self.sqs.get_queue_attributes(
            QueueUrl=self.url,
            AttributeNames=[f"ApproximateNumberOfMessages{name}" for name in names],
        )["Attributes"]
        return sum(map(int, facts.values())) + len(self.held)

    def step(self) -> bool:
        """Deliver one batch; tell whether there was one."""
        found = self.sqs.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=self.size,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        ready = []
        for message in found:
            number = number_of(message)
            waits = 0
            if self.target.first(self.function, number, "overtaken"):
                waits = OVERTAKING
            elif self.target.first(self.function, number, "late"):
                waits = 1
            if waits:
                self.held.append([waits, message, time.monotonic()])
            else:
                ready.append(message)
        if self.held:
            now = time.monotonic()
            for one in self.held:
                one[0] -= 1
            while self.held and self.held[0][0] <= 0 and len(ready) < self.size:
                _, message, received = self.held.popleft()
                # What has waited for too long SQS gives out again by itself.
                if now - received < LONGEST:
                    ready.append(message)
        if ready:
            self.deliver(ready)
        return bool(found or ready)

    def deliver(self, messages: list[dict[str, Any]]) -> None:
        """Invoke the function with one batch, and settle it."""
        numbers = {m["MessageId"]: number_of(m) for m in messages}
        records = [queue_record(m, self.arn, REGION) for m in messages]
        session = self.target.session(self.function)
        result = session.invoke({"Records": records})
        if not result.ok:
            dead = result.error is not None and result.error.kind in ("exit", "timeout")
            outcome = "dead" if dead else "failed"
            self.target.deliveries.add(self.function, [(n, outcome) for n in numbers.values()])
            return
        failed = {item["itemIdentifier"] for item in result.value["batchItemFailures"]}
        assert failed <= set(numbers), (failed, numbers)
        if any(self.target.first(self.function, n, "lost") for n in numbers.values()):
            # The answer is lost with the connection, and the environment with it.
            session.close()
            del self.target._sessions[self.function]
            self.target.deliveries.add(self.function, [(n, "lost") for n in numbers.values()])
            return
        outcomes, done = [], []
        for message in messages:
            number = numbers[message["MessageId"]]
            if message["MessageId"] in failed:
                outcomes.append((number, "failed"))
            elif self.target.first(self.function, number, "twice"):
                # Done, and delivered again all the same.
                outcomes.append((number, "again"))
                self.sqs.change_message_visibility(
                    QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )
            else:
                outcomes.append((number, "done"))
                done.append(message)
        if done:
            entries = [
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                for place, message in enumerate(done)
            ]
            answer = self.sqs.delete_message_batch(QueueUrl=self.url, Entries=entries)
            assert not answer.get("Failed"), answer
        self.target.deliveries.add(self.function, outcomes)


class _Stream:
    """The event source mapping of a table's stream: in order, until a change is dealt with.

    https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
    """

    def __init__(self, target: Aws, facts: Mapping[str, Any]) -> None:
        self.target = target
        self.function = facts["FunctionArn"].rpartition(":")[2].partition("-")[2]
        self.arn = facts["EventSourceArn"]
        self.size = facts["BatchSize"]
        self.streams = target.client("dynamodbstreams")
        criteria = facts.get("FilterCriteria") or {}
        self._filters = [json.loads(one["Pattern"]) for one in criteria.get("Filters", ())]
        self._iterator = ""
        self._records: list[dict[str, Any]] = []

    def pending(self) -> int:
        """Return how many changes have been read, and are not dealt with."""
        return len(self._records)

    def step(self) -> bool:
        """Deliver one batch, the last one again if it failed."""
        if not self._iterator:
            (shard,) = self.streams.describe_stream(StreamArn=self.arn)["StreamDescription"][
                "Shards"
            ]
            self._iterator = self.streams.get_shard_iterator(
                StreamArn=self.arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
        while True:
            answer = self.streams.get_records(ShardIterator=self._iterator, Limit=1000)
            self._iterator = answer["NextShardIterator"]
            if not answer["Records"]:
                break
            found = [stream_record(r, self.arn, REGION) for r in answer["Records"]]
            self._records += [r for r in found if self._wanted(r)]
        batch = self._records[: self.size]
        if not batch:
            return False
        result = self.target.session(self.function).invoke({"Records": batch})
        failed = result.value.get("batchItemFailures", ()) if result.ok else [{}]
        if not failed:
            del self._records[: len(batch)]
            return True
        numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
        first = failed[0].get("itemIdentifier")
        del self._records[: numbers.index(first) if first in numbers else 0]
        return False

    def _wanted(self, record: Mapping[str, Any]) -> bool:
        return not self._filters or any(matches(pattern, record) for pattern in self._filters)


def number_of(message: Mapping[str, Any]) -> int:
    """Return the number of a message as SQS gives it, with or without an SNS envelope."""
    own = message.get("MessageAttributes", {}).get("n")
    if own is not None:
        return int(own["StringValue"])
    envelope = json.loads(message["Body"])
    return int(envelope["MessageAttributes"]["n"]["Value"])
