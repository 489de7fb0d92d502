"""Task handlers that answer as a plan says, and write down how they were called.

The folder named by ``PORTAFAAS_FLOW_PLAN`` has ``plan.json``:
``{workflow: {"case": name, "scripts": {function: script}}}``, and gets ``ledger.jsonl``, one JSON object a call, in the order of their beginnings. A script is one of

* ``{"calls": [answer, ...]}``: by the number of the function's call in the case; only where
  one call follows another.
* ``{"by": [{"input": value, "answers": [answer, ...]}]}``: by input, then by the number of the call
  with that input. Branches and items do not disturb each other.
* ``{"drawn": seed, "fails": percent}``: a function of seed, function, step, input and attempt alone.

An answer is ``{"ok": value}``, ``{"error": name, "cause": text}`` or ``{"exit": status}`` (the process
ends), with ``"seconds"`` that it takes. What a script does not say is ``{"ok": {"did": function}}``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

#: Names of the errors that a drawn answer may be.
ERRORS = ("Declined", "Busy", "Gone")


#: Errors whose cause is the engine's own text: nothing may depend on it.
MADE = (
    "States.Runtime", "States.DataLimitExceeded", "States.TaskFailed", "States.Timeout",
    "States.NoChoiceMatched", "Map.TooManyItems", "Loop.LimitExceeded",
)  # fmt: skip


def plain(value: Any) -> Any:
    """Return *value* without the causes that engines make."""
    if isinstance(value, dict):
        made = value.get("Error") in MADE
        return {k: "" if made and k == "Cause" else plain(v) for k, v in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def canonical(value: Any) -> str:
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"))


def answer_of(
    script: Any, function: str, step: str, input: Any, attempt: int, before: list[str]
) -> dict[str, Any]:
    """Return the answer; *before* has the canonical inputs of the function's calls until now."""
    script = script or {}
    if "drawn" in script:
        return drawn(script["drawn"], script["fails"], function, step, input, attempt)
    answers: list[Any] = []
    place = 0
    if "calls" in script:
        answers, place = script["calls"], len(before)
    for rule in script.get("by", ()):
        if canonical(rule["input"]) == canonical(input):
            answers, place = rule["answers"], before.count(canonical(input))
            break
    if place < len(answers):
        found: dict[str, Any] = answers[place]
        return found
    return {"ok": {"did": function}}


def drawn(
    seed: int, fails: int, function: str, step: str, input: Any, attempt: int
) -> dict[str, Any]:
    """Return an answer that looks random and depends on nothing but the arguments."""
    text = canonical([seed, function, step, input, attempt])
    dice = hashlib.sha256(text.encode()).digest()
    if dice[0] * 100 < fails * 256:
        return {"error": ERRORS[dice[1] % 3], "cause": f"because {dice[2] % 4}"}
    return {
        "ok": {
            "n": dice[3] % 6,
            "flag": dice[4] % 2 == 0,
            "word": "abc"[dice[5] % 3],
            "list": [byte % 4 for byte in dice[7 : 7 + dice[6] % 4]],
        }
    }


def called(function: str, task: Any) -> Any:
    folder = Path(os.environ["PORTAFAAS_FLOW_PLAN"])
    plan = json.loads((folder / "plan.json").read_text())
    mine = plan.get(task.workflow) or {"case": "", "scripts": {}}
    family = {name for name, one in plan.items() if one["case"] == mine["case"]}
    entry = {
        "function": function, "input": task.input, "attempt": task.attempt, "step": task.step,
        "workflow": task.workflow, "run": task.run, "key": task.key, "time": time.time(),
    }  # fmt: skip
    with (folder / "ledger.jsonl").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        earlier = [json.loads(line) for line in file]
        file.write(json.dumps(entry) + "\n")
        file.flush()
    before = [
        canonical(one["input"])
        for one in earlier
        if one["function"] == function and one["workflow"] in family
    ]
    answer = answer_of(
        mine["scripts"].get(function), function, task.step, task.input, task.attempt, before
    )
    if "seconds" in answer:
        time.sleep(answer["seconds"])
    if "exit" in answer:
        os._exit(answer["exit"])
    if "error" in answer:
        raise type(answer["error"], (Exception,), {})(answer.get("cause", ""))
    return answer["ok"]


def one(task: Any, context: Any) -> Any:
    return called("one", task)


def two(task: Any, context: Any) -> Any:
    return called("two", task)


def three(task: Any, context: Any) -> Any:
    return called("three", task)


def undo(task: Any, context: Any) -> Any:
    return called("undo", task)


def unmake(task: Any, context: Any) -> Any:
    return called("unmake", task)


def slow(task: Any, context: Any) -> Any:
    return called("slow", task)
