"""Bodies of a claim check (docs/spec/resources.md, C-1 to C-6), in every back end's buckets."""

from __future__ import annotations

from typing import Any

import pytest

from portafaas.runtime.claims import fetching
from portafaas.runtime.context import Context
from portafaas.runtime.control import split
from portafaas.runtime.deliver import run_messages
from portafaas.runtime.function import Function
from portafaas.runtime.message import Message
from tests.behaviour.backends import Backend

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

BODIES = [b"\x00\xff" * 150_000, ("grüß dich, " * 30_000).encode(), b"{}" + b" " * 5_000_000]


def test_a_body_goes_by_the_bucket_and_comes_back(backend: Backend) -> None:
    address = backend.bucket()
    spec: dict[str, Any] = {
        "name": "f", "service": "shop", "kind": "queue", "handler": "x:y", "timeout": 60, "memory": 256,
        "source": "/shop", "trigger": {"queue": "big", "batch": 10, "claims": True},
        "uses": {
            "queue": {"big": {"verbs": ["send"], "claims": "it", "address": "nowhere"}},
            "bucket": {"it": {"verbs": [], "address": address}},
        },
    }  # fmt: skip
    function = Function(spec)
    context = Context(function, "1", target=backend.target)
    prepared = [context.queues["big"].prepared(body) for body in BODIES]
    assert [message.body for message in prepared] == [b""] * len(BODIES)
    got: list[bytes] = []

    def handle(message: Message, context: Context) -> None:
        got.append(message.body)
        with pytest.raises(PermissionError):
            context.buckets["it"].list()

    function.takes_batch = function.is_async = False
    function.handle = fetching(handle, function)
    for _ in range(2):
        messages = []
        for sent in prepared:
            visible, control = split(sent.attributes)
            messages.append(Message("t", b"", attributes=visible, control=control, queue="big"))
        assert run_messages(function, messages, Context(function, "1", target=backend.target)) == []
    assert got == BODIES * 2
    spec["uses"]["bucket"]["it"]["verbs"] = ["read"]
    assert list(context.buckets["it"].list().all()) == []
