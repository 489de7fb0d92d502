"""Drives the Azure bridges in this process with the objects the SDK makes of native requests."""

from __future__ import annotations

import asyncio
import base64
import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from azure.functions import meta

import portafaas_azure
from portafaas.adapter import NativeRequest, Outcome, Stimulus
from portafaas.local.runner import deliver
from portafaas.plan import (
    Auth,
    BucketPlan,
    BuildPlan,
    Cors,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    ScheduleTrigger,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
)
from portafaas.plan.entry import function_spec
from portafaas.runtime import aio
from portafaas.runtime.function import Function
from portafaas_azure.adapter import ADAPTER

USER = "azure_unit_handlers"
REGISTRY: Any = func.get_binding_registry()  # type: ignore[no-untyped-call]


def _function(name: str, attribute: str, trigger: Any, **more: Any) -> FunctionPlan:
    return FunctionPlan(name, USER, attribute, trigger, **more)


FUNCTIONS = (
    _function("web", "web", HttpTrigger((), "/web/{path*}"), timeout=1),
    _function("web-async", "web_async", HttpTrigger(("GET",), "/async/{id}"), timeout=1),
    _function("orders-get", "web", HttpTrigger(("GET",), "/orders/{id}")),
    _function(
        "orders-put",
        "web",
        HttpTrigger(("PUT",), "/orders/{name}", cors=Cors(("*",), ("GET", "PUT"))),
    ),
    _function("private", "web", HttpTrigger(("GET",), "/private", Auth("iam"))),
    _function("work", "work", QueueTrigger("jobs", batch=5), timeout=1, concurrency=2),
    _function("work-async", "work_async", QueueTrigger("jobs"), timeout=1),
    _function("work-batch", "Batches", QueueTrigger("jobs", batch=5), timeout=1),
    _function("work-ordered", "work", QueueTrigger("ordered", batch=5), timeout=1),
    _function("on-news", "on_event", TopicTrigger("news")),
    _function(
        "on-gold",
        "on_event",
        TopicTrigger("news", (("type", ("order.paid",)), ("tier", ("gold", "o'r")))),
    ),
    _function(
        "on-file", "on_event", ObjectTrigger("files", ("created", "deleted"), "in/", ".csv")
    ),
    _function("on-row", "on_event", TableTrigger("orders")),
    _function("on-part", "on_event", TableTrigger("parts")),
    _function("on-morning", "on_event", ScheduleTrigger("30 6 * * *", "Europe/Berlin")),
)


@pytest.fixture(scope="session")
def plan() -> BuildPlan:
    """A service with every trigger."""
    return BuildPlan(
        "shop",
        "dev",
        "3.11",
        "x86_64",
        FUNCTIONS,
        queues=(QueuePlan("jobs"), QueuePlan("ordered", ordered=True)),
        topics=(TopicPlan("news"),),
        buckets=(BucketPlan("files"),),
        tables=(TablePlan("orders", "order_id", "place"), TablePlan("parts")),
    )


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The user module; ``seen`` has what its handlers were given."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    module = importlib.import_module(USER)
    module.seen.clear()
    module.running.clear()
    yield module
    sys.modules.pop(USER, None)


@pytest.fixture(autouse=True)
def _own_loop() -> Iterator[None]:
    before = aio._loop
    yield
    aio._loop = before


def datum(data: Any) -> meta.Datum | None:
    """Return what the worker makes of ``{"type", "value"}``."""
    if data is None:
        return None
    kind, value = data["type"], data["value"]
    if kind == "http":
        text = {
            name: {key: meta.Datum(item, "string") for key, item in value[name].items()}
            for name in ("headers", "params", "query")
        }
        body = meta.Datum(base64.b64decode(value["body"] or ""), "bytes")
        method, url = (meta.Datum(value[name], "string") for name in ("method", "url"))
        return meta.Datum({"method": method, "url": url, "body": body, **text}, "http")
    if kind == "json":
        return meta.Datum(json.dumps(value), kind)
    return meta.Datum(base64.b64decode(value) if kind == "bytes" else value, kind)


def native(kind: str, payload: Any) -> Any:
    """Return the SDK's object of a native request for a trigger of *kind*."""
    metadata = {name: datum(data) for name, data in payload["metadata"].items()}
    converter = REGISTRY.get(kind)
    return converter.decode(datum(payload["trigger"]), trigger_metadata=metadata)


def answer(result: Any) -> Any:
    """Return the vendor session's value for what the bridge returned."""
    if result is None:
        return None
    out = REGISTRY.get("http").encode(result, expected_type=None).value
    return {
        "status": int(out["status_code"].value),
        "headers": [[name, text.value] for name, text in out["headers"].items()],
        "cookies": [
            _host_cookie(name, morsel)
            for jar in out["cookies"] or ()
            for name, morsel in jar.items()
        ],
        "body": base64.b64encode(out["body"].value).decode(),
    }


