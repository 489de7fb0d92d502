"""The numbers that targets deliver by, and what is made of them, without a runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import Adapter, HttpOutcome, HttpStimulus, NativeRequest
from portafaas.adapter.delivery import (
    Delivered,
    DeliveryRules,
    Emulation,
    HttpRules,
    Wish,
    distinct,
    limited,
    refused,
)
from portafaas.local.broker import Broker
from portafaas.local.deliveries import Settled
from portafaas.local.driver import portafaas_local_resources as driver
from portafaas.local.resources import send
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.registry import get_adapter
from portafaas.runtime import resources
from portafaas.runtime.resources import Outgoing, ResourceError
from tests.dev.as_project import MANIFEST, SOURCE

TARGETS = ("aws", "azure", "gcp")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(SOURCE)
    file = tmp_path / "portafaas.yaml"
    file.write_text(MANIFEST)
    return file


def planned(manifest: Path, target: str | None) -> BuildPlan:
    return build_plan(load_manifest(manifest), target or "")


def rules(manifest: Path, target: str, function: str) -> DeliveryRules:
    plan = planned(manifest, target)
    return get_adapter(target).emulation().rules(plan, plan.function(function))


# Numbers: each is in the document that is deployed.


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    else:
        yield value


@pytest.mark.parametrize("target", TARGETS)
def test_the_numbers_are_those_of_what_is_deployed(manifest: Path, target: str) -> None:
    plan = planned(manifest, target)
    (document,) = get_adapter(target).infrastructure(plan).documents.values()
    deployed = set(map(str, _numbers(document)))
    found = rules(manifest, target, "work")
    seconds = {"aws": "{:.0f}", "azure": "PT{:.0f}S", "gcp": "{:.0f}"}[target]
    assert seconds.format(found.gone) in deployed
    assert str(found.receives) in deployed
    if target == "gcp":
        assert f"{found.pace:g}s" in deployed and f"{found.longest:g}s" in deployed


def test_what_waits_behind_a_failure() -> None:
    paced = DeliveryRules(pace=10.0, longest=60.0)
    assert [paced.paced(n) for n in (1, 2, 3, 4, 99)] == [10.0, 20.0, 40.0, 60.0, 60.0]
    assert [DeliveryRules(pace=7.0).paced(n) for n in (1, 5)] == [7.0, 7.0]


def test_an_adapter_without_the_module_is_neutral(manifest: Path) -> None:
    plan = planned(manifest, None)
    emulation = Emulation(get_adapter("aws"))
    work = emulation.rules(plan, plan.function("work"))
    assert (work.pace, work.longest, work.receives, work.order) == (90.2, 3600.0, 3, "none")
    assert emulation.rules(plan, plan.function("step")).order == "key"
    assert emulation.http(plan, plan.function("web")) == HttpRules()
    assert emulation.environment(plan, plan.function("work")) == {}

    class Broken(type(get_adapter("aws"))):  # type: ignore[misc]
        @classmethod
        def _part(cls, name: str) -> Any:
            import importlib

            return importlib.import_module(f"no_such_package.{name}")

    # A module that is there and fails is no module that is missing.
    with pytest.raises(ModuleNotFoundError):
        Broken().emulation()
    assert type(Adapter.emulation(get_adapter("aws"))) is Emulation


# Sizes.


@pytest.mark.parametrize("target", TARGETS)
def test_sizes_that_front_ends_refuse(manifest: Path, target: str) -> None:
    plan = planned(manifest, target)
    limits = get_adapter(target).emulation().http(plan, plan.function("web"))
    most = {"aws": 10_000_000, "azure": 104_857_600, "gcp": 33_554_432}[target]

    def asked(size: int) -> HttpOutcome | None:
        return refused(limits, HttpStimulus(body=b"x" * size), NativeRequest({}))

    assert asked(most) is None
    over = asked(most + 1)
    assert over is not None and over.status == 413
    answer = HttpOutcome(200, (), (), b"x" * 33_554_433)
    assert limited(limits, answer).status == (500 if target == "gcp" else 200)


def test_an_event_is_measured_as_json() -> None:
    limits = HttpRules(event=1000, request_body=b"{}")
    stimulus = HttpStimulus(body=b"\xff" * 700)
    whole = refused(limits, stimulus, NativeRequest({"body": "x" * 1000}))
    assert whole is not None and whole.headers == (("content-type", "application/json"),)
    assert refused(limits, stimulus, NativeRequest({"body": "x" * 900})) is None


# What bridges ask for.


def delivered(number: int, **facts: Any) -> Delivered:
    known: dict[str, Any] = {
        "kind": "queue", "id": f"m{number}", "key": None, "body": b"", "content_type": None,
        "attributes": {}, "sent": 0.0, "expires": None, "deliveries": 1,
    }  # fmt: skip
    return Delivered(number, **{**known, **facts})


def test_only_a_variable_turns_bridges_to_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(resources.DRIVER, raising=False)
    assert resources.stand_in("aws") is None
    monkeypatch.setenv(resources.DRIVER, driver.__name__)
    found = resources.stand_in("aws")
    monkeypatch.delenv(driver.TOLD, raising=False)
    with pytest.raises(ResourceError, match="nothing here delivers"):
        found.client("sqs").send_message_batch(Entries=[])
    monkeypatch.setenv(driver.TOLD, str(tmp_path / "told"))
    assert found.client("sqs").send_message_batch(Entries=[{"Body": b"\xff"}]) == {}
    assert json.loads((tmp_path / "told").read_text()) == {
        "place": "sqs", "operation": "send_message_batch", "given": [],
        "arguments": {"Entries": [{"Body": {"base64": "/w=="}}]},
    }  # fmt: skip


def test_what_calls_of_sqs_mean(manifest: Path) -> None:
    plan = planned(manifest, "aws")
    hide = {"Entries": [{"Id": "0", "ReceiptHandle": "2", "VisibilityTimeout": 91}]}
    letter = {"pf-id": {"StringValue": "m1"}, "pf-dead": {"StringValue": "why"}}
    bury = {"Entries": [{"Id": "0", "MessageBody": "", "MessageAttributes": letter}]}
    told = [
        {"operation": "send_message_batch", "arguments": bury},
        {"operation": "change_message_visibility_batch", "arguments": hide},
    ]
    emulation = get_adapter("aws").emulation()
    items = [delivered(1), delivered(2), delivered(3)]
    found = emulation.wishes(plan.function("work"), items, told)
    assert found == {1: Wish(letter="why"), 2: Wish(after=91.0)}


def test_two_messages_of_one_id_are_two(manifest: Path) -> None:
    items = [delivered(1, id="m"), delivered(2, id="m"), delivered(3)]
    names = distinct(items)
    assert names[1] == "m" and len(set(names.values())) == 3
    plan = planned(manifest, "aws")
    function, emulation = plan.function("work"), get_adapter("aws").emulation()
    request, _ = emulation.request(plan, function, items)
    assert request is not None
    handles = [record["receiptHandle"] for record in request.payload["Records"]]
    assert handles == ["1", "2", "3"]
    answer = {"ok": True, "value": {"batchItemFailures": [{"itemIdentifier": names[2]}]}}
    assert emulation.failed(plan, function, items, request, answer) == {2}


def test_a_copy_is_as_old_as_the_first_by_the_stores_clock() -> None:
    own = {"pf-sent": "2026-01-01T00:00:00.000Z", "pf-attempt": "2", "a": "b", "pf-expires": "9"}
    item = delivered(1, attributes=own, sent=60.0, expires=100.0)
    assert item.copied
    assert item.control() == {
        "pf-sent": "1970-01-01T00:01:00.000Z", "pf-attempt": "2", "pf-expires": "100.0",
    }  # fmt: skip
    assert not delivered(1).copied


# The broker.


@pytest.fixture
def broker(manifest: Path) -> Iterator[Broker]:
    plan = planned(manifest, None)
    with Broker(manifest.parent / "store", plan, {"work": DeliveryRules(batch=1)}) as made:
        yield made


def put(broker: Broker, *texts: str) -> None:
    messages = [Outgoing(text, text.encode()) for text in texts]
    send(str(broker.store.folder / "queue" / "jobs"), messages, False)
    broker.take_in()


def test_copies_line_up_anew_and_letters_forget_them(broker: Broker) -> None:
    work = broker.plan.function("work")
    put(broker, "a", "b")
    lease = broker.lease(work, 60)
    assert lease is not None
    (item,) = lease.items
    own = {"pf-attempt": "1", "pf-sent": "x"}
    broker.settle(lease, Settled({item.number: 0.0}, copies={item.number: own}))
    second, third = broker.lease(work, 60), broker.lease(work, 60)
    assert second is not None and third is not None
    assert [lease.items[0].id for lease in (second, third)] == ["b", "a"]
    (copy,) = third.items
    assert (copy.attempts, copy.deliveries, copy.attributes) == (1, 2, own)
    assert copy.sent == pytest.approx(item.sent)
    broker.settle(third, Settled(dead={copy.number: "{}"}))
    (letter,) = broker.letters.list("queue/jobs")
    # Redriven it is as new.
    assert letter.attributes == {}


@pytest.mark.parametrize("buries", [True, False])
def test_the_platform_makes_an_end(manifest: Path, buries: bool) -> None:
    plan = planned(manifest, None)
    own = {"work": DeliveryRules(receives=2, buries=buries)}
    with Broker(manifest.parent / "store", plan, own) as broker:
        work = plan.function("work")
        put(broker, "a")
        for _ in range(2):
            lease = broker.lease(work, 60)
            assert lease is not None
            broker.settle(lease, Settled({lease.items[0].number: 0.0}))
        assert broker.lease(work, 60) is None
        (ended,) = broker.letters.ended()
        assert ended.function == "work"
        assert ended.item.id == "a" and bool(ended.letter) is buries
        letters = broker.letters.list("queue/jobs")
        assert len(letters) == buries
        if buries:
            facts = json.loads(letters[0].letter or "")
            assert (facts["reason"], facts["attempts"]) == ("platform", 2)


def test_with_the_instance_goes_the_count(broker: Broker) -> None:
    work = broker.plan.function("work")
    put(broker, "a")
    lease = broker.lease(work, 60)
    assert lease is not None
    broker.settle(lease, Settled({lease.items[0].number: 0.0}, anew=True))
    again = broker.lease(work, 60)
    assert again is not None and again.items[0].attempts == 1


def test_all_that_came_later_waits(manifest: Path) -> None:
    plan = planned(manifest, None)
    with Broker(manifest.parent / "store", plan, {"work": DeliveryRules(order="all")}) as broker:
        work = plan.function("work")
        put(broker, *"abcdefghijklm")
        lease = broker.lease(work, 60)
        assert lease is not None and broker.lease(work, 60) is None
        broker.settle(lease, Settled({lease.items[3].number: 50.0}))
        assert broker.lease(work, 60) is None
        broker.clock.advance(51)
        again = broker.lease(work, 60)
        assert again is not None and [item.id for item in again.items][:2] == ["d", "k"]


def test_senders_keep_to_what_the_platform_takes(manifest: Path) -> None:
    plan = planned(manifest, None)
    own = {
        "work": DeliveryRules(message=1000),
        "step": DeliveryRules(message=1000, text=True),
        "hear": DeliveryRules(message=10),
    }
    folder = manifest.parent / "store"

    def put(queue: str, body: bytes) -> None:
        message = Outgoing("m", body, attributes={"a": "b"})
        send(str(folder / "queue" / queue), [message], False)

    with Broker(folder, plan, own) as broker:
        put("jobs", b"x" * 5000)  # nobody has said anything yet
        broker.intake.limit()
        put("jobs", b"\xff" * 998)
        for queue, body in (("jobs", 999), ("steps", 749)):
            with pytest.raises(ResourceError, match="1000 bytes at most") as caught:
                put(queue, b"\xff" * body)
            assert not caught.value.retryable
        # Not as base64 what is text.
        put("steps", b"x" * 998)
        assert broker.take_in() == 3
    with Broker(folder, plan) as broker:
        broker.intake.limit()
        put("jobs", b"x" * 5000)


@pytest.mark.parametrize("keeps", [True, False])
def test_what_was_kept_too_long(manifest: Path, keeps: bool) -> None:
    plan = planned(manifest, None)
    own = {"work": DeliveryRules(retention=100, keeps=keeps)}
    with Broker(manifest.parent / "store", plan, own) as broker:
        put(broker, "a")
        broker.clock.advance(99)
        broker.sweep()
        assert broker.waiting(plan.function("work")) == 1
        broker.clock.advance(2)
        broker.sweep()
        assert broker.waiting(plan.function("work")) == 0
        assert [bool(each.letter) for each in broker.letters.ended()] == [True] * keeps
        assert len(broker.letters.list("queue/jobs")) == keeps
