"""What the bridge does with a failure: by its variables, the policy and the platform's count."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from portafaas.plan import BuildPlan, FunctionPlan, QueuePlan, QueueTrigger, Retry
from portafaas.runtime.function import Function
from portafaas.runtime.message import Message
from portafaas_gcp.lowering import lower
from portafaas_gcp.runtime import rest, tasks
from portafaas_gcp.runtime.settlement import Settlement, event_message, pace

POLICY = {"attempts": 5, "backoff": "exponential", "initial": 2.0, "max": 30.0, "jitter": True,
          "max_age": 86_400.0}  # fmt: skip


def _function(kind: str = "queue", **policy: Any) -> Function:
    return Function(
        {
            "name": "do-it", "service": "s", "kind": kind, "handler": "m:a", "timeout": 9,
            "memory": 256, "source": "/s", "trigger": {"queue": "jobs", "ordered": False},
            "retry": {**POLICY, **policy},
        }
    )  # fmt: skip


class _Context:
    left = 8.0

    def remaining(self) -> float:
        return self.left


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the calls of Google's APIs; each is answered with 200."""
    found: list[Any] = []

    def call(method: str, url: str, what: str, body: Any = None, **more: Any) -> Any:
        found.append((url, body))
        return 200, {}

    monkeypatch.setattr(rest, "call", call)
    monkeypatch.setattr(time, "sleep", lambda seconds: found.append(seconds))
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    return found


def _settlement(function: Function, count: int = 1) -> Settlement:
    message = {"data": "eA==", "attributes": {"a": "b"}, "orderingKey": "k", "messageId": "7"}
    context: Any = _Context()
    return Settlement(function, context, message, count)


def _item(attempt: int = 1) -> Message:
    return Message("7", b"x", attempt=attempt, time="2026-11-28T10:00:00.000Z")


@pytest.mark.parametrize(
    "retry",
    [
        Retry(),
        Retry(backoff="fixed", initial=7, maximum=60),
        Retry(initial=100, maximum=3600),
        Retry(backoff="fixed", initial=900),
        Retry(initial=90, maximum=60),
    ],
)
def test_the_pace_is_the_one_that_is_deployed(retry: Retry) -> None:
    function = FunctionPlan("do-it", "m", "a", QueueTrigger("jobs"), retry=retry)
    plan = BuildPlan("s", "", "3.12", "x86_64", (function,), queues=(QueuePlan("jobs"),))
    [deployed] = lower(plan).deployments
    policy = deployed.binding["trigger"]["subscription"]["retryPolicy"]
    given = {"initial": retry.initial, "backoff": retry.backoff, "max": retry.maximum}
    assert pace(given, 1) == float(policy["minimumBackoff"][:-1])
    assert pace(given, 99) == float(policy["maximumBackoff"][:-1])
    assert pace(given, 2) <= 2 * pace(given, 1)


def test_nothing_is_done_where_nothing_is_known(calls: list[Any]) -> None:
    settlement = _settlement(_function())
    assert settlement.again([(_item(), 900.0)]) == ()
    assert settlement.bury([(_item(), object())]) == ()  # type: ignore[list-item]
    assert calls == []


def test_what_the_platform_does_is_left_to_it(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAFAAS_SOURCE_DO_IT", "projects/p/topics/jobs")
    function = _function()
    assert _settlement(function).again([(_item(), 2.0)]) == ()
    assert _settlement(function, 3).again([(_item(3), 8.0)]) == ()
    # A copy: five deliveries, of which Pub/Sub has counted one.
    assert calls == []
    monkeypatch.setenv(tasks.QUEUE, "projects/p/locations/l/queues/q")
    monkeypatch.setenv(tasks.ACCOUNT, "a@b")
    assert _settlement(function, 1).again([(_item(5), 30.0)]) == ("7",)
    [(url, body)] = calls
    assert url == "https://cloudtasks.googleapis.com/v2/projects/p/locations/l/queues/q/tasks"
    request = body["task"]["httpRequest"]
    assert request["url"] == "https://pubsub.googleapis.com/v1/projects/p/topics/jobs:publish"
    [copy] = json.loads(base64.b64decode(request["body"]))["messages"]
    assert copy == {
        "data": "eA==",
        "orderingKey": "k",
        "attributes": {
            "a": "b",
            "pf-id": "7",
            "pf-attempt": "5",
            "pf-sent": "2026-11-28T10:00:00.000Z",
        },
    }


def test_a_copy_of_a_topic_is_for_one_function(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAFAAS_SOURCE_DO_IT", "projects/p/topics/news")
    monkeypatch.setenv(tasks.QUEUE, "projects/p/locations/l/queues/q")
    _settlement(_function("topic")).again([(_item(), 99.0)])
    content = json.loads(base64.b64decode(calls[0][1]["task"]["httpRequest"]["body"]))
    assert content["messages"][0]["attributes"]["pf-to"] == "do-it"


@pytest.mark.parametrize(("seconds", "left", "waits"), [
    (2.0, 8.0, []), (5.0, 8.0, [3.0]), (900.0, 8.0, [7.0]), (900.0, 0.5, [0.0]),
])  # fmt: skip
def test_in_order_the_bridge_waits(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch, seconds: float, left: float,
    waits: list[float],
) -> None:  # fmt: skip
    """For what the retry policy lacks, as long as there is time for an answer."""
    monkeypatch.setenv("PORTAFAAS_SOURCE_DO_IT", "ordered")
    monkeypatch.setattr(_Context, "left", left)
    assert _settlement(_function()).again([(_item(), seconds)]) == ()
    assert calls == waits


def test_a_task_that_was_made_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from portafaas.runtime.resources import ResourceError

    monkeypatch.setenv(tasks.QUEUE, "projects/p/locations/l/queues/q")
    for status, fails in ((200, False), (409, False), (403, True), (503, True)):
        monkeypatch.setattr(rest, "call", lambda *a, status=status, **k: (status, {}))
        if not fails:
            tasks.publish_later("projects/p/topics/t", {}, 5)
            continue
        with pytest.raises(ResourceError) as caught:
            tasks.publish_later("projects/p/topics/t", {}, 5)
        assert caught.value.retryable is (status == 503)


def test_an_event_is_kept_in_the_form_that_the_bridge_reads() -> None:
    from portafaas_gcp.runtime.delivery import open_delivery

    for data in (b"\x00\xff", {"a": "\u00fc"}):
        outer = {"id": "1", "type": "t", "subject": "x" * 3000}
        message = event_message(outer, data)
        content = base64.b64decode(message["data"])
        environ = {"CONTENT_TYPE": message["attributes"]["content-type"]}
        found, read = open_delivery(environ, content)
        assert read == data and {name: found[name] for name in outer} == outer


def test_failures_need_no_client_library(shipped: Path) -> None:
    """Bridges load nothing before a failure, and nothing of Google's after it."""
    code = (
        f"import sys; sys.path.insert(0, {str(shipped)!r}); "
        "import portafaas_gcp.runtime.queue, portafaas_gcp.runtime.topic; "
        "before = [m for m in 'google http json base64 urllib'.split() if m in sys.modules]; "
        "import portafaas_gcp.runtime.tasks, portafaas_gcp.runtime.rest; "
        "print(before, 'google' in sys.modules, 'portafaas.runtime.recovery' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[] False False\n"
