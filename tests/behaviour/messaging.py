"""The brokers of the suite: a queue or topic in each, and the way from it to a handler.

What was sent with the driver is taken from the broker as its consumer takes it (Lambda's poller,
the Functions host, Pub/Sub's push) and given to the target's own bridge. What the bridge says
decides whether the broker keeps it.

Where a peer is not like its platform:

- moto: a message is no longer than 256 KiB in SQS too (AWS: 1 MiB since August 2025), so that a
  batch is 1 MiB but no message of it; the size of a batch is looked at here (``_measured``), as is
  the number of attributes. In a FIFO queue what is
  deduplicated is forgotten after five minutes, as on AWS. SNS gives FIFO messages no sequence.
- The Service Bus (``tests/azure_cloud``) is written from the documentation: one partition, one
  message of a session at a time. Batches are limited by the client, as it learns from the link.
  What is sent to an entity that is not there is taken, unless a test says that the link is refused; and
  then the client hears of a refusal, and not which.
- Pub/Sub's emulator: delivers what is acknowledged too late once more; ordering keys hold within a
  pull. Its messages are pulled, and pushed here. Cloud Tasks is ``tests/gcp_cloud``'s.
- Time: :meth:`Channel.wait` sets the broker's clock forward, and that of the bridge with it.
"""

from __future__ import annotations

import asyncio
import json
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from portafaas.plan import (
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    QueuePlan,
    QueueTrigger,
    TopicPlan,
    TopicTrigger,
)
from portafaas.plan.entry import function_spec, resources_spec
from portafaas.plan.model import Use
from portafaas.runtime import control
from portafaas.runtime.context import Context
from portafaas.runtime.function import Function
from tests.behaviour import handlers
from tests.behaviour.backends import Backend, fresh


class Channel:
    """One queue or topic with one consumer; ``client`` sends. Made by :func:`channel`.

    ``sender`` is the context that the client is of.
    """

    target = ""

    def __init__(self, backend: Any, kind: str, ordered: bool, claims: str, batch: int) -> None:
        self.backend, self.kind, self.ordered = backend, kind, ordered
        self.name = fresh("m")
        trigger: Any = QueueTrigger(self.name, batch) if kind == "queue" else TopicTrigger(self.name)
        uses = (Use("read", "bucket", "long", "$.claim-check"),) if claims else ()
        given: dict[str, Any] = {"ordered": ordered, "claim_check": "long" if claims else ""}
        self.plan = BuildPlan(
            "shop", "", "3.11", "x86_64",
            (FunctionPlan("taker", handlers.__name__, "receive", trigger, timeout=60, uses=uses),),
            queues=(QueuePlan(self.name, **given),) if kind == "queue" else (),
            topics=(TopicPlan(self.name, **given),) if kind == "topic" else (),
            buckets=(BucketPlan("long"),) if claims else (),
        )  # fmt: skip
        spec = function_spec(self.plan, self.plan.functions[0])
        for grants in spec.get("uses", {}).values():
            grants["long"]["address"] = claims
        self.function = Function(spec)
        self.address = self.make()
        everything = resources_spec(self.plan)
        everything[kind][self.name]["address"] = self.address
        if claims:
            everything["bucket"]["long"]["address"] = claims
        sending = Function(
            {
                "name": "sender", "service": "shop", "kind": "schedule", "handler": "x:y",
                "timeout": 60, "memory": 256, "source": "/shop/x", "trigger": {},
                "uses": everything,
            }
        )  # fmt: skip
        self.sender = Context(
            sending, "1", target=self.target,
            trace_parent="00-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
        )  # fmt: skip
        self.sender.span.state = "vendor=1,other=2"
        self.client = getattr(self.sender, f"{kind}s")[self.name]
        self.ahead = 0.0

    def make(self) -> str:
        """Make queue or topic, and what the function takes from; return the address."""
        raise NotImplementedError

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += seconds

    def step(self) -> bool:
        """Deliver what can be had at once; tell whether there was anything."""
        raise NotImplementedError

    def deliver(self) -> list[Any]:
        """Deliver until nothing is due; return what the handler got."""
        start = len(handlers.seen)
        with self.shifted():
            for _ in range(1000):
                if not self.step():
                    return handlers.seen[start:]
        raise AssertionError("it goes on for ever")

    @contextmanager
    def shifted(self) -> Iterator[None]:
        """Have what has expired by the broker's clock be expired by the bridge's."""
        now, ahead, expired = time.time, self.ahead, control.expired

        def later(found: Any) -> bool:
            with mock.patch("time.time", lambda: now() + ahead):
                return expired(found)

        with mock.patch.object(control, "expired", later):
            yield


