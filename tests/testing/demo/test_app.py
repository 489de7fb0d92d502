"""The application under test: what its methods do, in the test's own process."""

from __future__ import annotations

import signal
import time
from datetime import timedelta

import pytest

from portafaas.runtime import NotWaiting, Permanent, Throttled, deadline


@pytest.fixture(autouse=True)
def token(app) -> None:
    app.secret("token", "open-sesame")


# Requests


def test_requests_are_routed_as_on_a_platform(app) -> None:
    assert app.get("/hello/Ada").status == 401
    assert app.get("/hello/Ada", key="wrong").status == 401
    found = app.post("/hello/Ada?delay=0", json={"a": 1}, key=app.key)
    assert found.ok and found.json() == {"said": "Hello, Ada!", "body": {"a": 1}}
    assert found.headers["content-type"] == "application/json"
    assert app.get("/hello/nobody", key=app.key).json()["detail"] == "nobody is there"
    refused = app.delete("/hello/Ada", key=app.key)
    assert refused.status == 405 and refused.headers["allow"] == "GET, POST"
    rest = app.put("/any where/else", query={"a": "ü"}, data={"b": "c"}).json()
    assert rest == {"path": "/any where/else", "query": "a=%C3%BC", "method": "PUT"}
    app.api_keys({"ada": "her-key"})
    assert app.get("/hello/Ada", key="her-key").ok
    assert app.get("/hello/Ada", key=app.key).status == 401
    with pytest.raises(ValueError, match="begins with '/'"):
        app.get("hello")


def test_tokens(app) -> None:
    token = app.token("ada", role="admin")
    assert app.get("/secret", bearer=token).json() == {"who": "ada", "role": "admin"}
    assert app.get("/secret").status == 401
    assert app.get("/secret", bearer=app.token(exp=1)).status == 401
    assert app.get("/secret", bearer=app.token(scopes=[])).status == 403
    assert app.get("/secret", bearer=f"{token[:-8]}AAAAAAAA").status == 401
    assert app.get("/curved", bearer=app.token("bo", function="curved")).json()["who"] == "bo"
    with pytest.raises(LookupError, match="with 'auth: jwt' 'hello'; there are: secret, curved"):
        app.token(function="hello")


def test_a_handler_that_fails_says_why(app) -> None:
    found = app.get("/hello/broken", key=app.key)
    assert found.status == 500
    assert repr(found).endswith("the handler failed: KeyError: 'broken'>")
    invocation = app.invocations("hello").one()
    assert invocation.status == "error"
    assert isinstance(invocation.exception, KeyError)
    assert "KeyError" in app.logs("hello").one().fields["exception"]
    with pytest.raises(AssertionError, match="the body is no JSON: <Response 401"):
        app.get("/hello/x").__class__(401, {}, (), b"no").json()


# Deliveries


def test_what_is_sent_is_seen_and_delivered_by_settle(app) -> None:
    app.get("/hello/ada", key=app.key)
    sent = app.messages("jobs").one()
    assert (sent.json(), sent.state, sent.attempts) == ({"id": "ada"}, "waiting", 0)
    assert not app.invocations("work")
    app.settle()
    assert app.messages("jobs").one().state == "done"
    assert app.waiting("jobs") == []
    event = app.events("news").one()
    assert (event.type, event.subject, event.data) == ("kit.done", "ada", {"id": "ada"})
    assert app.table("done").get("ada")["token"] == "open-sesame"
    assert app.logs("work").one().fields["attempt"] == 1
    assert app.logs("changed").one().message == "upsert: ada"
    effects = app.invocations("work").one().effects
    assert [(each["verb"], each["name"]) for each in effects] == [
        ("put", "once"), ("put", "done"), ("publish", "news"), ("put", "once"),
    ]  # fmt: skip
    app.assert_settled()


