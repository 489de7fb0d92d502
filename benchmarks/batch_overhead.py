"""What a batch of ten messages costs on Lambda beyond the handler's own work, in one process.

Three variants take the same SQS event of ten records, parse each body, read one attribute and do
the same work with it, and are asserted to have done the same: a loop over the raw records, a queue
handler behind the bridge, and Powertools' BatchProcessor. Each answers which messages failed: none.
Chunks are interleaved; ratios are taken chunk by chunk and their median is printed.

``raw`` is the loop that the numbers of Powertools (2.2 to 2.7) are ratios of: per record
``json.loads(body)``, work, ``try``. ``batch`` is a batch handler with a BatchResult.

    python benchmarks/batch_overhead.py [--peers] [--rounds N] [--calls N] [--check 1.3]

``--peers`` installs Powertools into a scratch environment with uv and runs there; without it, it is
measured if it happens to be importable. ``--check`` fails when ours exceeds that ratio.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import statistics
import sys
from collections.abc import Callable
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import http_overhead

http_overhead.PEERS = ("aws-lambda-powertools",)  # type: ignore[assignment]

Invoke = Callable[[dict[str, Any], Any], dict[str, Any]]

ORDER: dict[str, Any] = {
    "id": "o-1",
    "customer": {"name": "Ada Lovelace", "email": "ada@example.com"},
    "items": [
        {"sku": f"sku-{n:04d}", "quantity": n + 1, "price": 9.5 + n, "note": "gift wrap, please"}
        for n in range(8)
    ],
}
SEEN: list[tuple[str, float]] = []


def event(count: int = 10, body: Any = ORDER) -> dict[str, Any]:
    """Return an event of *count* records, as Lambda has it."""
    return {
        "Records": [
            {
                "messageId": f"19dd0b57-b21e-4ac1-bd88-{n:012d}",
                "receiptHandle": "MessageReceiptHandle",
                "body": json.dumps({**body, "id": f"o-{n}"}),
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1795428000000",
                    "SenderId": "123456789012",
                    "ApproximateFirstReceiveTimestamp": "1795428000001",
                },
                "messageAttributes": {
                    "pf-id": attribute(f"m-{n}"),
                    "kind": attribute("order"),
                },
                "md5OfBody": "7b270e59b47ff90a553787216d55d91d",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:shop-orders",
                "awsRegion": "eu-central-1",
            }
            for n in range(count)
        ]
    }


def attribute(value: str) -> dict[str, Any]:
    """Return a message attribute as records have it."""
    return {
        "stringValue": value,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }


def work(order: dict[str, Any]) -> None:
    """Do what every variant's handler does with an order."""
    total = sum(item["quantity"] * item["price"] for item in order["items"])
    SEEN.append((order["id"], total))


def raw() -> Invoke:
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        failed = []
        for record in event["Records"]:
            try:
                if record["messageAttributes"]["kind"]["stringValue"] == "order":
                    work(json.loads(record["body"]))
            except Exception:
                failed.append({"itemIdentifier": record["messageId"]})
        return {"batchItemFailures": failed}

    return handler


def _bound(handler: Any, name: str) -> Invoke:
    from portafaas.runtime.function import Function
    from portafaas_aws.runtime.queue import bind

    setattr(sys.modules[__name__], f"_{name}", handler)
    spec = {
        "name": name,
        "service": "shop",
        "kind": "queue",
        "handler": f"{__name__}:_{name}",
        "timeout": 29,
        "memory": 256,
        "source": "/shop/queues/orders",
        "trigger": {"queue": "orders", "batch": 10, "ordered": False},
        "retry": {"attempts": 5, "backoff": "exponential", "initial": 1.0, "max": 60.0,
                  "jitter": True, "max_age": 86400},
    }  # fmt: skip
    return bind(Function(spec))


def portafaas() -> Invoke:
    def handle(message: Any, context: Any) -> None:
        if message.attributes["kind"] == "order":
            work(message.json())

    return _bound(handle, "single")