def _host_cookie(name: str, morsel: Any) -> str:
    """Write a typed cookie as ASP.NET Core does; tests/vendor has the worker's own conversion."""
    from urllib.parse import quote

    parts = [f"{name}={quote(morsel.value, safe='')}"]
    for key in ("expires", "max-age", "domain", "path"):
        if morsel[key]:
            parts.append(f"{key}={morsel[key]}")
    if morsel["secure"]:
        parts.append("secure")
    if morsel["samesite"]:
        parts.append(f"samesite={morsel['samesite'].lower()}")
    if morsel["httponly"]:
        parts.append("httponly")
    assert isinstance(morsel, type(SimpleCookie("a=b")["a"]))
    return "; ".join(parts)


class Invocation:
    """The worker's context."""

    def __init__(self, retries: int = 0) -> None:
        self.invocation_id = "00000000-0000-0000-0000-0000000000aa"
        self.thread_local_storage = types.SimpleNamespace(invocation_id=None)
        self.retry_context = types.SimpleNamespace(retry_count=retries, max_retry_count=4)


KINDS = {
    "http": "httpTrigger",
    "queue": "serviceBusTrigger",
    "topic": "serviceBusTrigger",
    "object": "serviceBusTrigger",
    "table": "cosmosDBTrigger",
    "schedule": "timerTrigger",
}


class Bench:
    """Delivers stimuli through the Azure bridge and through the local runner."""

    def __init__(self, plan: BuildPlan) -> None:
        self.plan = plan

    def function(self, name: str) -> Function:
        spec = function_spec(self.plan, self.plan.function(name))
        # Whole seconds are all a manifest has; a fraction ends what hangs sooner.
        return Function({**spec, "timeout": 0.4} if spec["timeout"] == 1 else spec)

    def bound(self, name: str) -> Any:
        function = self.function(name)
        module = importlib.import_module(f"portafaas_azure.runtime.{function.kind}")
        return module.bind(function)

    async def invoke(self, bound: Any, kind: str, request: NativeRequest) -> dict[str, Any]:
        payload = json.loads(json.dumps(request.payload))
        try:
            result = await bound(native(KINDS[kind], payload), Invocation())
        except Exception as exc:
            return {"ok": False, "value": None, "error": exc}
        return {"ok": True, "value": answer(result)}

    def azure(self, name: str, stimulus: Stimulus) -> Outcome:
        function = self.plan.function(name)
        requests = ADAPTER.encode(self.plan, function, stimulus)

        async def run() -> list[Any]:
            bound = self.bound(name)
            return [(r, await self.invoke(bound, function.kind, r)) for r in requests]

        return ADAPTER.decode(self.plan, function, stimulus, asyncio.run(run()))

    def local(self, name: str, stimulus: Stimulus) -> Outcome:
        return deliver(self.function(name), stimulus)


@pytest.fixture
def bench(plan: BuildPlan, handlers: types.ModuleType) -> Bench:
    """Both ways to deliver, for the same handlers."""
    return Bench(plan)


@pytest.fixture
def same(bench: Bench, handlers: types.ModuleType) -> Callable[[str, Stimulus], Outcome]:
    """Deliver both ways; assert that outcome and what the handlers saw are equal."""

    def check(name: str, stimulus: Stimulus) -> Outcome:
        handlers.seen.clear()
        expected = bench.local(name, stimulus)
        wanted = list(handlers.seen)
        handlers.seen.clear()
        outcome = bench.azure(name, stimulus)
        assert outcome == expected
        assert handlers.seen == wanted
        return outcome

    return check


@pytest.fixture(scope="session")
def cases() -> Path:
    """Real payloads, where this checkout has them."""
    folder = Path(portafaas_azure.__file__).parents[3] / "shared" / "cases" / "events" / "azure"
    if not folder.is_dir():
        pytest.skip("no shared/cases beside this checkout")
    return folder


def _helper(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def service() -> types.ModuleType:
    """``azure_service_plan``: a service that uses everything."""
    return _helper("azure_service_plan")


@pytest.fixture(scope="session")
def arm_models() -> types.ModuleType:
    """``arm_models``: compares resources with Microsoft's models."""
    return _helper("arm_models")


@pytest.fixture(scope="session")
def fake_arm() -> types.ModuleType:
    """``fake_arm``: a stand-in for Azure Resource Manager."""
    return _helper("fake_arm")


@pytest.fixture(scope="session")
def azure_cloud_modules() -> list[types.ModuleType]:
    """A cloud to deploy to, in four modules."""
    return [_helper(f"azure_deployment_{name}") for name in ("server", "planes", "stacks", "site")]


@pytest.fixture
def site(
    azure_cloud_modules: list[types.ModuleType],
    fake_arm: types.ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    """``azure_deployment_site.Site``: one who deploys to a cloud of their own."""
    server, planes, stacks, user = azure_cloud_modules
    certificate = planes.certify(tmp_path / "tls.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
    with server.cloud(planes, stacks, fake_arm, certificate) as cloud:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{cloud.root}/identity")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        yield user.Site(cloud, tmp_path)
