"""Lines of the functions' logs, from CloudWatch Logs.

Following asks again and again: the live tail of CloudWatch costs money by the minute.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from portafaas.deployment.contract import LogLine
from portafaas_aws.deployment.cloud import Cloud
from portafaas_aws.deployment.faults import code_of
from portafaas_aws.deployment.stack import nothing
from portafaas_aws.names import physical_name

#: Milliseconds that an event may come later than a younger one.
LATE = 60_000


def logs(cloud: Cloud, functions: Sequence[str], since: float, follow: bool) -> Iterator[LogLine]:
    """Yield the lines from *since* on; see :meth:`Engine.logs`."""
    # Exceptions cross each ``yield``, and only those of AWS are translated.
    with cloud.speaking("the logs cannot be read:"):
        start = max(0, int(since * 1000))
        groups = {name: f"/aws/lambda/{physical_name(cloud.plan, name)}" for name in functions}
        there = {name: group for name, group in groups.items() if _exists(cloud, group, start)}
        if not there and groups:
            raise nothing(cloud)
        if not follow:
            streams = [_events(cloud, name, group, start) for name, group in there.items()]
            yield from map(_line, heapq.merge(*streams, key=_order))
            return
        yield from _follow(cloud, groups, start)


def _follow(cloud: Cloud, groups: Mapping[str, str], start: int) -> Iterator[LogLine]:
    #: Ids of what was told, by their time: forgotten when nothing as old is asked for any more.
    told: dict[str, int] = {}
    while True:
        fresh = [
            event
            for name, group in groups.items()
            for event in _events(cloud, name, group, start)
            if event[1]["eventId"] not in told
        ]
        for event in sorted(fresh, key=_order):
            told[event[1]["eventId"]] = event[1]["timestamp"]
            yield _line(event)
        if told:
            start = max(start, max(told.values()) - LATE)
            told = {id: at for id, at in told.items() if at >= start}
        time.sleep(2 * cloud.poll)


Event = tuple[str, Mapping[str, Any]]


def _order(event: Event) -> tuple[int, str, str]:
    return event[1]["timestamp"], event[0], event[1]["eventId"]


def _exists(cloud: Cloud, group: str, start: int) -> bool:
    client = cloud.client("logs")
    try:
        client.filter_log_events(logGroupName=group, startTime=start, limit=1)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


def _events(cloud: Cloud, function: str, group: str, start: int) -> Iterator[Event]:
    """Yield a group's events, each once; pages may be empty, or repeat what was on the last."""
    pages = cloud.client("logs").get_paginator("filter_log_events")
    known: set[str] = set()
    try:
        for page in pages.paginate(logGroupName=group, startTime=start):
            fresh = [event for event in page["events"] if event["eventId"] not in known]
            known = {event["eventId"] for event in page["events"]}
            for event in sorted(fresh, key=lambda event: int(event["timestamp"])):
                yield function, event
    except Exception as exc:
        # While a stack comes up or goes, a group may not be there.
        if code_of(exc) != "ResourceNotFoundException":
            raise


def _line(event: Event) -> LogLine:
    function, facts = event
    at = datetime.fromtimestamp(facts["timestamp"] / 1000, UTC)
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return LogLine(stamp, function, facts["message"].rstrip("\n"))