def batch() -> Invoke:
    from portafaas.runtime import BatchResult, batch_handler

    @batch_handler
    def handle(messages: Any, context: Any) -> Any:
        result = BatchResult()
        for message in messages:
            try:
                if message.attributes["kind"] == "order":
                    work(message.json())
            except Exception:
                result.retry(message)
        return result

    return _bound(handle, "several")


def powertools() -> Invoke:
    from aws_lambda_powertools.utilities.batch import (  # type: ignore[import-not-found]
        BatchProcessor,
        EventType,
        process_partial_response,
    )

    processor = BatchProcessor(event_type=EventType.SQS)

    def handle(record: Any) -> None:
        if record.message_attributes["kind"].string_value == "order":
            work(record.json_body)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        answer: dict[str, Any] = process_partial_response(
            event=event, record_handler=handle, processor=processor, context=context
        )
        return answer

    return handler


VARIANTS: dict[str, tuple[Callable[[], Invoke], str | None]] = {
    "raw": (raw, None),
    "portafaas": (portafaas, None),
    "portafaas batch": (batch, None),
    "powertools": (powertools, "aws_lambda_powertools"),
}


def chunk(invoke: Invoke, payload: dict[str, Any], context: Any, calls: int) -> float:
    """Return the microseconds of one call, over *calls* of them."""
    SEEN.clear()
    start = perf_counter()
    for _ in range(calls):
        invoke(payload, context)
    return (perf_counter() - start) / calls * 1e6


def measure(variants: dict[str, Invoke], body: Any, rounds: int, calls: int) -> dict[str, float]:
    """Print a table for one body and return each variant's ratio to raw."""
    context = SimpleNamespace(
        aws_request_id="5f2a4f5e-0000-4000-8000-000000000000",
        get_remaining_time_in_millis=lambda: 30_000,
    )
    payload = event(10, body)
    wanted = None
    for name, invoke in variants.items():
        SEEN.clear()
        answer = invoke(payload, context)
        assert answer == {"batchItemFailures": []}, (name, answer)
        wanted = wanted or list(SEEN)
        assert len(SEEN) == 10 and wanted == SEEN, (name, SEEN)
        chunk(invoke, payload, context, calls)
    times: dict[str, list[float]] = {name: [] for name in variants}
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        for name, invoke in variants.items():
            times[name].append(chunk(invoke, payload, context, calls))
    gc.enable()
    ratios = {
        name: statistics.median(a / b for a, b in zip(values, times["raw"], strict=True))
        for name, values in times.items()
    }
    print(f"10 bodies of {len(payload['Records'][0]['body'])} bytes")
    print(f"  {'variant':<18}{'median us':>10}{'min us':>9}{'x raw':>8}{'+ us a message':>16}")
    base = statistics.median(times["raw"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(
            f"  {name:<18}{middle:>10.2f}{min(values):>9.2f}{ratios[name]:>8.2f}"
            f"{(middle - base) / 10:>16.2f}"
        )
    return ratios


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="install Powertools and measure it")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--check", type=float, help="fail above this ratio")
    options = parser.parse_args()
    if options.peers:
        return http_overhead.with_peers([a for a in sys.argv[1:] if a != "--peers"], __file__)
    sys.path[:0] = [str(http_overhead.ROOT), str(http_overhead.ROOT / "adapters")]
    variants: dict[str, Invoke] = {}
    for name, (make, module) in VARIANTS.items():
        if module is not None and importlib.util.find_spec(module) is None:
            print(f"{name}: not installed, not measured (run with --peers)")
            continue
        variants[name] = make()
    print(f"Python {sys.version.split()[0]}, {options.rounds} rounds of {options.calls} calls")
    measure(variants, {"id": "o-1", "items": ORDER["items"][:1]}, options.rounds, options.calls)
    ratios = measure(variants, ORDER, options.rounds, options.calls)
    ratio = max(ratios["portafaas"], ratios["portafaas batch"])
    if options.check is not None and ratio > options.check:
        print(f"portafaas takes {ratio:.2f} times raw; at most {options.check:.2f}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