def test_send_publish_put_and_fire(app) -> None:
    app.send("jobs", {"id": "bob"}, delay=60)
    app.publish("news", {"id": "x"}, type="kit.other")
    app.publish("news", {"id": "y"}, type="kit.done")
    app.put_object("files", "in/a.txt", "text")
    app.put_object("files", "out/a.txt", "text")
    assert app.fire("nightly", "2026-07-01T02:30:00+02:00") == "2026-07-01T00:30:00.000Z"
    app.settle()
    assert app.logs("tell").one().message == "done: y"
    assert app.logs("stored").one().message == "text"
    assert app.logs("nightly").one().message == "it is 2026-07-01T00:30:00.000Z"
    assert app.waiting("jobs").one().json() == {"id": "bob"}
    with pytest.raises(ValueError, match=r"'30 2 \* \* \*' in Europe/Berlin does so next at 2026-"):
        app.fire("nightly", "2026-07-01T03:00:00+02:00")


def test_a_batch_says_what_becomes_of_each(app) -> None:
    for body in ("now", "later", "never"):
        app.send("lines", body)
    app.settle()
    first = app.invocations("each").one()
    assert sorted(first.outcomes.values()) == ["again", "dead", "done"]
    assert list(first.delays.values()) == [90.0]
    assert app.dead_letters("lines").one().reason == "handler"
    app.clock.advance("89s")
    assert len(app.invocations("each")) == 1
    app.clock.advance(timedelta(seconds=1))
    assert len(app.invocations("each")) == 2


def test_an_ordered_queue_waits_behind_a_failure(app) -> None:
    app.fail("in-order")
    for number in range(3):
        app.send("ordered", str(number), key="a")
    app.send("ordered", "other", key="b")
    app.settle()
    assert [line.message for line in app.logs("in-order")][-1] == "other"
    app.drain()
    assert [line.message for line in app.logs("in-order") if line.level == "info"] == [
        "other", "0", "1", "2",
    ]  # fmt: skip


# The clock


def test_the_clock_stands_still(app) -> None:
    before = app.clock.now
    app.send("jobs", {"id": "ada"}, delay=1)
    time.sleep(0.02)
    assert app.clock.now == before
    app.settle()
    assert app.waiting("jobs")


def test_time_passes_in_its_order(app) -> None:
    app.clock.freeze("2027-03-27T00:00:00+01:00")
    app.send("jobs", {"id": "ada"}, delay=900)
    # 28 March has no 2:30 in Berlin.
    app.clock.advance("2d 3h")
    assert [line.message for line in app.logs("nightly")] == [
        "it is 2027-03-27T01:30:00.000Z",
        "it is 2027-03-29T00:30:00.000Z",
    ]
    assert app.invocations()[0].function == "work"
    app.clock.advance_to("2027-03-30T12:00:00Z")
    assert app.clock.now.isoformat() == "2027-03-30T12:00:00+00:00"
    assert len(app.invocations("nightly")) == 3
    with pytest.raises(ValueError, match="time does not go back"):
        app.clock.advance_to("2027-03-30T11:00:00Z")
    with pytest.raises(ValueError, match="first of all"):
        app.clock.freeze("2027-03-30T11:00:00Z")
    with pytest.raises(ValueError, match="is no duration"):
        app.clock.advance("an hour")
    with pytest.raises(ValueError, match="no time zone"):
        app.clock.advance_to("2028-03-30T11:00:00")


def test_a_lease_of_a_crash_ends_with_time(app) -> None:
    app.crash("work", after=True)
    app.send("jobs", {"id": "ada"})
    app.settle()
    assert app.table("done").get("ada")
    assert app.invocations("work").one().status == "crash"
    app.drain()
    # The record of the first was still somebody's when the second began (5 s beyond the timeout).
    assert [each.status for each in app.invocations("work")] == ["crash", "ok"]
    assert len(app.events("news")) == 2


def test_records_of_idempotency_expire(app) -> None:
    app.send("jobs", {"id": "ada"}, dedup="same")
    app.send("jobs", {"id": "ada"}, dedup="same")
    app.settle()
    assert len(app.invocations("work")) == 2 and len(app.events("news")) == 1
    app.clock.advance("61m")
    app.send("jobs", {"id": "ada"}, dedup="same")
    app.settle()
    assert len(app.events("news")) == 2


# Faults


