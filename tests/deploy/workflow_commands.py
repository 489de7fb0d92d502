"""``portafaas workflow`` from start to retry, by command: the same words and codes on every target."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.deploy.conftest import Shop
from tests.workflows.cases import Case, err, ok

WAITS = Case(
    "waits",
    {
        "a": {"task": "one", "input": "$.n", "result": "$.a"},
        "w": {"wait": {"signal": "go", "timeout": "300d"}, "result": "$.by"},
        "z": {"task": "two", "input": {"by": "$.by"}},
    },
    schemas={"": {"input": {"required": ["n"], "properties": {"n": {"type": "integer"}}}}},
)
SAGA = Case(
    "saga",
    {
        "a": {"task": "one", "result": "$.a", "compensate": {"task": "undo", "input": "$.a"}},
        "b": {"task": "two"},
    },
    answers={"one": [ok(5)] * 9, "two": [err("Declined", "no money")] * 9},
)
QUICK = Case(
    "quick",
    {"a": {"workflow": "inner", "result": "$.got"}},
    answers={"one": [ok({"ü": 1})] * 9},
    workflows={"inner": {"t": {"task": "one"}}},
)
CASES = [WAITS, SAGA, QUICK]


class Quick(Shop):
    """A shop whose commands are forked of one process with *modules*: there are many of them."""

    modules: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None

    def _run(self, words: tuple[str, ...], status: int, stdin: str = "") -> tuple[str, str]:
        if self.process is None:
            script = Path(__file__).with_name("forks.py")
            self.process = subprocess.Popen(
                [sys.executable, str(script), *self.modules], cwd=self.root, env=self.environ, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        files = {name: self.root.parent / f"command.{name}" for name in ("stdin", "out", "err")}
        files["stdin"].write_text(stdin)
        asked = {"words": self.arguments(words)[3:], **{name: str(at) for name, at in files.items()}}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        out = files["out"].read_text()
        said = out + files["err"].read_text()
        assert code == status, said
        assert "Traceback" not in said, said
        return out, said

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate()


def codes(answer: Any) -> list[str]:
    return [one["code"] for one in answer["diagnostics"]]


def until(shop: Any, workflow: str, run: str, holds: Any) -> Any:
    """Return the status once it is as it should be."""
    end = time.monotonic() + 60
    while True:
        found = shop.json("workflow", "status", workflow, run)
        if holds(found):
            return found
        assert time.monotonic() < end, found


def ended(found: Any) -> bool:
    return bool(found["state"] != "running")


def play(shop: Any) -> None:
    """Give all commands to the deployed :data:`CASES`; *shop* is who deployed them."""

    def start(workflow: str, input: Any) -> str:
        return str(shop.json("workflow", "start", workflow, "-i", json.dumps(input))["run"])

    def refused(*words: str) -> list[str]:
        return codes(shop.json("workflow", *words, status=1))

    # What cannot be started, starts nothing.
    assert refused("start", "waits", "-i", '{"n": "x"}') == ["PF8043"]
    assert refused("start", "nothing") == ["PF8040"]
    assert shop.json("workflow", "list", "waits") == []
    # To its end, by a signal.
    run = start("waits", {"n": 1})
    found = until(shop, "waits", run, lambda found: found["waiting"])
    assert (found["state"], found["waiting"], found["input"]) == ("running", ["go"], {"n": 1})
    assert refused("retry", "waits", run) == ["PF8042"]
    assert refused("signal", "waits", run, "other") == ["PF8041"]
    assert refused("signal", "waits", "nobody", "go") == ["PF8040"]
    shop("workflow", "signal", "waits", run, "go", "-i", '{"name": "Ana ü"}')
    found = until(shop, "waits", run, ended)
    assert (found["state"], found["output"]) == ("succeeded", {"did": "two"})
    assert found["started"] and found["ended"]
    # It has ended.
    assert refused("signal", "waits", run, "go") == ["PF8041"]
    assert refused("cancel", "waits", run) == ["PF8042"]
    # Not this workflow's run, and nobody's.
    assert refused("cancel", "saga", run) == ["PF8040"]
    for verb in ("status", "history", "cancel", "retry"):
        assert refused(verb, "waits", "nobody") == ["PF8040"], verb
    # Canceled, and once more.
    other = start("waits", {"n": 2})
    until(shop, "waits", other, lambda found: found["waiting"])
    shop("workflow", "cancel", "waits", other)
    found = until(shop, "waits", other, ended)
    assert (found["state"], found["output"], found["waiting"]) == ("canceled", None, [])
    assert refused("cancel", "waits", other) == ["PF8042"]
    assert refused("signal", "waits", other, "go") == ["PF8041"]
    again = str(shop.json("workflow", "retry", "waits", other)["run"])
    found = until(shop, "waits", again, lambda found: found["waiting"])
    assert found["input"] == {"n": 2}
    listed = {one["run"]: one["state"] for one in shop.json("workflow", "list", "waits")}
    assert listed == {run: "succeeded", other: "canceled", again: "running"}
    shop("workflow", "cancel", "waits", again)
    # Waited for; failed, and undone; with a sub-workflow.
    failed = shop.json("workflow", "start", "saga", "-i", "{}", "--wait", status=1)
    assert (failed["state"], failed["error"], failed["cause"]) == ("failed", "Declined", "no money")
    found = shop.json("workflow", "start", "quick", "-i", "{}", "--wait")
    assert (found["state"], found["output"]) == ("succeeded", {"got": {"ü": 1}})
    for workflow, one in (("waits", run), ("saga", failed["run"]), ("quick", found["run"])):
        assert shop.json("workflow", "history", workflow, one), workflow
