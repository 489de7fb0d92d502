"""A service with every kind of trigger, its package on disk, and a client for the framework."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from portafaas.adapter import NativeRequest, Outcome, Stimulus
from portafaas.local.runner import deliver
from portafaas.plan import (
    AlertPlan,
    Auth,
    BucketPlan,
    BuildPlan,
    ChannelPlan,
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
    Use,
)
from portafaas.plan.entry import function_spec
from portafaas.runtime.function import Function
from portafaas_gcp.adapter import ADAPTER

HANDLERS = '''
"""Handlers that tell what they were given, through SEEN or the response."""
import base64
import threading
import time

from portafaas.runtime import BatchResult, HttpError, Response, batch_handler

SEEN = []


def echo(request, context):
    identity = request.identity
    return {
        "method": request.method,
        "path": request.path,
        "params": request.path_params,
        "raw_query": request.raw_query,
        "query": request.query.items(),
        "headers": {
            k: v for k, v in request.headers.items()
            if k.startswith(("x-", "content-t")) and k != "x-serverless-authorization"
        },
        "cookies": [list(pair) for pair in request.cookies],
        "body": base64.b64encode(request.body).decode(),
        "identity": identity and [identity.subject, dict(identity.claims), identity.scheme],
    }


def answer(request, context):
    """Do what the last segment of the path says."""
    what = request.path.rpartition("/")[2]
    if what == "binary":
        return bytes(range(256))
    if what == "cookies":
        response = Response("ok", 201, {"X-Many": "a", "Server": "mine", "Date": "never"})
        response.set_cookie("a", "1", path="/")
        response.set_cookie("b", "2", max_age=5)
        return response
    if what == "none":
        return None
    if what == "empty":
        return Response(None, 200, {"content-type": "text/html", "location": "/a b?ü"})
    if what == "not-modified":
        return Response("x", 304, {"etag": '"1"', "last-modified": "today", "allow": "GET"})
    if what == "unicode":
        return Response("grüße ☃", headers={"x-name": "grüße ☃"})
    if what == "teapot":
        raise HttpError(418, "short and stout")
    if what == "crash":
        raise RuntimeError("boom")
    if what == "exit":
        raise SystemExit(3)
    if what == "slow":
        time.sleep(30)
    if what == "thread":
        return str(threading.current_thread() is threading.main_thread())
    return Response("late", 599)


async def later(request, context):
    return {"deadline": context.remaining() <= 7, "away": context.target in ("local", "gcp")}


def site(environ, start_response):
    start_response("202 Accepted", [("X-Path", environ["PATH_INFO"].encode("latin-1").hex()), ("Set-Cookie", "a=1")])
    return [environ["REQUEST_METHOD"].encode(), b" ", environ["wsgi.input"].read()]


async def service(scope, receive, send):
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    headers = [(b"x-raw", scope["raw_path"]), (b"set-cookie", b"a=1")]
    await send({"type": "http.response.start", "status": 203, "headers": headers})
    await send({"type": "http.response.body", "body": scope["method"].encode() + b" " + body})


def message(item, context):
    SEEN.append(
        ["message", item.id, item.body, dict(item.attributes), item.key, item.queue,
         item.attempt, context.attempt, item.time]
    )
    if item.body.startswith(b"fail"):
        raise ValueError("no")


@batch_handler
def batch(items, context):
    SEEN.append(["batch", [item.id for item in items]])
    return BatchResult(item for item in items if item.body.startswith(b"fail"))


def event(item, context):
    SEEN.append([item.to_dict(), item.attributes, item.key, item.attempt])
    if isinstance(item.data, dict) and item.data.get("fail"):
        raise ValueError("no")


def thing(item, context):
    SEEN.append([item.to_dict(), item.bucket, item.key, item.kind, item.size, item.etag])
    if "fail" in item.key:
        raise ValueError("no")


def change(item, context):
    SEEN.append([item.to_dict(), item.table, item.kind, item.keys, item.new, item.old])
    if "fail" in item.keys.values():
        raise SystemExit(1)


def tick(item, context):
    SEEN.append([item.to_dict()])
'''

_IAM = HttpTrigger(("GET", "POST"), "/iam/{rest*}", auth=Auth("iam"))


def _function(name: str, attribute: str, trigger: Any, **more: Any) -> FunctionPlan:
    more.setdefault("timeout", 7)
    return FunctionPlan(name, "gcp_handlers", attribute, trigger, **more)


PLAN = BuildPlan(
    service="shop",
    stage="test",
    python="3.12",
    architecture="x86_64",
    functions=(
        _function("echo", "echo", HttpTrigger((), "/{rest*}")),
        _function("answer", "answer", HttpTrigger(("GET", "HEAD"), "/do/{what}"), timeout=1),
        _function("later", "later", HttpTrigger(("GET",), "/later")),
        _function("old-site", "site", HttpTrigger((), "/{rest*}"), interface="wsgi"),
        _function("new-site", "service", HttpTrigger((), "/{rest*}"), interface="asgi"),
        _function("who-calls", "echo", _IAM),
        _function("take-orders", "message", QueueTrigger("orders", batch=2)),
        _function("take-in-turn", "message", QueueTrigger("turns")),
        _function("take-many", "batch", QueueTrigger("orders", batch=10)),
        _function("listen", "event", TopicTrigger("news", (("type", ("a.b", "x.y")),))),
        _function("listen-all", "event", TopicTrigger("news")),
        _function(
            "files", "thing", ObjectTrigger("uploads", ("created", "deleted"), "in/", ".txt")
        ),
        _function("rows", "change", TableTrigger("items")),
        _function(
            "audit",
            "change",
            TableTrigger("pairs", ("insert", "update", "delete"), ("new", "old")),
        ),
        _function("nightly", "tick", ScheduleTrigger("30 2 * * MON-FRI", "Europe/Berlin")),
    ),
    queues=(
        QueuePlan("orders", dead_letter=True),
        QueuePlan("turns", ordered=True),
    ),
    topics=(TopicPlan("news"),),
    buckets=(BucketPlan("uploads"),),
    tables=(TablePlan("items"), TablePlan("pairs", "owner", "number")),
)

_USES = {
    "echo": (Use("read", "table", "items"), Use("read", "bucket", "uploads")),
    "answer": (Use("write", "table", "items"), Use("write", "table", "pairs")),
    "who-calls": (Use("publish", "topic", "news"), Use("read", "secret", "token")),
    "take-orders": (Use("send", "queue", "turns"), Use("write", "bucket", "kept")),
    "listen": (Use("send", "queue", "lost"), Use("read", "secret", "token")),
}
_RETRY = Retry(7, initial=2.5, maximum=90, declared=True)

_ALERTS = (
    AlertPlan("broken", "errors", "echo", "", 3, 300, ("ops", "pager"), "Somebody ${should} look."),
    AlertPlan("broken-orders", "errors", "take-orders", "", 0, 60, ("ops",)),
    AlertPlan("slow", "latency-p95", "echo", "", 1.5, 900, ("pager",)),
    AlertPlan("lost-orders", "dead-letters", "", "orders", 0, 1800, ("ops",)),
    AlertPlan("lost-turns", "dead-letters", "", "turns", 5, 3600, ("ops",)),
    AlertPlan("waiting", "oldest-message", "", "orders", 600, 300, ("both",)),
)
_CHANNELS = (
    ChannelPlan("ops", "ops@example.com"),
    ChannelPlan("pager", webhook="https://hooks.example.com/?token=${abc}"),
    ChannelPlan("both", "both@example.com", "https://hooks.example.com/both"),
    ChannelPlan("unused", "nobody@example.com"),
)

#: Every trigger, resource and kind of use; each queue with one consumer at most, as a build has it.
EVERYTHING = dataclasses.replace(
    PLAN,
    functions=tuple(
        dataclasses.replace(
            function,
            uses=_USES.get(function.name, ()),
            retry=_RETRY if function.name in ("take-orders", "nightly", "listen") else Retry(),
            concurrency=8 if function.name == "echo" else 1,
            min_instances=2 if function.name in ("echo", "rows") else 0,
            max_instances=7 if function.name in ("echo", "listen") else 0,
            environment={"TEMPLATE": "${not} %{this}"} if function.name == "echo" else {},
        )
        for function in (
            *PLAN.functions,
            _function("with-key", "echo", HttpTrigger(("GET",), "/key", Auth("key", "HTTP_KEYS"))),
        )
        if function.name != "take-many"
    ),
    queues=(
        QueuePlan("orders", dead_letter=True, max_concurrency=4),
        QueuePlan("turns", ordered=True, dead_letter="lost"),
        QueuePlan("lost", retention=1_209_600),
    ),
    topics=(TopicPlan("news", ordered=True),),
    buckets=(BucketPlan("uploads"), BucketPlan("kept", versioned=True)),
    tables=(TablePlan("items", ttl="expires"), TablePlan("pairs", "owner", "number")),
    secrets=(SecretPlan("token"),),
    options={"region": "europe-west1"},
    logs=Logs(90),
    channels=_CHANNELS,
    alerts=_ALERTS,
)


@pytest.fixture(scope="session")
def plan() -> BuildPlan:
    return PLAN


@pytest.fixture(scope="session")
def everything() -> BuildPlan:
    return EVERYTHING


@pytest.fixture
def document() -> dict[str, Any]:
    """Return the infrastructure of everything, to be looked at or spoilt."""
    made = ADAPTER.infrastructure(EVERYTHING).documents["shop.tf.json"]
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked package as a build lays it out."""
    root = tmp_path_factory.mktemp("package")
    for name, content in ADAPTER.lower(PLAN).files.items():
        (root / name).write_bytes(content)
    (root / "gcp_handlers.py").write_text(HANDLERS, encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def handlers(package: Path) -> Iterator[Any]:
    """Return the handlers' module; the bridges and the reference runner share it."""
    sys.path.insert(0, str(package))
    module = importlib.import_module("gcp_handlers")
    yield module
    sys.path.remove(str(package))
    del sys.modules["gcp_handlers"]


@pytest.fixture
def invoke(package: Path, handlers: Any) -> Iterator[Callable[..., dict[str, Any]]]:
    """Return a function that sends a native request to one function under the framework."""
    import functions_framework
    from werkzeug.test import EnvironBuilder, run_wsgi_app

    apps: dict[str, Any] = {}
    path = list(sys.path)

    def call(name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        function = PLAN.function(name)
        if name not in apps:
            apps[name] = functions_framework.create_app(  # type: ignore[no-untyped-call]
                function.entry, str(package / "main.py"), "cloudevent"
            )
        target, _, query = request["path"].partition("?")
        builder = EnvironBuilder(path="/", method=request["method"], query_string=query)
        if request["body"] is not None:
            builder.input_stream = __import__("io").BytesIO(base64.b64decode(request["body"]))
        environ = builder.get_environ()
        from urllib.parse import unquote_to_bytes

        # As gunicorn fills it (gunicorn/http/wsgi.py).
        environ["RAW_URI"] = environ["REQUEST_URI"] = request["path"]
        environ["PATH_INFO"] = unquote_to_bytes(target).decode("latin-1")
        environ["QUERY_STRING"] = query
        if request["body"] is not None:
            environ["CONTENT_LENGTH"] = str(len(base64.b64decode(request["body"])))
        for header, value in request["headers"]:
            if "_" in header:
                continue
            key = header.upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        chunks, status, headers = run_wsgi_app(apps[name], environ, buffered=True)
        body = b"".join(chunks)
        value = {
            "status": int(status[:3]),
            "headers": [list(pair) for pair in headers],
            "body": base64.b64encode(body).decode(),
        }
        return json.loads(json.dumps(value))  # type: ignore[no-any-return]

    yield call
    sys.path[:] = path
    sys.modules.pop("main", None)


@pytest.fixture
def both(
    invoke: Callable[..., dict[str, Any]], handlers: Any
) -> Callable[[str, Stimulus], tuple[Outcome, list[Any]]]:
    """Return what a stimulus comes to on Google Cloud, once it equals the reference."""

    def run(name: str, stimulus: Stimulus) -> tuple[Outcome, list[Any]]:
        function = PLAN.function(name)
        handlers.SEEN.clear()
        expected = deliver(Function(function_spec(PLAN, function)), stimulus)
        wanted = list(handlers.SEEN)
        handlers.SEEN.clear()
        results: list[tuple[NativeRequest, Mapping[str, Any]]] = []
        for request in ADAPTER.encode(PLAN, function, stimulus):
            payload = json.loads(json.dumps(request.payload))
            results.append((request, {"ok": True, "value": invoke(name, payload)}))
        outcome = ADAPTER.decode(PLAN, function, stimulus, results)
        assert outcome == expected
        assert handlers.SEEN == wanted
        return outcome, wanted

    return run


@pytest.fixture(scope="session")
def cases() -> Path:
    """Return the folder of payloads the platform's own repositories publish, or skip."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "cases" / "events" / "gcp"
    if not folder.is_dir():
        pytest.skip("shared/cases is not beside the repository")
    return folder


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with only the two runtime packages, as they ship."""
    import portafaas.runtime
    import portafaas_gcp.runtime

    root = tmp_path_factory.mktemp("shipped")
    for module in (portafaas.runtime, portafaas_gcp.runtime):
        name = module.__name__.partition(".")[0]
        shutil.copytree(str(next(iter(module.__path__))), root / name / "runtime")
        (root / name / "__init__.py").write_text("")
    return root


def _stand_in() -> Any:
    """Return what drivers use of the core, for as long as it has no such module."""
    module = ModuleType("portafaas.runtime.resources")

    class ResourceError(Exception):
        def __init__(self, message: str = "", *, retryable: bool = False) -> None:
            super().__init__(message)
            self.retryable = retryable

    class NotFound(ResourceError):
        pass

    class Conflict(ResourceError):
        pass

    class Outgoing:
        def __init__(
            self,
            id: str,
            body: bytes,
            *,
            content_type: str | None = None,
            attributes: Mapping[str, str] | None = None,
            key: str | None = None,
            delay: int = 0,
            dedup: str | None = None,
        ) -> None:
            self.id, self.body, self.content_type = id, body, content_type
            self.attributes = dict(attributes or ())
            self.key, self.delay, self.dedup = key, delay, dedup

    for kind in (ResourceError, NotFound, Conflict, Outgoing):
        setattr(module, kind.__name__, kind)
    return module


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return ``portafaas.runtime.resources``."""
    try:
        return importlib.import_module("portafaas.runtime.resources")
    except ModuleNotFoundError:
        module = _stand_in()
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module