def test_failures_come_again_until_they_are_dead(app) -> None:
    app.fail("work", times=3)
    app.send("jobs", {"id": "ada"})
    app.settle()
    first = app.invocations("work").one()
    assert (first.status, first.error) == ("error", "Retryable: the test wants it to fail")
    app.clock.advance("9s")
    assert len(app.invocations("work")) == 1
    app.clock.advance("1s")
    assert len(app.invocations("work")) == 2
    app.drain()
    letter = app.dead_letters("jobs").one()
    assert (letter.reason, letter.attempts, letter.json()) == ("attempts", 3, {"id": "ada"})
    assert app.messages("jobs").one().state == "dead"
    with pytest.raises(AssertionError, match="dead letter of 'jobs': <Dead attempts after 3"):
        app.assert_settled()
    assert app.redrive("jobs") == 1
    app.settle()
    assert app.table("done").get("ada")
    app.assert_settled()


def test_errors_are_of_any_kind(app) -> None:
    app.fail("work", error=Throttled("later", retry_after=120))
    app.fail("work", error=Permanent("no"))
    app.send("jobs", {"id": "ada"})
    app.settle()
    assert list(app.invocations("work").one().delays.values()) == [120.0]
    app.drain()
    assert app.dead_letters("jobs").one().error == "Permanent: no"
    app.fail("hello", after=True)
    assert app.get("/hello/ada", key=app.key).status == 503
    assert len(app.messages("jobs")) == 2
    app.crash("hello")
    assert app.get("/hello/ada", key=app.key).status == 500


def test_a_handler_runs_out_of_time(app) -> None:
    app.hang("work")
    app.send("jobs", {"id": "ada"})
    app.drain()
    assert [each.status for each in app.invocations("work")] == ["timeout", "ok"]


def test_a_handler_that_does_not_end_is_ended(app) -> None:
    begun = time.monotonic()
    run = app.start("approve", {"id": "seven", "slow": True})
    app.settle()
    assert 0.9 < time.monotonic() - begun < 30
    assert app.invocations("step").one().status == "timeout"
    assert [event.error for event in run.history if event.error] == ["States.Timeout"]


def test_deadlines_hold_behind_handlers_that_ran_without_the_kit(app) -> None:
    before = signal.signal(signal.SIGALRM, deadline._on_alarm)
    try:
        app.start("approve", {"id": "seven", "slow": True})
        app.settle()
        assert app.invocations("step").one().status == "timeout"
        assert signal.getsignal(signal.SIGALRM) is deadline._on_alarm
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_broker_has_faults_too(app) -> None:
    app.broker.duplicate("jobs")
    app.broker.drop_answer("tell")
    app.broker.delay("jobs", "1h")
    app.send("jobs", {"id": "ada"})
    app.send("jobs", {"id": "bob"})
    app.settle()
    assert [each.json()["id"] for each in app.waiting("jobs")] == ["ada"]
    app.drain()
    assert len(app.invocations("work")) == 3
    assert len(app.events("news")) == 2
    assert [each.status for each in app.invocations("tell")] == ["lost", "ok", "ok"]


def test_faults_that_do_not_come_are_told(app) -> None:
    app.fail("work")
    with pytest.raises(AssertionError, match="1 faults of 'work' did not come"):
        app.assert_settled()
    with pytest.raises(ValueError, match="times is 0"):
        app.fail("work", times=0)


# Workflows


def test_a_workflow_waits_for_its_signal(app) -> None:
    app.fail("step")
    run = app.start("approve", {"id": "seven"})
    app.settle()
    assert run.state == "running" and not run.waiting
    app.drain()
    assert run.waiting == ("approved",)
    assert [each.status for each in app.invocations("step")] == ["error", "ok"]
    with pytest.raises(NotWaiting):
        run.signal("other")
    run.signal("approved", {"by": "ana"})
    app.settle()
    assert run.state == "succeeded"
    assert run.output == {"id": "seven", "asked": {"asked": "seven", "attempt": 2},
                          "by": {"by": "ana"}}  # fmt: skip
    assert run.steps("failed") == ["ask"] and "wait" in run.steps("waiting")
    assert app.runs("approve").one().id == run.id


