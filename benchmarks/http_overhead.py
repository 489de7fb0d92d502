"""What an http function costs on Lambda beyond the handler's own work, in one process.

Four variants answer the same HTTP API event with the same JSON work (parse the body, build a dict,
serialise it) and are asserted to answer the same: a raw Lambda handler, an ``HttpHandler`` behind
the bridge, Powertools' resolver, and Starlette behind Mangum. Chunks are interleaved, so that a
drifting clock meets all alike; ratios are taken chunk by chunk and their median is printed.

    python benchmarks/http_overhead.py [--peers] [--rounds N] [--calls N] [--check 1.25]

``--peers`` installs the peers into a scratch environment with uv and runs there; without it they
are measured if they happen to be importable. ``--check`` fails when ours exceeds that ratio on the
order body.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEERS = ("aws-lambda-powertools", "mangum", "starlette")

Invoke = Callable[[dict[str, Any], Any], dict[str, Any]]

SMALL = {"name": "Ada", "items": [{"sku": "a", "quantity": 1, "price": 9.5}]}
ORDER = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "address": {"street": "12 St James's Square", "city": "London", "zip": "SW1Y 4JH"},
    "items": [
        {"sku": f"sku-{n:04d}", "quantity": n + 1, "price": 9.5 + n, "note": "gift wrap, please"}
        for n in range(8)
    ],
}


def event(body: Any) -> dict[str, Any]:
    """Return the event of an HTTP API with the headers a browser sends."""
    return {
        "version": "2.0",
        "routeKey": "POST /orders",
        "rawPath": "/orders",
        "rawQueryString": "",
        "headers": {
            "accept": "application/json",
            "accept-encoding": "gzip, deflate, br",
            "accept-language": "en",
            "content-type": "application/json",
            "host": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
            "user-agent": "Mozilla/5.0",
            "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
            "x-forwarded-for": "203.0.113.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
            "domainPrefix": "a1b2c3d4e5",
            "http": {
                "method": "POST",
                "path": "/orders",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.1",
                "userAgent": "Mozilla/5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "POST /orders",
            "stage": "$default",
            "time": "23/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1795428000000,
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to an order; what every variant's handler does."""
    return {
        "customer": order["name"],
        "count": sum(item["quantity"] for item in order["items"]),
        "total": sum(item["quantity"] * item["price"] for item in order["items"]),
        "items": order["items"],
    }


def raw() -> Invoke:
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return {
            "statusCode": 200,
            "headers": {"content-type": "application/json"},
            "body": json.dumps(work(json.loads(event["body"]))),
        }

    return handler


def portafaas() -> Invoke:
    from portafaas.runtime import Context, HttpHandler, Request
    from portafaas.runtime.function import Function
    from portafaas_aws.runtime.http import bind

    class CreateOrder(HttpHandler):
        def handle(self, request: Request, context: Context) -> Any:
            return work(request.json())

    spec = {
        "name": "create-order",
        "service": "shop",
        "kind": "http",
        "handler": f"{__name__}:_handler",
        "timeout": 29,
        "memory": 256,
        "source": "/shop/functions/create-order",
        "trigger": {"methods": ["POST"], "path": "/orders"},
    }
    sys.modules[__name__]._handler = CreateOrder  # type: ignore[attr-defined]
    return bind(Function(spec))


def powertools() -> Invoke:
    from aws_lambda_powertools.event_handler import (  # type: ignore[import-not-found]
        APIGatewayHttpResolver,
    )

    app = APIGatewayHttpResolver()

    @app.post("/orders")  # type: ignore[untyped-decorator]
    def create_order() -> dict[str, Any]:
        return work(app.current_event.json_body)

    resolve: Invoke = app.resolve
    return resolve


def mangum() -> Invoke:
    from mangum import Mangum  # type: ignore[import-not-found]
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def create_order(request: Any) -> JSONResponse:
        return JSONResponse(work(await request.json()))

    # Mangum takes the thread's event loop, which newer Pythons no longer make by themselves.
    asyncio.set_event_loop(asyncio.new_event_loop())
    app = Starlette(routes=[Route("/orders", create_order, methods=["POST"])])
    invoke: Invoke = Mangum(app, lifespan="off")
    return invoke


VARIANTS: dict[str, tuple[Callable[[], Invoke], str | None]] = {
    "raw": (raw, None),
    "portafaas": (portafaas, None),
    "powertools": (powertools, "aws_lambda_powertools"),
    "mangum+starlette": (mangum, "mangum"),
}


def chunk(invoke: Invoke, payload: dict[str, Any], context: Any, calls: int) -> float:
    """Return the microseconds of one call, over *calls* of them."""
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
    payload = event(body)
    wanted = work(body)
    for name, invoke in variants.items():
        answer = invoke(payload, context)
        assert answer["statusCode"] == 200, (name, answer)
        assert json.loads(answer["body"]) == wanted, (name, answer)
        chunk(invoke, payload, context, calls)
    times: dict[str, list[float]] = {name: [] for name in variants}
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        for name, invoke in variants.items():
            # The peers are slow; a tenth of the calls tells as much.
            few = calls if name in ("raw", "portafaas") else max(1, calls // 10)
            times[name].append(chunk(invoke, payload, context, few))
    gc.enable()
    ratios = {
        name: statistics.median(a / b for a, b in zip(values, times["raw"], strict=True))
        for name, values in times.items()
    }
    print(f"body of {len(payload['body'])} bytes")
    print(f"  {'variant':<18}{'median us':>10}{'min us':>9}{'x raw':>8}{'+ us':>8}")
    base = statistics.median(times["raw"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(
            f"  {name:<18}{middle:>10.2f}{min(values):>9.2f}{ratios[name]:>8.2f}"
            f"{middle - base:>8.2f}"
        )
    return ratios


def with_peers(arguments: list[str], file: str = __file__) -> int:
    """Run *file* again in a scratch environment that has the peers."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        print("uv is not installed: cannot install the peers", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="portafaas-bench-") as folder:
        environment = Path(folder) / "venv"
        python = environment / "bin" / "python"
        subprocess.run([uv, "venv", "-q", "-p", sys.executable, str(environment)], check=True)
        installed = subprocess.run([uv, "pip", "install", "-q", "-p", str(python), *PEERS])
        if installed.returncode:
            print("the peers cannot be installed; measuring without them", file=sys.stderr)
        command = [str(python), str(Path(file).resolve()), *arguments]
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": ""}).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="install the peers and measure them")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--check", type=float, help="fail above this ratio")
    options = parser.parse_args()
    if options.peers:
        return with_peers([a for a in sys.argv[1:] if a != "--peers"])
    sys.path[:0] = [str(ROOT), str(ROOT / "adapters")]
    variants: dict[str, Invoke] = {}
    for name, (make, module) in VARIANTS.items():
        if module is not None and importlib.util.find_spec(module) is None:
            print(f"{name}: not installed, not measured (run with --peers)")
            continue
        variants[name] = make()
    print(f"Python {sys.version.split()[0]}, {options.rounds} rounds of {options.calls} calls")
    measure(variants, SMALL, options.rounds, options.calls)
    ratio = measure(variants, ORDER, options.rounds, options.calls)["portafaas"]
    if options.check is not None and ratio > options.check:
        print(f"portafaas takes {ratio:.2f} times raw; at most {options.check:.2f}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