class LocalChannel(Channel):
    """The broker of a developer's machine."""

    target = "local"

    def make(self) -> str:
        from portafaas.local.broker import Broker

        folder: Path = self.backend.folder / self.name
        self.broker = Broker(folder, self.plan)
        return str(folder / self.kind / self.name)

    def wait(self, seconds: float) -> None:
        # What was not taken in yet counts from then.
        self.broker.take_in()
        self.broker.clock.advance(seconds)

    def step(self) -> bool:
        from portafaas.local.deliveries import settled_of
        from portafaas.local.worker import attempt, order_of

        self.broker.take_in()
        lease = self.broker.lease(self.plan.functions[0], 60)
        if lease is None:
            return False
        answer = attempt(self.function, json.loads(json.dumps(order_of(lease.items))))
        self.broker.settle(lease, settled_of(answer))
        return True


class AwsChannel(Channel):
    """SQS, or SNS in front of it, in moto; what Lambda's poller makes of a batch."""

    target = "aws"

    def make(self) -> str:
        from portafaas_aws.runtime.calls import client

        end = ".fifo" if self.ordered else ""
        fifo = {"FifoQueue": "true"} if self.ordered else {}
        self.sqs = client("sqs")
        for service, operation in (("sqs", "SendMessageBatch"), ("sns", "PublishBatch")):
            event = f"provide-client-params.{service}.{operation}"
            client(service).meta.events.register(event, _measured, unique_id="measured")
        self.queue = f"{self.name}-q{end}"
        self.url = self.sqs.create_queue(
            QueueName=self.queue, Attributes={**fifo, "VisibilityTimeout": "1"}
        )["QueueUrl"]
        self.arn = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]
        if self.kind == "queue":
            return str(self.url)
        sns = client("sns")
        attributes = {"FifoTopic": "true"} if self.ordered else {}
        topic = sns.create_topic(Name=f"{self.name}{end}", Attributes=attributes)["TopicArn"]
        # As bindings.subscription has it.
        sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=self.arn,
            Attributes={"RawMessageDelivery": "false"},
        )  # fmt: skip
        return str(topic)

    def wait(self, seconds: float) -> None:
        from moto.sqs.models import sqs_backends

        super().wait(seconds)
        _, _, _, region, account, _ = self.arn.split(":")
        for message in sqs_backends[account][region].queues[self.queue]._messages:
            message.delayed_until -= seconds * 1000
            message.visible_at -= seconds * 1000

    def step(self) -> bool:
        import importlib

        from tests.aws_cloud.records import queue_record

        # As the mappings have it: of what is in order there is one at a time.
        most = 1 if self.ordered else 10
        found = self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=most, MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])  # fmt: skip
        if not found:
            return False
        size = getattr(self.plan.functions[0].trigger, "batch", 1)
        bound = importlib.import_module(f"portafaas_aws.runtime.{self.kind}").bind(self.function)
        for start in range(0, len(found), size):
            part = found[start : start + size]
            records = [queue_record(one, self.arn, "eu-west-1") for one in part]
            event = json.loads(json.dumps({"Records": records}))
            answer = bound(event, types.SimpleNamespace(aws_request_id="r"))
            failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
            for one in part:
                handle = {"QueueUrl": self.url, "ReceiptHandle": one["ReceiptHandle"]}
                if one["MessageId"] in failed:
                    self.sqs.change_message_visibility(**handle, VisibilityTimeout=0)
                else:
                    self.sqs.delete_message(**handle)
        return True


def _measured(params: dict[str, Any], **_: Any) -> None:
    """Refuse what AWS would: too many messages, bytes, or attributes of one.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
    https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
    """
    is_queue = "Entries" in params
    entries = params["Entries" if is_queue else "PublishBatchRequestEntries"]
    total = 0
    for one in entries:
        attributes = one.get("MessageAttributes", {})
        assert not is_queue or len(attributes) <= 10, sorted(attributes)
        total += len(one["MessageBody" if is_queue else "Message"].encode())
        for name, value in attributes.items():
            total += len(name) + len(value["DataType"]) + len(value["StringValue"].encode())
    assert 0 < len(entries) <= 10
    assert total <= (1_048_576 if is_queue else 262_144), total


