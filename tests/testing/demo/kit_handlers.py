"""Handlers of the kit's own tests."""

from __future__ import annotations

import time
from typing import Any

from portafaas.runtime import BatchResult, HttpError

#: What the test's own process sees.
SEEN: list[Any] = []


def hello(request, context):
    who = request.path_params["who"]
    if who == "nobody":
        raise HttpError(404, "nobody is there")
    if who == "broken":
        raise KeyError("broken")
    body = request.json() if request.body else None
    context.queues["jobs"].send({"id": who}, delay=int(request.query.get("delay", "0")))
    return {"said": f"{context.config['greeting']}, {who}!", "body": body}


def secret(request, context):
    return {"who": request.identity.subject, "role": request.identity.claims.get("role")}


def everything(request, context):
    return {"path": request.path, "query": request.raw_query, "method": request.method}


def work(message, context):
    SEEN.append(message.json())
    context.logger.info("working on %s", message.json()["id"], extra={"attempt": message.attempt})
    context.tables["done"].put({"id": message.json()["id"], "token": context.secrets["token"].get()})
    context.topics["news"].publish(message.json(), type="kit.done", subject=message.json()["id"])


def each(batch, context):
    result = BatchResult()
    for message in batch:
        if message.text == "later":
            result.retry(message, after=90)
        elif message.text == "never":
            result.dead_letter(message, "never")
    return result


each.__portafaas_batch__ = True  # type: ignore[attr-defined]


def in_order(message, context):
    context.logger.info("%s", message.text)


async def tell(event, context):
    context.logger.info("done: %s", event.data["id"])


def nightly(event, context):
    context.logger.info("it is %s", event.time)


def changed(event, context):
    context.logger.info("%s: %s", event.kind, event.new["id"])


def stored(event, context):
    context.logger.info("%s", context.buckets["files"].read(event.key).decode())


def step(task, context):
    if task.input.get("slow"):
        time.sleep(60)
    return {"asked": task.input["id"], "attempt": task.attempt}
