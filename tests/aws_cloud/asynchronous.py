"""Lambda's asynchronous invocations: retries, destinations; and Scheduler's firing.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
In the server's process only. Unlike AWS there is no delay before a retry.
"""

from __future__ import annotations

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from tests.aws_cloud.functions import Functions
from tests.aws_cloud.world import ACCOUNT, World


def stamp() -> str:
    """Return the time as AWS's records have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Asynchronous:
    """Accepts events and invokes functions with them, as often as their configuration says."""

    def __init__(self, world: World, functions: Functions) -> None:
        self._world = world
        self._functions = functions
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="async")
        self._waiting = 0
        self._guard = threading.Lock()
        world.pending.append(self._pending)

    def submit(self, function: Any, event: Any, reason: str) -> None:
        """Have *function*, moto's object, invoked with *event*; returns at once."""
        with self._guard:
            self._waiting += 1
        self._world.touch()
        self._pool.submit(self._deliver, function, event, reason)

    def _pending(self) -> list[str]:
        return [f"{self._waiting} asynchronous invocations"] if self._waiting else []

    def _deliver(self, function: Any, event: Any, reason: str) -> None:
        try:
            # Accepted events are as JSON has them.
            event = json.loads(json.dumps(event))
            config = function.event_invoke_config[0].response() if function.event_invoke_config else {}
            times = 1 + int(config.get("MaximumRetryAttempts", 2))
            ok, value, count = False, None, 0
            while count < times and not ok:
                count += 1
                ok, value = self._functions.invoke(function, event, reason)
            wanted = config.get("DestinationConfig", {}).get("OnSuccess" if ok else "OnFailure", {})
            if wanted.get("Destination"):
                self._report(function, event, value, wanted["Destination"], count, ok)
        except Exception as exc:
            self._world.invocations.append(
                {"function": function.function_name, "reason": reason, "event": event, "ok": False,
                 "value": {"errorType": "Cloud", "errorMessage": repr(exc)}, "log": ""}
            )  # fmt: skip
            raise
        finally:
            with self._guard:
                self._waiting -= 1
            self._world.touch()

    def _report(
        self, function: Any, event: Any, value: Any, destination: str, count: int, ok: bool
    ) -> None:
        record = {
            "version": "1.0",
            "timestamp": stamp(),
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "functionArn": f"{function.function_arn}:$LATEST",
                "condition": "Success" if ok else "RetriesExhausted",
                "approximateInvokeCount": count,
            },
            "requestPayload": event,
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                **({} if ok else {"functionError": "Unhandled"}),
            },
            "responsePayload": value,
        }
        send_record(self._world, function, destination, record)

    def close(self) -> None:
        """Start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def send_record(world: World, function: Any, destination: str, record: dict[str, Any]) -> None:
    """Send *record* to a queue or topic with the function's role, as Lambda does."""
    _, _, service, region, account, name = destination.split(":", 5)
    client = world.client(service, region, function.function_name)
    if service == "sqs":
        url = f"{world.endpoint}/{account}/{name}"
        client.send_message(QueueUrl=url, MessageBody=json.dumps(record))
    elif service == "sns":
        client.publish(TopicArn=destination, Message=json.dumps(record))
    else:
        raise NotImplementedError(f"destination {destination}")


def fire(world: World, name: str, group: str, time: str) -> None:
    """Do what EventBridge Scheduler does when the schedule's time has come.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    from moto.scheduler.models import scheduler_backends

    for region, backend in scheduler_backends[ACCOUNT].items():
        schedules = backend.schedule_groups.get(group)
        if schedules is None or name not in schedules.schedules:
            continue
        schedule = schedules.schedules[name]
        target = schedule.target
        # Attributes are replaced as text.
        text = target.get("Input") or "{}"
        for attribute, value in {
            "scheduled-time": time,
            "execution-id": uuid.uuid4().hex[:16],
            "attempt-number": "1",
            "schedule-arn": schedule.arn,
        }.items():
            text = text.replace(f"<aws.scheduler.{attribute}>", value)
        _, _, service, _, account, queue = target["Arn"].split(":", 5)
        if service != "sqs":
            raise NotImplementedError(f"a schedule's target {target['Arn']}")
        client = world.client("sqs", region, f"schedule:{name}")
        client.send_message(QueueUrl=f"{world.endpoint}/{account}/{queue}", MessageBody=text)
        return
    raise KeyError(f"no schedule {group}/{name}")
