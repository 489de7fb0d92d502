"""The same failures on each target, in its own runtime: where its deliveries differ, it shows here.

``docs/spec/recovery.md`` ("Which triggers these are") and ``docs/limits.md`` say what is expected.
The broker's clock is set forward, so that none of the delays is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest

from portafaas.adapter import HttpStimulus
from portafaas.emulation import Front
from portafaas.runtime.text import epoch_time
from tests.dev.as_project import Cloud, letters

pytestmark = pytest.mark.vendor


@pytest.fixture(scope="module", params=["aws", "azure", "gcp"])
def cloud(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp(request.param), request.param) as made:
        yield made


def about(seconds: float) -> Any:
    """Copies come at a time, not after a time: what sending them takes is not on top of it."""
    return pytest.approx(seconds - 4.9, abs=5)


def of(cloud: Cloud, **by: Any) -> Any:
    """Return what is expected on the cloud's target."""
    return by[cloud.target]


def test_a_batch_is_what_the_platform_hands_over(cloud: Cloud) -> None:
    cloud.send("jobs", "a", "b", "c")
    reports = cloud.run()
    assert [report.what for report in reports] == ["delivered"] * 3
    one_by_one = [("a#0",), ("b#1",), ("c#2",)]
    assert [ids for _, ids, _ in cloud.leases] == of(
        cloud, aws=[("a#0", "b#1", "c#2")], azure=one_by_one, gcp=one_by_one
    )
    # Each has a span, in the record of its delivery.
    spans = cloud.spans()
    assert sorted(of_ for _, of_, *_ in spans if of_) == ["a#0", "b#1", "c#2"]
    assert len({run for run, *_ in spans}) == len(cloud.leases)
    # Ids, attributes and bodies are the sender's, whatever the envelope.
    assert cloud.log.read_text().splitlines()[0] == "message | a | 1 | a#0 | None | {'a': 'b'}"


def test_delays_are_kept_as_exactly_as_the_platform_keeps_them(cloud: Cloud) -> None:
    cloud.send("jobs", "fails")
    cloud.run()
    copies = [("again", about(90.2)), ("again", about(180.4)), ("dead", 0.0)]
    # SQS: whole seconds, rounded up.
    whole = [("again", 91.0), ("again", 181.0), ("dead", 0.0)]
    policy = [("again", 90.2), ("again", 180.4), ("dead", 0.0)]
    assert cloud.told() == of(cloud, aws=whole, azure=copies, gcp=policy)
    assert cloud.seen() == [("fails", 1), ("fails", 2), ("fails", 3)]
    failed = [found[1:] for found in cloud.spans() if found[1]]
    assert failed == [("fails#0", True, "ValueError: no")] * 3
    times = [when for _, _, when in cloud.leases]
    assert times[2] - times[0] == pytest.approx(sum(s for _, s in cloud.told()), abs=2)
    assert letters(cloud, "queue/jobs") == [("attempts", 3)]


def test_who_is_throttled_waits_at_least_so_long(cloud: Cloud) -> None:
    cloud.send("jobs", "throttled")
    cloud.run()
    assert cloud.told() == [
        ("again", of(cloud, aws=701.0, azure=about(700.5), gcp=700.5)),
        ("delivered", 0.0),
    ]
    assert cloud.seen() == [("throttled", 1), ("throttled", 2)]


def test_a_copy_loses_its_place(cloud: Cloud) -> None:
    cloud.send("jobs", "throttled")
    cloud.dispatcher.run(wait=False)
    cloud.send("jobs", "later")
    cloud.dispatcher.broker.take_in()
    cloud.dispatcher.broker.clock.advance(1000)
    cloud.run()
    # On AWS it stays in its queue, invisible; elsewhere it lines up behind what was sent meanwhile.
    kept, lost = [("throttled", 2), ("later", 1)], [("later", 1), ("throttled", 2)]
    assert cloud.seen() == of(cloud, aws=kept, azure=lost, gcp=lost)