class AzureChannel(Channel):
    """A Service Bus, and the Functions host's side of its trigger."""

    target = "azure"

    def make(self) -> str:
        from portafaas_azure.lowering import deployed

        (made,) = deployed(self.plan)
        broker = self.backend.bus.broker
        settings = dict(made.binding["queue" if self.kind == "queue" else "subscription"])
        settings.pop("rule", None)
        for word in ("lockDuration", "defaultMessageTimeToLive"):
            if word in settings:
                settings[word] = float(settings[word][2:-1])
        if self.kind == "queue":
            self.entity = broker.queue(self.name, **settings)
        else:
            self.entity = broker.subscription(self.name, "taker", **settings)
        return f"http://{self.backend.bus.address}/{self.name}"

    def wait(self, seconds: float) -> None:
        super().wait(seconds)
        self.backend.bus.broker.advance(seconds)

    def step(self) -> bool:
        import importlib

        from tests.azure_cloud.host import payload

        broker = self.backend.bus.broker
        stored = broker.receive(self.entity)
        if stored is None:
            return False
        bound = importlib.import_module(f"portafaas_azure.runtime.{self.kind}").bind(self.function)
        context = types.SimpleNamespace(
            invocation_id="i", thread_local_storage=types.SimpleNamespace(invocation_id=None),
            retry_context=types.SimpleNamespace(retry_count=0, max_retry_count=-1),
        )  # fmt: skip
        try:
            self.backend.worker.run_until_complete(bound(_native(payload(stored)), context))
        except Exception:
            broker.abandon(stored.token)
        else:
            broker.complete(stored.token)
        return True


def _native(document: dict[str, Any]) -> Any:
    """Return what the worker makes of the host's payload, with Microsoft's own decoder."""
    import base64

    import azure.functions as func
    from azure.functions import meta

    def datum(data: Any) -> Any:
        if data["type"] == "json":
            return meta.Datum(json.dumps(data["value"]), "json")
        raw = data["value"]
        return meta.Datum(base64.b64decode(raw) if data["type"] == "bytes" else raw, data["type"])

    registry: Any = func.get_binding_registry()  # type: ignore[no-untyped-call]
    metadata = {name: datum(data) for name, data in document["metadata"].items()}
    return registry.get("serviceBusTrigger").decode(
        datum(document["trigger"]), trigger_metadata=metadata
    )


class GcpChannel(Channel):
    """Pub/Sub's emulator, what it pushes, and a Cloud Tasks."""

    target = "gcp"

    def make(self) -> str:
        pubsub = self.backend.pubsub
        topic = pubsub.topic(f"projects/portafaas/topics/{self.name}")
        self.subscription = pubsub.subscription(
            f"projects/portafaas/subscriptions/{self.name}", topic,
            enableMessageOrdering=self.ordered,
        )  # fmt: skip
        return str(topic)

    def wait(self, seconds: float) -> None:
        super().wait(seconds)
        peers = self.backend.tasks
        for task in peers.tasks:
            task.due -= seconds
        deadline = time.monotonic() + 10
        while any(not one.done and one.due < time.monotonic() for one in peers.tasks):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def step(self) -> bool:
        import importlib

        from flask import Request
        from werkzeug.test import EnvironBuilder

        pubsub = self.backend.pubsub
        found = pubsub.pull(self.subscription, 100)
        bound = importlib.import_module(f"portafaas_gcp.runtime.{self.kind}").bind(self.function)
        blocked: set[str] = set()
        for item in sorted(found, key=lambda one: int(one["message"]["messageId"])):
            message = dict(item["message"])
            message |= {"message_id": message["messageId"], "publish_time": message["publishTime"]}
            body = json.dumps({"message": message, "subscription": self.subscription}).encode()
            environ = EnvironBuilder(
                method="POST", data=body, content_type="application/json"
            ).get_environ()
            key = message.get("orderingKey")
            if key and key in blocked:
                pubsub.nack(self.subscription, [item])
                continue
            if bound(Request(environ)).status_code == 204:
                pubsub.ack(self.subscription, [item])
            else:
                pubsub.nack(self.subscription, [item])
                blocked.update([key] if key and self.ordered else [])
        return bool(found)


_CHANNELS: dict[str, Callable[..., Channel]] = {
    "local": LocalChannel, "aws": AwsChannel, "azure": AzureChannel, "gcp": GcpChannel
}  # fmt: skip


def channel(
    backend: Backend, kind: str, ordered: bool = False, claims: str = "", batch: int = 1
) -> Channel:
    """Return a queue or topic of its own; *claims* is the address of a bucket for long bodies."""
    return _CHANNELS[backend.target](backend, kind, ordered, claims, batch)


class ServiceBus:
    """The namespace that all tests share, with the loop of the worker."""

    def __init__(self) -> None:
        from tests.azure_cloud.service_bus import bus

        self._running = bus()
        self.peer = self._running.__enter__()
        self.loop = asyncio.new_event_loop()

    def close(self) -> None:
        """Cut the connections; to end them properly takes the client a second for each."""
        import gc

        from portafaas_azure.runtime import sender

        for one in sender._senders.values():
            handler = one.link._handler
            if handler is not None and handler._connection is not None:
                handler._connection._transport.close()
        sender._senders.clear()
        sender._clients.clear()
        gc.collect()
        self.loop.close()
        self._running.__exit__(None, None, None)
