"""Does what it is told: ``{"do": [...]}`` has a word for each attempt, the last for all others."""

import json
import os
from pathlib import Path

from portafaas.runtime import BatchResult, Permanent, Throttled, batch_handler

SEEN = Path(os.environ.get("SEEN", os.devnull))


def note(function, item, **more):
    """Write down what was delivered, for the test."""
    facts = {"function": function, "id": item.id, "attempt": item.attempt, "key": item.key}
    facts["attributes"] = dict(item.attributes)
    with SEEN.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**facts, **more}) + "\n")


def obey(what, attempt):
    word = what[min(attempt, len(what)) - 1]
    if word == "fail":
        raise RuntimeError("it failed")
    if word == "permanent":
        raise Permanent("never")
    if word == "exit":
        os._exit(1)
    if word.startswith("later "):
        raise Throttled("not now", retry_after=float(word[6:]))


def work(message, context):
    note(context.function, message, body=message.text, queue=message.queue)
    obey(message.json()["do"], message.attempt)


@batch_handler
def batch(messages, context):
    result = BatchResult()
    for message in messages:
        note(context.function, message, body=message.text)
        match message.json()["do"]:
            case "after":
                if message.attempt == 1:
                    result.retry(message, after=30)
            case "bury":
                result.dead_letter(message, "not for us")
            case "drop":
                result.drop(message)
    return result


def hear(event, context):
    note(context.function, event, data=event.data)
    obey(event.data["hear"], event.attempt)


def listen(event, context):
    note(context.function, event, data=event.data)
    obey(event.data.get("listen", ["ok"]), event.attempt)


def file(event, context):
    note(context.function, event)
    obey(event.key.split("-"), event.attempt)


def row(event, context):
    note(context.function, event, new=event.new)
    obey(event.new["do"], event.attempt)


def tick(event, context):
    note(context.function, event, time=event.time)
    if not SEEN.with_name("fine").exists():
        raise RuntimeError("not yet")
