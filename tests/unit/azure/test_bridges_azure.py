"""Native request in, outcome out: the same as from the local runner."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from portafaas.adapter import (
    ChangeStimulus,
    DeliveryOutcome,
    HttpOutcome,
    HttpStimulus,
    MessageStimulus,
    ObjectStimulus,
    QueueStimulus,
    ScheduleStimulus,
    TopicStimulus,
)

Same = Callable[[str, Any], Any]
ALL = bytes(range(256))


def m(id: str, body: bytes = b"", key: str | None = None, **more: Any) -> MessageStimulus:
    return MessageStimulus(id, body, key=key, **more)


HTTP = {
    "plain": HttpStimulus("GET", "/web/a"),
    "root of the wildcard": HttpStimulus("GET", "/web/"),
    "encoded": HttpStimulus("GET", "/web/a%20b%2Fc%C3%A9+d;e"),
    "encoded twice": HttpStimulus("GET", "/web/100%2541%2525"),
    "bad encoding": HttpStimulus("GET", "/web/%zz%"),
    "query": HttpStimulus("GET", "/web/q", "a=1&a=&b=%2520&c+d=%26&e"),
    "headers": HttpStimulus(
        "GET",
        "/web/h",
        headers=(("X-Multi", "1"), ("x-multi", "2"), ("X_Bad", "no"), ("Cookie", "a=1; b=2"),
                 ("x-empty", ""), ("traceparent", "00-0af7-b7ad-01")),
    ),
    "binary": HttpStimulus("POST", "/web/bytes", body=ALL),
    "empty body": HttpStimulus("POST", "/web/bytes"),
    "text": HttpStimulus("GET", "/web/text"),
    "none": HttpStimulus("DELETE", "/web/none"),
    "head": HttpStimulus("HEAD", "/web/text"),
    "redirect": HttpStimulus("GET", "/web/redirect"),
    "raise": HttpStimulus("GET", "/web/raise"),
    "error": HttpStimulus("GET", "/web/error"),
    "exit": HttpStimulus("GET", "/web/exit"),
    "hang": HttpStimulus("GET", "/web/hang"),
    "not found": HttpStimulus("GET", "/nothing/here"),
}  # fmt: skip


@pytest.mark.parametrize("stimulus", HTTP.values(), ids=HTTP.keys())
def test_http(same: Same, stimulus: HttpStimulus) -> None:
    same("web", stimulus)


@pytest.mark.parametrize("what", ["one", "hang"])
def test_http_async(same: Same, what: str) -> None:
    outcome = same("web-async", HttpStimulus("GET", f"/async/{what}"))
    assert outcome.status == {"one": 200, "hang": 504}[what]


@pytest.mark.parametrize("what", ["exit", "cancel"])
def test_http_async_that_would_end_the_loop(bench: Any, what: str) -> None:
    assert bench.azure("web-async", HttpStimulus("GET", f"/async/{what}")).status == 500


def test_http_wrong_method(same: Same) -> None:
    assert same("web-async", HttpStimulus("POST", "/async/x")).status == 405


def test_http_preflight(same: Same) -> None:
    headers = (("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT"))
    assert same("orders-put", HttpStimulus("OPTIONS", "/orders/1", headers=headers)).status == 204


def test_iam(
    same: Same, bench: Any, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBSITE_INSTANCE_ID", "local")
    assert same("private", HttpStimulus("GET", "/private", caller="object-1")).status == 200
    assert handlers.seen[-1]["who"] == "object-1"
    assert same("private", HttpStimulus("GET", "/private")).status == 401
    forged = (("X-MS-Client-Principal-Id", "root"),)
    assert bench.azure("private", HttpStimulus("GET", "/private", headers=forged)).status == 401


def test_iam_without_the_platforms_gate(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stimulus = HttpStimulus("GET", "/private", caller="object-1")

    def status(**environ: str) -> int:
        for name in ("WEBSITE_INSTANCE_ID", "WEBSITE_AUTH_ENABLED", "AZURE_FUNCTIONS_ENVIRONMENT", "CONTAINER_NAME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return int(bench.azure("private", stimulus).status)

    # On Flex Consumption there is no instance's id, or a container's name alone.
    assert status() == status(CONTAINER_NAME="c-1") == 401
    assert status(WEBSITE_INSTANCE_ID="6f1c") == status(WEBSITE_AUTH_ENABLED="False") == 401
    assert status(AZURE_FUNCTIONS_ENVIRONMENT="Development", CONTAINER_NAME="c-1") == 401
    assert status(WEBSITE_AUTH_ENABLED="True") == status(WEBSITE_INSTANCE_ID="local") == 200
    assert status(AZURE_FUNCTIONS_ENVIRONMENT="Development") == 200


def test_a_failed_http_invocation_is_a_bare_500(bench: Any) -> None:
    from portafaas_azure.adapter import ADAPTER

    function = bench.plan.function("web")
    stimulus = HttpStimulus("GET", "/web/a")
    request = ADAPTER.encode(bench.plan, function, stimulus)[0]
    results = [(request, {"ok": False, "value": None})]
    assert ADAPTER.decode(bench.plan, function, stimulus, results) == HttpOutcome(500, (), (), b"")


QUEUE = {
    "one": QueueStimulus((m("1", ALL, attributes={"a": "b", "pf-x": "y"}, attempt=3),)),
    "some fail": QueueStimulus((m("1", b"a"), m("2", b"raise"), m("3", b"c"), m("4", b"exit"))),
    "hang": QueueStimulus((m("1", b"hang"),)),
    "time": QueueStimulus((m("1", b"a", time="2026-01-02T03:04:05.678Z"),)),
}


@pytest.mark.parametrize("stimulus", QUEUE.values(), ids=QUEUE.keys())
def test_queue(same: Same, bench: Any, handlers: Any, stimulus: QueueStimulus) -> None:
    if len(stimulus.messages) > 1:
        # The local runner gives all messages one deadline, which changes nothing here.
        assert bench.local("work", stimulus) == DeliveryOutcome(("2", "4"))
        handlers.seen.clear()
        assert bench.azure("work", stimulus) == DeliveryOutcome(("2", "4"))
        assert [item[0] for item in handlers.seen] == ["1", "2", "3", "4"]
    else:
        same("work", stimulus)


@pytest.mark.parametrize("body", [b"a", b"raise", b"hang"])
def test_queue_async(same: Same, body: bytes) -> None:
    same("work-async", QueueStimulus((m("1", body),)))


def test_queue_async_exit(bench: Any) -> None:
    assert bench.azure("work-async", QueueStimulus((m("1", b"exit"),))) == DeliveryOutcome(("1",))


def test_queue_batch_handler(same: Same) -> None:
    stimulus = QueueStimulus((m("1", b"a"), m("2", b"raise"), m("3", b"c")))
    assert same("work-batch", stimulus) == DeliveryOutcome(("2",))


def test_queue_ordered(bench: Any) -> None:
    stimulus = QueueStimulus(
        (m("1", b"a", "k"), m("2", b"raise", "k"), m("3", b"a", "other"), m("4", b"a", "k"))
    )
    expected = DeliveryOutcome(("2", "4"))
    assert bench.local("work-ordered", stimulus) == expected
    assert bench.azure("work-ordered", stimulus) == expected


def test_queue_ordered_key(same: Same, handlers: Any) -> None:
    same("work-ordered", QueueStimulus((m("1", b"a", "k"),)))
    assert handlers.seen[0][3] == "k"


_CE = {
    "ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/s", "ce-type": "order.paid",
    "ce-tier": "gold", "ce-time": "2026-11-23T10:00:00.1234567Z",
}  # fmt: skip
TOPIC = {
    "plain": m("1", b"{}", attributes={"origin": "x", "pf-y": "z"}),
    "text": m("1", b"hello", content_type="text/plain", attempt=2),
    "binary": m("1", b'{"a":1}', attributes=_CE, content_type="application/json"),
    "structured": m(
        "1",
        json.dumps({"specversion": "1.0", "id": "e", "source": "/s", "type": "t", "data": [1]})
        .encode(),
        content_type="application/cloudevents+json; charset=utf-8",
    ),
    "fails": m("1", b"raise", content_type="text/plain"),
    "key": m("1", b"a", "k1"),
}


@pytest.mark.parametrize("message", TOPIC.values(), ids=TOPIC.keys())
def test_topic(same: Same, message: MessageStimulus) -> None:
    same("on-news", TopicStimulus(message))


@pytest.mark.parametrize(("tier", "count"), [("gold", 1), ("silver", 0)])
def test_topic_filter(same: Same, handlers: Any, tier: str, count: int) -> None:
    same("on-gold", TopicStimulus(m("1", b"a", attributes={**_CE, "ce-tier": tier})))
    assert len(handlers.seen) == count


OBJECT = {
    "created": ObjectStimulus("created", "in/a b+c%41\u00e9\U0001f48e#?.csv", 12),
    "deleted": ObjectStimulus("deleted", "in/a.csv"),
    "elsewhere": ObjectStimulus("created", "out/a.csv", 1),
    "other suffix": ObjectStimulus("created", "in/a.txt", 1),
}


@pytest.mark.parametrize("stimulus", OBJECT.values(), ids=OBJECT.keys())
def test_object(same: Same, stimulus: ObjectStimulus) -> None:
    same("on-file", stimulus)


def test_table(same: Same, handlers: Any) -> None:
    keys = {"order_id": "7", "place": 3}
    new = {**keys, "sum": 1.0, "deep": [{"x": 2.0}, None, True], "part": 1.5}
    same("on-row", ChangeStimulus("insert", keys, new))
    assert handlers.seen[0]["type"] == "portafaas.table.upsert"
    same("on-row", ChangeStimulus("update", keys, new, {**new, "sum": 2}, id="c-2"))


def test_table_keeps_an_id_of_its_own(same: Same) -> None:
    keys = {"order_id": "7", "place": 3}
    same("on-row", ChangeStimulus("insert", keys, {**keys, "id": "mine"}))
    same("on-part", ChangeStimulus("insert", {"id": "p"}, {"id": "p", "n": 1}))


def test_table_deletion_is_not_delivered(bench: Any) -> None:
    stimulus = ChangeStimulus("delete", {"id": "p"}, None, {"id": "p"})
    assert bench.local("on-part", stimulus) == DeliveryOutcome()
    assert bench.azure("on-part", stimulus) == DeliveryOutcome()


@pytest.mark.parametrize(
    ("time", "count"),
    [
        ("2026-11-23T05:30:00.000Z", 1),
        ("2026-11-23T06:30:00.000Z", 0),
        ("2026-07-01T04:30:00.000Z", 1),
    ],
)
def test_schedule(same: Same, handlers: Any, time: str, count: int) -> None:
    same("on-morning", ScheduleStimulus(time))
    assert len(handlers.seen) == count
