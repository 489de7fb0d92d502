"""The lines that ``portafaas dev`` prints of what it does."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from portafaas.dev.lines import about, brief
from portafaas.dev.logs import Console, entry_of
from portafaas.dev.record import Invocation

SPAN = [{"name": "work"}]


def _queue(status: str, response: Any, error: str = "", **more: Any) -> Invocation:
    response = {"ids": ["a"], **response}
    more = {"spans": SPAN, "box": "queue/jobs", **more}
    return Invocation("work", "queue", 0.0, 0.21, status, error=error, response=response, **more)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (_queue("ok", {}), "queue/jobs done 210 ms"),
        (_queue("ok", {"ids": ["a", "b"]}), "queue/jobs (2 messages) done 210 ms"),
        (_queue("ok", {"twice": ["a"]}), "queue/jobs done 210 ms, is delivered once more"),
        (
            _queue("again", {"again": {"a": 1.0}}, "ValueError('no')"),
            "queue/jobs failed after 210 ms, comes again in 1 s: ValueError('no')",
        ),
        (
            _queue("crash", {"again": {"a": 0.0}}, "status 4", attempt=2),
            "queue/jobs, attempt 2 failed after 210 ms (crash), comes again at once: status 4",
        ),
        (
            _queue("timeout", {"again": {"a": 5400.0}}, "late"),
            "queue/jobs failed after 210 ms (timeout), comes again in 90 min: late",
        ),
        (
            _queue("dead", {"dead": {"a": "attempts"}}, "no", attempt=3),
            "queue/jobs, attempt 3 failed after 210 ms, dead letter (attempts): no",
        ),
        # The handler was not called.
        (
            _queue("dead", {"dead": {"a": "poison"}}, "no JSON", spans=[]),
            "queue/jobs dead letter (poison): no JSON",
        ),
        (_queue("again", {"held": ["a"]}), "queue/jobs, waits for an earlier one"),
        (
            _queue(
                "dead",
                {
                    "ids": ["a", "b", "c", "d", "e"], "again": {"a": 1.0, "b": 2.5},
                    "dead": {"c": "handler"}, "held": ["d"],
                },
                "no",
            ),
            "queue/jobs (5 messages) failed after 210 ms, 2 come again in 2.5 s, "
            "1 dead letter (handler), 1 waits for an earlier one: no",
        ),
        (
            Invocation("tick", "schedule", 0.0, 0.21, box="function/tick", response={"ids": ["a"]}),
            "schedule done 210 ms",
        ),
        (
            Invocation("step", "task", 0.0, 0.21, "error", box="workflow/w", error="E: cause",
                       response={"error": "E", "cause": "cause"}),
            "workflow/w failed after 210 ms: E: cause",
        ),
        (
            Invocation("web", "http", 0.0, 0.21, "crash", error="status 3",
                       request={"http": {"method": "GET", "path": "/a", "query": "b=1"}},
                       response={"status": 502}),
            "GET /a?b=1 502 210 ms crash: status 3",
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_an_invocation(one: Invocation, text: str) -> None:
    assert about(one) == text
    out = io.StringIO()
    Console(out).invocations([one])
    assert out.getvalue().endswith(f" {text}\n")
    out = io.StringIO()
    Console(out, json_lines=True).invocations([one])
    assert json.loads(out.getvalue())["message"] == text


def test_metrics_of_a_package_for_aws_are_taken_apart() -> None:
    line = (
        '{"_aws":{"Timestamp":1500,"CloudWatchMetrics":[{"Namespace":"s","Dimensions":[["f"]],'
        '"Metrics":[{"Name":"orders","Unit":"Count"}]}]},"f":"x","orders":2}'
    )
    found = {"time": 1.5, "level": "INFO", "text": "metrics", "fields": {"orders": 2}}
    assert entry_of(line) == found
    odd = '{"_aws": 1}'
    assert entry_of(odd, 9.0) == {"time": 9.0, "level": "", "text": odd, "fields": {}}


TRACEBACK = """\
handler failed: ValueError('no')
Traceback (most recent call last):
  File "/venv/site-packages/portafaas/runtime/deliver.py", line 351, in run_messages
    result = handle(message, context)
             ^^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/me/shop/app.py", line 9, in work
    import broken
  File "<frozen importlib._bootstrap>", line 1176, in _find_and_load
  File "/home/me/shop/broken.py", line 1, in <module>
    raise ValueError("no")
ValueError: no"""


def test_tracebacks_have_the_frames_of_the_application() -> None:
    text = brief(TRACEBACK)
    assert text.splitlines() == [
        "handler failed: ValueError('no')",
        "Traceback (most recent call last):",
        '  File "/home/me/shop/app.py", line 9, in work',
        "    import broken",
        '  File "/home/me/shop/broken.py", line 1, in <module>',
        '    raise ValueError("no")',
        "ValueError: no",
    ]
    # Where there is nothing else, what there is stays.
    ours = "\n".join([*TRACEBACK.splitlines()[:5], "ValueError: no"])
    assert brief(ours) == ours
    assert brief("nothing\n  of the kind") == "nothing\n  of the kind"
