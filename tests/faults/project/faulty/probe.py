"""Does to each item what the plan says, and writes down what it did.

All of it lies in the folder FAULTS_FOLDER, outside of any broker:

| file | |
|---|---|
| ``plan.json`` | ``{function: {number: [step, ...]}}``: what happens the first, second, ... time |
| ``healed`` | if it is there, nothing goes wrong any more |
| ``ledger`` | one JSON line for each thing that happened, by every process, in order |
| ``turns/<function>-<number>`` | a byte for each time that a handler got an item of the plan |

A step that ends with ``*`` happens each time from then on.
"""

import contextlib
import json
import os
import sys
import time

from portafaas.runtime import Permanent, Throttled

FOLDER = os.environ.get("FAULTS_FOLDER", "")

_plans = {}
_ledger = None


class Refused(Exception):
    """What a handler raises that has no better word."""


def steps_of(function, number):
    if not _plans:
        with open(os.path.join(FOLDER, "plan.json")) as file:
            _plans.update(json.load(file))
    return _plans.get(function, {}).get(number, ())


def healed():
    return os.path.exists(os.path.join(FOLDER, "healed"))


def note(what, function, number, turn, **facts):
    """Append one line; a single write is never torn, nor lost with the process."""
    global _ledger
    if _ledger is None:
        _ledger = os.open(os.path.join(FOLDER, "ledger"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    line = {"e": what, "f": function, "n": int(number), "w": turn, "t": time.time(), **facts}
    os.write(_ledger, json.dumps(line).encode() + b"\n")


def turn_of(function, number):
    """Count how often *function* got item *number*, this time included, over all processes."""
    name = os.path.join(FOLDER, "turns", f"{function}-{number}")
    file = os.open(name, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    try:
        os.write(file, b".")
        return os.fstat(file).st_size
    finally:
        os.close(file)


def begin(function, item, context):
    """Note that *item* arrived; return its number, the turn and the step."""
    number = item.attributes["n"]
    steps = steps_of(function, number)
    turn = turn_of(function, number) if steps else 1
    note("begin", function, number, turn, a=item.attempt, i=item.id, k=item.key, p=os.getpid())
    if not steps or healed():
        return number, turn, ""
    step = steps[turn - 1] if turn <= len(steps) else steps[-1] if steps[-1][-1] == "*" else ""
    return number, turn, step.rstrip("*")


def before(step):
    """Go wrong before the side effect, if that is the step."""
    if step == "raise":
        raise Refused("before the side effect")
    if step == "system-exit":
        sys.exit(3)
    if step == "exit":
        os._exit(9)
    if step == "hang":
        time.sleep(600)
    if step == "throttled":
        raise Throttled("patience", retry_after=2)
    if step == "permanent":
        raise Permanent("never")


def after(step):
    """Go wrong after the side effect, if that is the step."""
    if step == "raise-after":
        raise Refused("after the side effect")
    if step == "exit-after":
        os._exit(9)
    if step == "hang-after":
        time.sleep(600)


@contextlib.contextmanager
def unsent(wanted):
    """End the process when an outbox has committed, and not sent yet."""
    if not wanted:
        yield
        return
    from portafaas.runtime import outbox

    outbox.relay = lambda *arguments: os._exit(9)
    yield


def read(item, number):
    """Read the body, which has to be that of item *number*; one that is no JSON raises."""
    if healed():
        # Whoever mends a handler makes it read what it could not.
        text = item.body if hasattr(item, "body") else item.data
        assert text, item
        return
    assert item.json()["n"] == int(number), item


def act(function, item, context):
    """Be a handler of one item."""
    number, turn, step = begin(function, item, context)
    before(step)
    read(item, number)
    note("effect", function, number, turn, k=item.key)
    after(step)
    note("end", function, number, turn)
