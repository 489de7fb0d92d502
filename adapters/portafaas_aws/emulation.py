"""How AWS delivers, for ``portafaas dev --as aws``: the template's numbers, and the envelope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portafaas.adapter import NativeRequest
from portafaas.adapter.delivery import (
    Delivered,
    DeliveryRules,
    Emulation,
    HttpRules,
    Wish,
    addresses,
    has_dead_letters,
    is_ordered,
    stimulus_of,
)
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger
from portafaas_aws.bindings import binding
from portafaas_aws.names import front
from portafaas_aws.runtime.batches import SNS, SQS

#: Lambda says "exponential backoff" of what failed of a stream, and no numbers: these are ours.
#: https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
_STREAM_PACE = (1.0, 60.0)
#: Seconds that a stream keeps a change.
_STREAM_AGE = 86_400
#: Bytes of a request: an HTTP API takes 10 MB, of which Lambda takes an event of 6 MB, base64
#: included; a function URL is Lambda's own front.
#: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_EVENT = 6 * 1024 * 1024
_HTTP_API = 10_000_000
_TOO_LARGE = b'{"message":"Request Entity Too Large"}'


class Emulated(Emulation):
    """See ``portafaas.adapter.delivery``."""

    def rules(self, plan: BuildPlan, function: FunctionPlan) -> DeliveryRules:
        """Return the rules of the event source mapping, and of the queue that it reads."""
        facts = binding(plan, function)
        mapping = facts["eventSourceMapping"]
        if function.kind == "table":
            first, longest = _STREAM_PACE
            return DeliveryRules(
                # One shard, as a table has that is small: all that changed later waits.
                order="all",
                pace=first,
                longest=longest,
                receives=mapping["MaximumRetryAttempts"] + 1,
                # Streams tell nobody; the bridge counts within the invocation.
                counted=False,
                retention=min(mapping["MaximumRecordAgeInSeconds"], _STREAM_AGE),
            )
        queue = facts["queue"]
        invisible = float(queue["VisibilityTimeout"])
        return DeliveryRules(
            batch=mapping["BatchSize"],
            order="key" if is_ordered(plan, function) else "none",
            pace=invisible,
            gone=invisible,
            since_received=True,
            receives=queue.get("RedrivePolicy", {}).get("maxReceiveCount", 0),
            retention=queue["MessageRetentionPeriod"],
            message=SNS.size if function.kind == "topic" else SQS.size,
            text=True,
        )

    def http(self, plan: BuildPlan, function: FunctionPlan) -> HttpRules:
        """Return the limits of an HTTP API or a function URL, and of the event behind it.

        An answer that is too large is Lambda's own matter: the session refuses it.
        """
        assert isinstance(function.trigger, HttpTrigger)
        source = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
        most = _EVENT if front(function) == "function-url" else _HTTP_API
        return HttpRules(most, _EVENT, request_body=_TOO_LARGE, source=source)

    def environment(self, plan: BuildPlan, function: FunctionPlan) -> Mapping[str, str]:
        """Return the addresses of the function's queue and of its dead letters."""
        if function.kind in ("http", "task"):
            return {}
        own = f"https://sqs.local/{function.name}"
        end = ".fifo" if is_ordered(plan, function) else ""
        return addresses(
            function,
            "" if function.kind == "table" else f"{own}{end}",
            f"{own}-dead{end}" if has_dead_letters(plan, function) else "",
        )

    def request(
        self, plan: BuildPlan, function: FunctionPlan, items: Sequence[Delivered]
    ) -> tuple[NativeRequest | None, str]:
        """Return the event of a mapping: records of SQS, or one of a stream."""
        (request, *_) = self.adapter.encode(plan, function, stimulus_of(items))
        records: list[dict[str, Any]] = request.payload["Records"]
        for record, item in zip(records, items, strict=True):
            if "dynamodb" in record:
                record["dynamodb"]["SequenceNumber"] = f"{item.number:029d}"
                continue
            record["receiptHandle"] = str(item.number)
            system = record["attributes"]
            system["ApproximateReceiveCount"] = str(item.deliveries)
            # When it reached the queue, whatever happened when.
            system["SentTimestamp"] = str(round(item.sent * 1000))
        return request, ""

    def wishes(
        self, function: FunctionPlan, items: Sequence[Delivered], told: Sequence[Mapping[str, Any]]
    ) -> Mapping[int, Wish]:
        """Return what calls of SQS ask for: to hide a message, or a copy to the dead letters."""
        after: dict[int, float] = {}
        letters: dict[int, str] = {}
        for call in told:
            for entry in call["arguments"]["Entries"]:
                if call["operation"] == "change_message_visibility_batch":
                    after[int(entry["ReceiptHandle"])] = float(entry["VisibilityTimeout"])
                    continue
                attributes = entry["MessageAttributes"]
                id = attributes.get("pf-id", {}).get("StringValue")
                left = [item for item in items if item.number not in letters]
                own = next((item for item in left if item.id == id), left[0] if left else None)
                if own is not None:
                    letters[own.number] = attributes["pf-dead"]["StringValue"]
        return {
            item.number: Wish(after.get(item.number), None, letters.get(item.number))
            for item in items
            if item.number in after or item.number in letters
        }