def test_what_never_works_is_a_dead_letter_at_once(cloud: Cloud) -> None:
    cloud.send("jobs", "permanent")
    (report,) = cloud.run()
    assert (report.what, report.letter["reason"]) == ("dead", "permanent")
    assert report.letter["error"] == "Permanent: never"
    assert letters(cloud, "queue/jobs") == [("permanent", 1)]


def test_a_crash_comes_again_at_the_platforms_pace(cloud: Cloud) -> None:
    cloud.send("jobs", "exits", "bystander")
    reports = cloud.run()
    waits = [report.seconds for report in reports if report.what == "again"]
    dead = [(report.id, report.letter["reason"]) for report in reports if report.what == "dead"]
    if cloud.target == "aws":
        # Lambda gives the whole batch again when the queue's visibility timeout is over, counted
        # from its receipt: who is beside a message that crashes is lost with it.
        visibility = cloud.rules("work").gone
        assert visibility == 6 * 10
        assert len(waits) == 6 and all(visibility - 5 < s <= visibility for s in waits)
        assert dead == [("exits#0", "platform"), ("bystander#1", "platform")]
        assert cloud.seen() == [("exits", 1), ("exits", 2), ("exits", 3)]
    elif cloud.target == "azure":
        # The host lives on and gives the message back: there again at once, used up in no time.
        assert waits == [0.0, 0.0, 0.0]
        assert dead == [("exits#0", "platform")]
        assert ("bystander", 1) in cloud.seen()
    else:
        # A push that got no answer: the subscription's retry policy. Pub/Sub itself gives up after
        # five deliveries at least; the bridge buries what had its three at the fourth.
        assert [round(seconds, 1) for seconds in waits] == [90.2, 180.4, 360.8]
        assert dead == [("exits#0", "attempts")]
        assert ("bystander", 1) in cloud.seen()
    assert all(attempts == 3 for _, attempts in letters(cloud, "queue/jobs"))


def test_who_takes_too_much_memory_is_ended(cloud: Cloud) -> None:
    cloud.send("jobs", "hogs 1")
    cloud.run()
    if cloud.target == "azure":
        # Memory is the instance's, of a few sizes; 400 MiB are no more than it has.
        assert cloud.told() == [("delivered", 0.0)]
        return
    first, last = cloud.reports
    assert "MiB of memory; it has 256 MiB" in first.error
    assert (first.what, last.what) == ("again", "delivered")


def test_an_ordered_key_waits_for_what_failed(cloud: Cloud) -> None:
    cloud.send("steps", "fails 1", "second", key="k")
    cloud.send("steps", "other", key="l")
    cloud.run()
    seen = cloud.seen()
    assert [text for text, _ in seen if text != "other"] == ["fails 1", "fails 1", "second"]
    # Where the bridge waits (Azure) the instance does nothing else meanwhile.
    overtakes = seen.index(("other", 1)) < seen.index(("second", 1))
    assert overtakes == of(cloud, aws=True, azure=False, gcp=True)
    assert [ids for _, ids, _ in cloud.leases if len(ids) > 1] == []
    (wait,) = [report.seconds for report in cloud.reports if report.what == "again"]
    # AWS rounds up; Azure's bridge has waited itself; Pub/Sub has a policy for it.
    assert wait == of(cloud, aws=1.0, azure=0.0, gcp=pytest.approx(0.3))


def test_events_of_a_topic_come_again_as_copies_for_one(cloud: Cloud) -> None:
    cloud.publish("fails 1")
    cloud.run()
    assert cloud.told() == [
        ("again", of(cloud, aws=91.0, azure=about(90.2), gcp=90.2)),
        ("delivered", 0.0),
    ]
    assert [line.split(" | ")[2:] for line in cloud.log.read_text().splitlines()] == [
        ["1", "fails 1#0", "test.happened"],
        ["2", "fails 1#0", "test.happened"],
    ]


