"""Whatever a handler does, its caller gets the specified answer and the next caller a good one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.vendor

FINE = {"status": 200, "headers": {"content-type": "application/json"}, "cookies": [],
        "body": '{"fine": true}'}  # fmt: skip
TIMEOUT = 1.0
#: Whoever waited for what a handler does or leaves behind would wait for 30 s or more. The platforms
#: are told 5 s over the function's own timeout (D-2); the rest is for a busy machine.
LATE = 20.0


def _fine(service, ask, function="act", path="/act"):
    answer = service.deliver(function, ask(f"{path}/fine"))
    assert answer.outcome == FINE, answer.logs
    assert answer.seconds < LATE


# H-17, H-23, H-27: the same answer on every target and locally.
RAISES = (
    "recursion", "memory", "unprintable", "surrogate", "long-message", "stop", "cancelled",
    "timeout-error", "group", "chain", "interrupt", "generator-exit", "breaks-context",
)  # fmt: skip
ANSWERS_500 = (
    "nested", "circular", "surrogate-header", "surrogate-cookie", "wide-header",
    "huge-number", "tuple-keys", "bool-status", "huge-status", "handler-class",
)  # fmt: skip
ANSWERS_200 = ("surrogate-json", "nan", "number-keys", "coroutine", "breaks-request")
CHANGES = (
    "thread-raises", "strange-log", "change-directory", "clear-environment", "clear-path",
    "forget-modules", "change-signals", "mask-signals", "strict-warnings", "change-locale",
    "trace",
    # Last: what follows on the same instance has no log.
    "no-logging",
)  # fmt: skip


def _same(service, neutral, ask, what, status):
    stimulus = ask(f"/act/{what}")
    answer = service.deliver("act", stimulus)
    assert answer.outcome["status"] == status, (answer.outcome, answer.logs[-3000:])
    assert answer.outcome == neutral.deliver("act", stimulus)
    _fine(service, ask)
    return answer


@pytest.mark.parametrize("what", RAISES + ANSWERS_500)
def test_failures_are_the_same_500(service, neutral, ask, what):
    answer = _same(service, neutral, ask, what, 500)
    problem = {"type": "about:blank", "title": "Internal Server Error", "status": 500}
    assert json.loads(answer.outcome["body"]) == problem
    assert "handler failed" in answer.logs


def test_text_that_is_no_unicode(service, ask):
    assert service.deliver("act", ask("/act/surrogate-text")).outcome["status"] == 500


@pytest.mark.parametrize("what", ANSWERS_200)
def test_odd_answers_are_the_same_200(service, neutral, ask, what):
    _same(service, neutral, ask, what, 200)


@pytest.mark.parametrize("what", CHANGES)
def test_changes_of_the_process_do_no_harm(service, neutral, ask, what):
    try:
        _same(service, neutral, ask, what, 200)
        # A deadline must hold and a failure be answered in what is left of the process.
        assert service.deliver("act", ask("/act/memory")).outcome["status"] == 500
        if what in ("change-signals", "mask-signals", "trace"):
            slow = service.deliver("act", ask("/act/sleep"))
            assert slow.outcome["status"] in (500, 504)
            assert slow.seconds < LATE
        _fine(service, ask)
    finally:
        service.end("act")
        neutral.runner.close()


@pytest.mark.parametrize("what", ["close-errors", "close-descriptors", "closed-and-raises"])
def test_closed_output_costs_the_log_at_most(service, ask, what):
    # The vendors' own loggers write there too and may fail, or end, at the first thing to say.
    try:
        answer = service.deliver("act", ask(f"/act/{what}"))
        assert answer.outcome["status"] in (200, 500)
        assert answer.seconds < LATE
        if answer.outcome["status"] == 200:
            assert service.deliver("act", ask("/act/fine")).seconds < LATE
        assert service.deliver("act", ask("/act/memory")).outcome["status"] >= 500
        service.end("act")
        _fine(service, ask)
    finally:
        service.end("act")


@pytest.mark.parametrize("what", ["exit-now", "kill", "abort", "exit-in-thread"])
def test_the_end_of_the_process_is_an_error_and_no_more(service, ask, what):
    """H-30."""
    before = json.loads(service.deliver("act", ask("/act/pid")).outcome["body"])["pid"]
    answer = service.deliver("act", ask(f"/act/{what}"))
    assert answer.outcome["status"] >= 500
    assert answer.results[0].error is not None
    assert answer.results[0].error.kind == "exit"
    assert answer.seconds < LATE
    after = json.loads(service.deliver("act", ask("/act/pid")).outcome["body"])["pid"]
    assert after != before
    _fine(service, ask)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        *(("act", what) for what in ("sleep", "spin", "lock", "subprocess-wait", "read-pipe")),
        *(("act-many", what) for what in ("sleep", "spin", "new-loop")),
    ],
)
def test_hangs_end_with_the_timeout(service, ask, function, what):
    """D-3, D-4, H-28."""
    prefix = "/act" if function == "act" else "/many"
    _fine(service, ask, function, prefix)
    answer = service.deliver(function, ask(f"{prefix}/{what}"))
    assert answer.outcome["status"] == 504, answer.logs
    assert json.loads(answer.outcome["body"])["status"] == 504
    assert TIMEOUT - 0.1 < answer.seconds < LATE
    assert "exceeded its timeout" in answer.logs
    _fine(service, ask, function, prefix)


@pytest.mark.parametrize("what", ["hold-the-interpreter", "own-alarm"])
def test_what_nobody_in_the_process_can_end_the_platform_ends(service, ask, what):
    _fine(service, ask)
    try:
        answer = service.deliver("act", ask(f"/act/{what}"))
        assert answer.outcome["status"] >= 500
        assert answer.seconds < LATE
        _fine(service, ask)
    finally:
        service.end("act")


@pytest.mark.parametrize("what", ["fork", "child", "threads"])
def test_what_is_left_behind_does_no_harm_and_ends_with_the_instance(service, ask, what):
    answer = service.deliver("act", ask(f"/act/{what}"))
    assert answer.outcome["status"] == 200, answer.logs
    assert answer.seconds < LATE
    _fine(service, ask)
    begun = time.monotonic()
    service.end("act")
    assert time.monotonic() - begun < LATE
    left = json.loads(answer.outcome["body"]).get("pid")
    if left is not None:
        assert _gone(left)
    _fine(service, ask)


def _gone(pid: int) -> bool:
    ends = time.monotonic() + LATE
    while time.monotonic() < ends:
        try:
            # A zombie is dead; whoever is its parent has only not looked yet.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    os.kill(pid, 9)
    return False


@pytest.mark.parametrize("what", ["long-log", "one-long-line", "many-lines", "binary-output"])
def test_any_output_is_taken(service, neutral, ask, what):
    answer = _same(service, neutral, ask, what, 200)
    assert answer.seconds < LATE
    if what == "one-long-line":
        assert answer.logs.count("z") >= 2_000_000
    if what == "many-lines":
        assert f"{'x' * 60} 1999\n" in answer.logs.replace("\r", "")


DEEP = (
    b"[" * 200_000,
    b"[" * 200_000 + b"]" * 200_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
)


@pytest.mark.parametrize("number", range(len(DEEP)))
def test_json_nested_too_deeply_is_answered(service, neutral, ask, number):
    """H-9: what ``json()`` cannot read is the client's mistake."""
    stimulus = ask("/act/deep-json", DEEP[number])
    answer = service.deliver("act", stimulus)
    assert answer.outcome["status"] in (400, 500), answer.logs[-2000:]
    assert answer.outcome == neutral.deliver("act", stimulus)
    stimulus = ask("/read", DEEP[number])
    answer = service.deliver("read", stimulus)
    assert answer.outcome["status"] == 500
    assert answer.outcome == neutral.deliver("read", stimulus)
    _fine(service, ask)


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("sleep", 504), ("swallows", 504), ("exit", 500), ("cancelled", 500),
        ("recursion", 500), ("task-left", 200), ("task-raises", 200), ("result-is-coroutine", 500),
    ],
)  # fmt: skip
def test_async_handlers(service, neutral, ask, what, status):
    """D-5, G-12."""
    stimulus = ask(f"/async/{what}")
    _fine(service, ask, "async-act", "/async")
    answer = service.deliver("async-act", stimulus)
    assert answer.outcome["status"] == status, answer.logs
    assert answer.seconds < LATE
    assert answer.outcome == neutral.deliver("async-act", stimulus)
    _fine(service, ask, "async-act", "/async")


@pytest.mark.parametrize("what", ["exit-now", "stops-the-loop"])
def test_async_handlers_that_end_the_process_or_its_loop(service, ask, what):
    answer = service.deliver("async-act", ask(f"/async/{what}"))
    assert answer.outcome["status"] >= 500 or what == "stops-the-loop"
    assert answer.seconds < LATE
    service.end("async-act")
    _fine(service, ask, "async-act", "/async")
