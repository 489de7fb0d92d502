"""Rules A-1 and A-2: what a manifest's handler may name."""

from __future__ import annotations

import functools

import pytest
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse

from portafaas.runtime.function import HandlerError


async def asgi(scope, receive, send):
    await PlainTextResponse("asgi")(scope, receive, send)


def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]


class Endpoint(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("asgi")


class AsgiClass:
    async def __call__(self, scope, receive, send):
        await asgi(scope, receive, send)


class WsgiClass:
    def __init__(self, greeting=b"wsgi"):
        self.greeting = greeting

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [self.greeting]

    def method(self, environ, start_response):
        return self(environ, start_response)


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("found", "interface"),
    [
        (asgi, "asgi"),
        (AsgiClass(), "asgi"),
        (AsgiClass, "asgi"),
        (Endpoint, "asgi"),
        (logged(asgi), "asgi"),
        (functools.partial(asgi), "asgi"),
        (lambda: asgi, "asgi"),
        (lambda config=None: AsgiClass(), "asgi"),
        (wsgi, "wsgi"),
        (WsgiClass(), "wsgi"),
        (WsgiClass().method, "wsgi"),
        (WsgiClass, "wsgi"),
        (logged(wsgi), "wsgi"),
        (functools.partial(wsgi), "wsgi"),
        (lambda a=1, b=2, c=3: wsgi, "wsgi"),
    ],
)
def test_applications_and_factories(found, interface, around, send):
    assert send(around(found, interface)).body == interface.encode()


def test_factory_runs_once(around, send):
    made = []

    def create():
        made.append(1)
        return wsgi

    function = around(create, "wsgi")
    assert [send(function).status for _ in range(3)] == [200, 200, 200]
    assert made == [1]


class Asgi2:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        pass


def asgi2(scope):
    async def instance(receive, send):
        pass

    return instance


async def coroutine_factory():
    return asgi


@pytest.mark.parametrize(
    ("found", "interface", "message"),
    [
        (Asgi2, "asgi", "guarantee_single_callable"),
        (asgi2, "asgi", "guarantee_single_callable"),
        (wsgi, "asgi", "is it an application for 'interface: wsgi'"),
        (asgi, "wsgi", "is it an application for 'interface: asgi'"),
        (lambda: "text", "wsgi", "returned 'str', not an application"),
        (lambda: asgi2, "asgi", "guarantee_single_callable"),
        (coroutine_factory, "asgi", "returned 'coroutine', not an application"),
        (lambda a, b, c, d, e: None, "asgi", "takes 5 positional"),
        ("text", "wsgi", "neither a handler class nor callable"),
    ],
)
def test_refusals(found, interface, message, around, send):
    function = around(found, interface)
    with pytest.raises(HandlerError, match=message):
        function.load()
    assert send(function).status == 500


def test_documented_manifest_is_valid(tmp_path):
    """The example of docs/existing-apps.md builds, and leads to this interface."""
    from pathlib import Path

    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    page = Path(__file__).parents[3].joinpath("docs/existing-apps.md").read_text("utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    tmp_path.joinpath("portafaas.yaml").write_text(f"portafaas: 1\nname: shop\n{example}")
    tmp_path.joinpath("main.py").write_text("app = None\n")
    plan = build_plan(load_manifest(tmp_path / "portafaas.yaml"))
    assert [(item.interface, item.trigger.path) for item in plan.functions] == [
        ("asgi", "/{path*}")
    ]