def test_changes_are_tried_within_the_invocation_or_by_the_host(cloud: Cloud) -> None:
    cloud.put("1", "fails 1")
    cloud.run()
    assert cloud.seen() == [("fails 1", 1), ("fails 1", 2)]
    # The host of Azure knows whole seconds: 0.2 s are 1 s.
    within = [("delivered", 0.0)]
    assert cloud.told() == of(
        cloud, aws=within, azure=[("again", 1.0), ("delivered", 0.0)], gcp=within
    )
    cloud.put("1", "permanent")
    cloud.run()
    assert letters(cloud, "function/row") == [("permanent", 1)]


def test_a_change_that_fails_holds_up_all_others_but_on_google_cloud(cloud: Cloud) -> None:
    assert cloud.rules("row").order == of(cloud, aws="all", azure="all", gcp="none")
    if cloud.target == "gcp":
        return  # A crash there comes again for 24 hours.
    cloud.put("2", "exits")
    cloud.put("3", "other row")
    cloud.run()
    assert [text for text, _ in cloud.seen()][-1] == "other row"
    waits = [round(report.seconds, 3) for report in cloud.reports if report.what == "again"]
    reason = of(cloud, aws="platform", azure="attempts")
    # AWS: rounds, after a delay that Lambda chooses, then an end. Azure: the host's policy, and
    # the bridge, which is told the count.
    assert waits == of(cloud, aws=[1.0, 0.0], azure=[1.0, 1.0])
    assert letters(cloud, "function/row") == [(reason, 2)]


def test_a_schedule_comes_again_as_each_platform_has_it(cloud: Cloud) -> None:
    minute = time() // 60 * 60
    cloud.fire("fails 1", epoch_time(minute - 60))
    cloud.run()
    assert cloud.seen() == [("fails 1", 1), ("fails 1", 2)]
    within = [("delivered", 0.0)]
    assert cloud.told() == of(
        cloud,
        aws=[("again", 1.0), ("delivered", 0.0)],
        azure=[("again", about(0.2)), ("delivered", 0.0)],  # by the queue tick-again
        gcp=within,
    )
    cloud.fire("exits", epoch_time(minute))
    reports = cloud.run()
    ends = [(report.what, report.letter.get("reason")) for report in reports][-1]
    assert ends == of(cloud, aws=("dead", "platform"), azure=("lost", None), gcp=("lost", None))
    assert len(cloud.seen()) == of(cloud, aws=2, azure=1, gcp=2)
    letters(cloud, "function/tick")


def test_requests_and_answers_have_the_front_ends_limits(cloud: Cloud) -> None:
    web = cloud.plan.function("web")

    def call(size: int, give: int) -> tuple[int, bytes]:
        stimulus = HttpStimulus("POST", "/web", f"give={give}", (), b"\xff" * size)
        outcome = front.request(web, stimulus)
        return outcome.status, outcome.body

    mega = 1024 * 1024
    with Front(cloud.vendor, cloud.root, {"LOG": str(cloud.log)}) as front:
        status, body = call(5 * mega, 0)
        if cloud.target == "aws":
            # base64 makes more of it than an event may have.
            assert (status, body) == (413, b'{"message":"Request Entity Too Large"}')
            assert call(4 * mega, 0)[0] == 200
            assert call(1, 7 * mega) == (500, b'{"message":"Internal Server Error"}')
            return
        assert status == 200 and b'"got":5242880' in body.replace(b" ", b"")
        # What is beyond their limits: test_as_rules.py.
        assert call(1, 7 * mega)[0] == 200


def test_nothing_is_left_running(cloud: Cloud) -> None:
    """The last test: closes what the others share."""
    place = str(cloud.vendor.package)
    assert _using(place)
    cloud.__exit__()
    assert not _using(place)


def _using(folder: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and Path(process / "cwd").readlink() == Path(folder):
                found.append(process.name)
        except OSError:
            continue
    return found
