"""A service of every kind, and ways to run its functions on this adapter and on the reference."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from portafaas.adapter import Outcome, Stimulus
from portafaas.local.runner import deliver
from portafaas.plan import (
    AlertPlan,
    Auth,
    BucketPlan,
    BuildPlan,
    ChannelPlan,
    Cors,
    FunctionPlan,
    HttpTrigger,
    Logs,
    ObjectTrigger,
    QueuePlan,
    QueueTrigger,
    Retry,
    ScheduleTrigger,
    SecretPlan,
    TablePlan,
    TableTrigger,
    TopicPlan,
    TopicTrigger,
    Trigger,
    Use,
)
from portafaas.plan.entry import function_spec
from portafaas.runtime.function import Function
from portafaas_aws.adapter import ADAPTER

_MODULE = "handlers_aws_under_test"


@pytest.fixture(scope="session")
def handlers() -> Iterator[ModuleType]:
    path = Path(__file__).with_name("handlers_aws.py")
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[_MODULE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[_MODULE]


def _function(name: str, attribute: str, trigger: Trigger, **more: Any) -> FunctionPlan:
    return FunctionPlan(name, _MODULE, attribute, trigger, **more)


@pytest.fixture(scope="session")
def plan() -> BuildPlan:
    every = ("insert", "update", "delete")
    return BuildPlan(
        service="shop",
        stage="dev",
        python="3.11",
        architecture="x86_64",
        functions=(
            _function("echo", "Echo", HttpTrigger((), "/echo/{name}/{rest*}")),
            _function("create-order", "Echo", HttpTrigger(("POST", "PUT"), "/orders")),
            _function("signed", "Echo", HttpTrigger(("GET",), "/signed", Auth("iam"))),
            _function(
                "url", "Echo", HttpTrigger((), "/u/{name}"), options={"front": "function-url"}
            ),
            _function("work", "Messages", QueueTrigger("jobs", 10)),
            _function("work-batch", "Batches", QueueTrigger("jobs", 3, 5)),
            _function("work-ordered", "Messages", QueueTrigger("steps", 2)),
            _function("listen", "Events", TopicTrigger("news")),
            _function(
                "pick",
                "Events",
                TopicTrigger("news", (("kind", ("a", "b")), ("type", ("made",)))),
            ),
            _function("store", "Objects", ObjectTrigger("files", ("created", "deleted"), "in/")),
            _function("rows", "Changes", TableTrigger("people", every, ("new", "old"))),
            _function("upserts", "Changes", TableTrigger("people")),
            _function("tick", "Ticks", ScheduleTrigger("30 2 * * *", "Europe/Berlin")),
        ),
        queues=(QueuePlan("jobs", dead_letter=True), QueuePlan("steps", ordered=True)),
        topics=(TopicPlan("news"),),
        buckets=(BucketPlan("files"),),
        tables=(TablePlan("people"),),
    )


@pytest.fixture(scope="session")
def stack() -> BuildPlan:
    """A service with every trigger, resource and use, for tests of its infrastructure."""
    key = Auth("key", keys="PORTAFAAS_HTTP_KEYS")
    cors = Cors(("https://shop.example",), ("GET", "POST"))
    uses = (
        Use("write", "table", "orders"), Use("publish", "topic", "news"),
        Use("read", "secret", "payment-key"), Use("send", "queue", "jobs"),
        Use("read", "bucket", "uploads"), Use("read", "table", "orders"),
    )  # fmt: skip
    changes = ("insert", "update", "delete")
    late = Retry(attempts=3, max_age=7200.0, declared=True)
    return BuildPlan(
        service="shop",
        stage="dev",
        python="3.12",
        architecture="aarch64",
        functions=(
            _function("create", "Echo", HttpTrigger(("POST", "PUT"), "/orders", key, cors), uses=uses),
            _function("files", "Echo", HttpTrigger(("GET",), "/files/{path*}")),
            _function("root", "Echo", HttpTrigger((), "/files")),
            _function("signed", "Echo", HttpTrigger(("GET",), "/signed/{id}", Auth("iam"))),
            _function("url", "Echo", HttpTrigger((), "/u/{name}"), options={"front": "function-url"}),
            _function(
                "inner", "Echo", HttpTrigger((), "/i", Auth("iam")), timeout=600,
                options={"front": "function-url"},
            ),
            _function("work", "Messages", QueueTrigger("jobs", 20, 5), environment={"LEVEL": "info"}, max_instances=4),
            _function(
                "work-ordered", "Messages", QueueTrigger("steps", 2),
                uses=(Use("write", "bucket", "uploads"), Use("send", "queue", "steps")),
            ),
            _function("listen", "Events", TopicTrigger("news", (("kind", ("a", "b")), ("type", ("made",))))),
            _function("log", "Events", TopicTrigger("journal"), max_instances=2),
            _function("store", "Objects", ObjectTrigger("uploads", ("created", "deleted"), "in/", ".csv")),
            _function("rows", "Changes", TableTrigger("orders", changes, ("new", "old")), retry=late),
            _function("upserts", "Changes", TableTrigger("orders")),
            _function("tick", "Ticks", ScheduleTrigger("30 2 * * MON-FRI", "Europe/Berlin")),
        ),
        queues=(
            QueuePlan("jobs", dead_letter=True, max_concurrency=5),
            QueuePlan("steps", ordered=True, dead_letter=True),
            QueuePlan("mails", dead_letter="lost", delay=5),
            QueuePlan("lost", retention=1_209_600),
        ),
        topics=(TopicPlan("news"), TopicPlan("journal", ordered=True)),
        buckets=(BucketPlan("uploads", versioned=True),),
        tables=(TablePlan("orders", sort="created", ttl="expires"),),
        secrets=(SecretPlan("payment-key"),),
        logs=Logs(retention=60),
    )  # fmt: skip


@pytest.fixture(scope="session")
def watched(stack: BuildPlan) -> BuildPlan:
    """The same, with an alert of every metric and trigger."""
    return replace(
        stack,
        channels=(
            ChannelPlan("ops", "ops@shop.example", "https://hooks.example/ops?x=1"),
            ChannelPlan("nobody", "nobody@shop.example"),
            ChannelPlan("mail", "mail@shop.example"),
        ),
        alerts=(
            AlertPlan("orders-fail", "errors", "create", "", 0.0, 300, ("ops", "mail"), "Call Ada."),
            AlertPlan("orders-fail-often", "errors", "create", "", 9.0, 3600, ("ops",)),
            AlertPlan("reports-fail", "errors", "tick", "", 0.0, 3600, ("mail",)),
            AlertPlan("slow", "latency-p95", "files", "", 1.25, 900, ("ops",)),
            AlertPlan("jobs-lost", "dead-letters", "", "jobs", 0.0, 60, ("ops",)),
            AlertPlan("mails-lost", "dead-letters", "", "mails", 5.0, 300, ("ops",)),
            AlertPlan("news-lost", "dead-letters", "listen", "", 0.0, 300, ("ops",)),
            AlertPlan("rows-lost", "dead-letters", "rows", "", 0.0, 300, ("ops",)),
            AlertPlan("steps-late", "oldest-message", "", "steps", 600.0, 1800, ("ops",)),
        ),
    )


@pytest.fixture(scope="session")
def context() -> Any:
    return SimpleNamespace(aws_request_id="5f2a4f5e-0000-4000-8000-000000000000")


@pytest.fixture(scope="session")
def entry(plan: BuildPlan, handlers: ModuleType) -> ModuleType:
    """The generated entry module."""
    module = ModuleType("_portafaas")
    exec(compile(ADAPTER.lower(plan).files["_portafaas.py"], "_portafaas.py", "exec"), vars(module))
    return module


@pytest.fixture
def invoke(entry: ModuleType, context: Any) -> Callable[[str, Any], Any]:
    """Call a function as Lambda does: JSON in, JSON out."""

    def run(name: str, payload: Any) -> Any:
        handler = getattr(entry, name.replace("-", "_"))
        return json.loads(json.dumps(handler(json.loads(json.dumps(payload)), context)))

    return run


@pytest.fixture
def on_lambda(
    plan: BuildPlan, invoke: Callable[[str, Any], Any], handlers: ModuleType
) -> Callable[[str, Stimulus], tuple[Outcome, list[Any]]]:
    """Encode, invoke and decode; return the outcome and what the handler saw."""

    def run(name: str, stimulus: Stimulus) -> tuple[Outcome, list[Any]]:
        function = plan.function(name)
        handlers.SEEN.clear()
        results = []
        for request in ADAPTER.encode(plan, function, stimulus):
            try:
                result = {"ok": True, "value": invoke(name, request.payload)}
            except Exception as exc:
                result = {"ok": False, "value": {"errorType": type(exc).__name__}}
            results.append((request, result))
        return ADAPTER.decode(plan, function, stimulus, results), list(handlers.SEEN)

    return run


@pytest.fixture
def on_reference(
    plan: BuildPlan, handlers: ModuleType
) -> Callable[[str, Stimulus], tuple[Outcome, list[Any]]]:
    """Deliver the same stimulus without any platform."""

    def run(name: str, stimulus: Stimulus) -> tuple[Outcome, list[Any]]:
        handlers.SEEN.clear()
        function = Function(function_spec(plan, plan.function(name)))
        return deliver(function, stimulus), list(handlers.SEEN)

    return run


@pytest.fixture
def bound(plan: BuildPlan, handlers: ModuleType) -> Callable[..., Callable[[Any, Any], Any]]:
    """Bind one function, with changes to its plan."""

    def make(name: str, **changes: Any) -> Callable[[Any, Any], Any]:
        function = replace(plan.function(name), **changes)
        bridge = importlib.import_module(f"portafaas_aws.runtime.{function.kind}")
        return bridge.bind(Function(function_spec(plan, function)))  # type: ignore[no-any-return]

    return make


def _kit() -> ModuleType:
    path = Path(__file__).with_name("aws_deployment_kit.py")
    spec = importlib.util.spec_from_file_location("aws_deployment_kit", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    """Helpers of the tests of deployment."""
    return _kit()


@pytest.fixture(scope="session")
def local_aws(kit: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A local AWS for all tests; see :func:`cloud` for a clean one."""
    with kit.local(tmp_path_factory.mktemp("aws") / "log") as local:
        yield local


@pytest.fixture
def cloud(local_aws: Any, kit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A local AWS with nothing in it, which boto3's default chain leads to."""
    for name, value in {
        "AWS_ENDPOINT_URL": local_aws.endpoint, "AWS_REGION": kit.REGION, "AWS_DEFAULT_REGION": kit.REGION,
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    local_aws.reset()
    yield local_aws
    # What the documentation asks for suffices for what the engine has called.
    assert local_aws.actions() <= kit.policy().keys()
