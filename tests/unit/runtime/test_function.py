"""Finding, building and keeping a handler."""

from __future__ import annotations

import atexit
import itertools
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portafaas.runtime.function import Function, HandlerError

_numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function that writes an importable module and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source: str) -> str:
        name = f"handlers_under_test_{next(_numbers)}"
        header = "from portafaas.runtime import *\ncalls = []\n"
        (tmp_path / f"{name}.py").write_text(header + textwrap.dedent(source))
        return name

    return write


def test_a_plain_callable(module: Any, make: Any) -> None:
    name = module("def main(payload, context): return payload + 1")
    function = make(handler=f"{name}:main")
    assert function.handle(1, None) == 2
    assert (function.is_async, function.takes_batch, function.owner) == (False, False, None)


def test_a_class_is_built_and_initialised_once(module: Any, make: Any) -> None:
    name = module(
        """
        class Orders(HttpHandler):
            def __init__(self): calls.append("new")
            def init(self): calls.append("init")
            def handle(self, request, context): return len(calls)
        """
    )
    function = make(handler=f"{name}:Orders")
    assert name not in sys.modules
    assert function.handle(None, None) == 2
    assert function.handle(None, None) == 2
    assert sys.modules[name].calls == ["new", "init"]
    assert type(function.owner).__name__ == "Orders"


def test_hooks_and_handle_may_be_async(module: Any, make: Any) -> None:
    name = module(
        """
        class Orders(HttpHandler):
            async def init(self): calls.append("init")
            async def handle(self, request, context): return 1
        async def main(payload, context): return 2
        """
    )
    function = make(handler=f"{name}:Orders")
    assert function.is_async
    assert sys.modules[name].calls == ["init"]
    assert make(handler=f"{name}:main").is_async


def test_a_nested_name_and_an_instance(module: Any, make: Any) -> None:
    name = module(
        """
        class Outer:
            class Inner:
                @staticmethod
                def main(payload, context): return "inner"
        class Callable:
            async def __call__(self, payload, context): return "called"
        ready = Callable()
        """
    )
    assert make(handler=f"{name}:Outer.Inner.main").handle(0, 0) == "inner"
    assert make(handler=f"{name}:ready").is_async
    assert make(handler=f"{name}:Callable").is_async


def test_batch_handlers(module: Any, make: Any) -> None:
    name = module(
        """
        class Many(BatchHandler):
            def handle(self, batch, context): pass
        class One(QueueHandler):
            def handle(self, message, context): pass
        @batch_handler
        def many(batch, context): pass
        """
    )
    for attribute, takes in (("Many", True), ("One", False), ("many", True)):
        assert make(None, "queue", handler=f"{name}:{attribute}").takes_batch is takes


@pytest.mark.parametrize(
    ("attribute", "kind", "message"),
    [
        ("Orders", "queue", "serves http triggers, but 'f' has a queue trigger"),
        ("Jobs", "http", "serves queue triggers, but 'f' has a http trigger"),
        ("number", "http", "neither a handler class nor callable"),
    ],
)
def test_a_handler_must_fit_its_trigger(
    module: Any, make: Any, attribute: str, kind: str, message: str
) -> None:
    name = module(
        """
        class Orders(HttpHandler): pass
        class Jobs(QueueHandler): pass
        number = 7
        """
    )
    function = make(None, kind, handler=f"{name}:{attribute}")
    with pytest.raises(HandlerError, match=message):
        function.load()


def test_a_handler_that_is_not_there(module: Any, make: Any) -> None:
    name = module("")
    with pytest.raises(ModuleNotFoundError):
        make(handler="no_such_module_at_all:x").load()
    with pytest.raises(AttributeError, match="missing"):
        make(handler=f"{name}:missing").load()


def test_a_failed_init_is_tried_again(module: Any, make: Any) -> None:
    name = module(
        """
        class Orders(HttpHandler):
            def init(self):
                calls.append("init")
                if len(calls) < 3: raise OSError("not yet")
            def handle(self, request, context): return "ready"
        """
    )
    function = make(handler=f"{name}:Orders")
    for _ in range(2):
        with pytest.raises(OSError, match="not yet"):
            function.handle  # noqa: B018
    assert function.handle(None, None) == "ready"


def test_shutdown_is_registered_if_there_is_one(
    module: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[Any] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    name = module(
        """
        class Plain(HttpHandler):
            def handle(self, request, context): pass
        class Closing(Plain):
            def shutdown(self): calls.append("shutdown")
        class ClosingLater(Plain):
            async def shutdown(self): calls.append("later")
        """
    )
    make(handler=f"{name}:Plain").load()
    assert registered == []
    make(handler=f"{name}:Closing").load()
    make(handler=f"{name}:ClosingLater").load()
    for hook in registered:
        hook()
    assert sys.modules[name].calls == ["shutdown", "later"]


def test_unknown_names(make: Any) -> None:
    function = make()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        function.nothing  # noqa: B018


def test_defaults() -> None:
    function = Function(
        {"name": "f", "service": "s", "kind": "queue", "handler": "a:b", "timeout": 1,
         "memory": 128, "source": "/s", "trigger": {}}
    )  # fmt: skip
    assert (function.interface, function.concurrency, function.route) == ("handler", 1, None)


def test_the_base_classes_say_what_to_define() -> None:
    from portafaas import runtime

    for name in ("HttpHandler", "QueueHandler", "BatchHandler", "EventHandler", "ObjectHandler",
                 "ChangeHandler", "ScheduleHandler"):  # fmt: skip
        handler = getattr(runtime, name)()
        with pytest.raises(NotImplementedError, match=rf"{name} must define handle\("):
            handler.handle(None, None)
        assert handler.init() is None
        assert handler.shutdown() is None


def test_every_public_name_loads() -> None:
    from portafaas import runtime

    for name in runtime.__all__:
        assert getattr(runtime, name) is not None
    assert dir(runtime) == runtime.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        runtime.Nothing  # noqa: B018