def test_a_workflow_times_out_by_the_clock(app) -> None:
    run = app.start("approve", {"id": "seven"})
    app.drain()
    app.clock.advance("1d")
    assert run.state == "running"
    app.clock.advance("1d 1s")
    assert (run.state, run.error) == ("failed", "States.Timeout")
    app.crash("step")
    again = app.start("approve", {"id": "seven"})
    app.drain(timeouts=True)
    assert again.error == "States.Timeout" and again.steps("failed")[0] == "ask"
    third = app.start("approve", {"id": "seven"})
    third.cancel()
    assert third.state == "canceled"


# Settings and what is not there


def test_settings_of_one_test(app) -> None:
    app.config(greeting="Moin")
    app.environment("hello", NOTE="x")
    assert app.get("/hello/Ada", key=app.key).json()["said"] == "Moin, Ada!"
    with pytest.raises(LookupError, match="no setting 'greetin'; did you mean 'greeting'"):
        app.config(greetin="x")


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda app: app.send("job", 1), "no queue 'job'; did you mean 'jobs'? there are: jobs,"),
        (lambda app: app.fail("wrk"), "no function 'wrk'; did you mean 'work'?"),
        (lambda app: app.dead_letters("hello"), "no box of dead letters 'hello'; did you mean 'tell'? there are: jobs"),
        (lambda app: app.fire("work"), "no schedule function 'work'; there are: nightly"),
        (lambda app: app.table("non"), "no table 'non'; there are: done, once"),
        (lambda app: app.broker.delay("step", 1), "there are: jobs, lines, ordered, tell, nightly"),
    ],
)
def test_names_that_are_not_there(app, call, said) -> None:
    with pytest.raises(LookupError) as caught:
        call(app)
    assert said in str(caught.value)


def test_what_is_found_says_what_it_is(app) -> None:
    with pytest.raises(AssertionError, match="expected 1, found 0 messages of queue 'jobs'"):
        app.messages("jobs").one()
    app.send("jobs", {"id": "ada"})
    app.send("jobs", {"id": "bob"})
    with pytest.raises(AssertionError) as caught:
        app.messages("jobs").one()
    assert str(caught.value).splitlines() == [
        "expected 1, found 2 messages of queue 'jobs':",
        "  <Message waiting {\"id\":\"ada\"}>",
        "  <Message waiting {\"id\":\"bob\"}>",
    ]
    assert app.messages("jobs").where(lambda m: m.json()["id"] == "bob").one().state == "waiting"
    with pytest.raises(IndexError, match=r"there is no \[2\]: found 2 messages"):
        app.messages("jobs")[2]


def test_what_goes_in_circles_ends(app, monkeypatch) -> None:
    from portafaas.testing import loop

    monkeypatch.setattr(loop, "MOST", 3)
    for name in ("ada", "bob", "cyd", "dan"):
        app.send("jobs", {"id": name})
    with pytest.raises(AssertionError, match="nothing is settled after 3 rounds"):
        app.settle()


# The same, elsewhere


def test_an_application_without_pytest() -> None:
    from pathlib import Path

    from portafaas.testing import application

    with application(Path(__file__).with_name("portafaas.yaml")) as app:
        app.fire("nightly")
        app.settle()
        assert app.logs("nightly").one().level == "info"
        folder = app.folder
        assert folder.exists()
    assert not folder.exists()


@pytest.mark.portafaas(processes=True)
def test_functions_in_processes_of_their_own(app) -> None:
    import kit_handlers  # type: ignore[import-not-found]

    seen = len(kit_handlers.SEEN)
    app.fail("work", error=Permanent("no"), times=1)
    app.crash("tell")
    app.get("/hello/ada", key=app.key)
    app.drain()
    assert app.dead_letters("jobs").one().error == "Permanent: no"
    app.redrive("jobs")
    app.drain()
    assert [each.status for each in app.invocations("tell")] == ["crash", "ok"]
    assert app.logs("work").last().fields["attempt"] == 1
    assert len(kit_handlers.SEEN) == seen

    class Local(Exception):
        pass

    app.fail("hello", error=Local())
    with pytest.raises(TypeError, match="cannot get into the function's process"):
        app.get("/hello/ada", key=app.key)
    app._loop.faults.clear()
    run = app.start("approve", {"id": "seven"})
    app.drain()
    assert run.waiting
