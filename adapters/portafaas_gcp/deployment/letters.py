"""Dead letters, which wait in subscriptions that nobody pulls from but this."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import quote

from portafaas.adapter.delivery import is_ordered
from portafaas.deployment.dead_letters import (
    Box,
    DeadLetter,
    DeadLetters,
    Redriven,
    dead_letter_boxes,
)
from portafaas.errors import nearest
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger
from portafaas.runtime import control
from portafaas.runtime.text import epoch_time
from portafaas_gcp import names
from portafaas_gcp.deployment.cloud import Cloud
from portafaas_gcp.deployment.failures import ApiError, failure
from portafaas_gcp.deployment.lease import Lease
from portafaas_gcp.deployment.reading import SOURCE, Found, read
from portafaas_gcp.deployment.redelivery import send

#: Messages of one publication.
CHUNK = 50
#: What is counted, and how many seconds back the newest number may be.
METRIC, WINDOW = "pubsub.googleapis.com/subscription/num_undelivered_messages", 900.0

# The class below has a method of the name.
list_of = list
_Chunk = list[Found]
_Failures = list[tuple[str, str]]


class _Place(NamedTuple):
    """A box: its topic and subscription as paths, whose letters they are, and if only theirs."""

    name: str
    subscription: str
    functions: tuple[FunctionPlan, ...]
    source: str
    shared: bool


class Letters(DeadLetters):
    """The dead letters of one service and stage."""

    def __init__(self, cloud: Cloud, plan: BuildPlan) -> None:
        self._cloud = cloud
        self._plan = plan

    def boxes(self) -> Sequence[Box]:
        """Return the boxes, with what Cloud Monitoring says that is in them, minutes ago.

        It says nothing of a subscription that others share, and nothing to who may not ask it.
        """
        found = [(kind, self._place(name)) for name, kind in dead_letter_boxes(self._plan)]
        names = [place.subscription.rpartition("/")[2] for _, place in found if not place.shared]
        counts = self._counts(names) if names else {}
        return [
            Box(place.name, kind, name, None if place.shared else counts.get(name))
            for kind, place in found
            for name in (place.subscription.rpartition("/")[2],)
        ]

    def _counts(self, subscriptions: Sequence[str]) -> Mapping[str, int]:
        """Return the newest numbers of messages that are not acknowledged.

        https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/list
        """
        now = time.time()
        wanted = ", ".join(json.dumps(name) for name in subscriptions)
        query = {
            "filter": f'metric.type = "{METRIC}" AND resource.type = "pubsub_subscription" AND '
            f"resource.labels.subscription_id = one_of({wanted})",
            "interval.startTime": epoch_time(now - WINDOW),
            "interval.endTime": epoch_time(now),
        }
        path = f"v3/projects/{self._cloud.project}/timeSeries"
        try:
            series = list_of(self._cloud.pages("monitoring", path, "timeSeries", query))
        except ApiError:
            return {}
        return {
            item["resource"]["labels"]["subscription_id"]: int(
                item["points"][0]["value"]["int64Value"]
            )
            for item in series
            if item.get("points")
        }

    def list(self, box: str, limit: int) -> Sequence[DeadLetter]:
        """Return letters, those that Pub/Sub gives first, by time."""
        place = self._place(box)
        found: _Chunk = []
        with Lease(self._cloud, self._pullable(place)) as lease:
            for item in lease:
                letter = self._read(place, item)
                if letter is not None:
                    found.append(letter)
                if len(found) >= limit:
                    break
        return [self._whole(one) for one in sorted(found, key=lambda one: one.order)[:limit]]

    def _whole(self, one: Found) -> DeadLetter:
        """Return a letter with the body that it was sent with, by a bucket if it was too long.

        Without it when it is gone, or who looks may not read the bucket. A message of another
        sender leads to no other object.
        """
        place = str((one.message.get("attributes") or {}).get(control.CLAIM, ""))
        bucket, _, key = place.partition("/")
        known = any(bucket == other.name for other in self._plan.buckets)
        if not known or not key.startswith(control.CLAIMS):
            return one.letter
        name = f"{self._cloud.project}-{names.physical(self._plan, bucket, names.BUCKET)}"
        path = f"storage/v1/b/{name}/o/{quote(key, safe='')}"
        try:
            found = self._cloud.send("storage", "GET", path, {"alt": "media"}, absent=True)
        except ApiError:
            return one.letter
        return one.letter if found is None else replace(one.letter, body=found.content)

    def redrive(self, box: str, ids: Collection[str] | None) -> Redriven:
        """Publish letters to where they came from; what came from no topic Cloud Tasks send."""
        place = self._place(box)
        moved = 0
        failed: _Failures = []
        with Lease(self._cloud, self._pullable(place)) as lease:
            ordered = any(is_ordered(self._plan, one) for one in place.functions)
            for chunk in self._chunks(place, lease, ids, ordered):
                done: _Chunk = []
                try:
                    send(self._cloud, self._plan, chunk, done, failed)
                finally:
                    # What is sent is taken away, also when the next one fails.
                    lease.ack([one.ack for one in done])
                moved += len(done)
        missing = set(ids or ()) - lease.met
        failed += [(id, "there is no such dead letter") for id in sorted(missing)]
        return Redriven(moved, tuple(failed))

    def purge(self, box: str, ids: Collection[str] | None) -> int:
        """Acknowledge letters."""
        place = self._place(box)
        count = 0
        with Lease(self._cloud, self._pullable(place)) as lease:
            for chunk in self._chunks(place, lease, ids, False):
                lease.ack([one.ack for one in chunk])
                count += len(chunk)
        return count

    def _chunks(
        self, place: _Place, lease: Lease, ids: Collection[str] | None, whole: bool
    ) -> Iterator[_Chunk]:
        """Yield the letters that are meant, in order as far as they are known (*whole*: all).

        Not what came in after the first pull, and of what came in the same second none that this
        has moved already: a function that fails at once sends it back.
        """
        left = None if ids is None else set(ids)
        met: dict[str, float] = {}
        chunk: _Chunk = []
        for item in lease:
            letter = self._read(place, item)
            if letter is None or letter.came > lease.start + 1.0:
                continue
            id = letter.letter.id
            if (ids is not None and id not in ids) or (id in met and letter.came > met[id]):
                continue
            met[id] = lease.start
            lease.met.add(id)
            chunk.append(letter)
            if left is not None:
                left.discard(id)
                if not left:
                    break
            if len(chunk) >= CHUNK and not whole:
                yield sorted(chunk, key=lambda one: one.order)
                chunk = []
        chunk.sort(key=lambda one: one.order)
        for first in range(0, len(chunk), CHUNK):
            yield chunk[first : first + CHUNK]

    def _place(self, box: str) -> _Place:
        plan, known = self._plan, dict(dead_letter_boxes(self._plan))
        if box not in known:
            near = nearest(box, known)
            hint = f"did you mean {near!r}?" if near else "dead letters are of: " + ", ".join(known)
            text = f"{box!r} is no queue with dead letters, and no function that has its own"
            raise failure("PF8017", "no such dead letters:", text, hint)
        subscriptions = f"projects/{self._cloud.project}/subscriptions/"
        if known[box] == "function":
            function = plan.function(box)
            name = names.physical(plan, names.dead(function))
            source = names.physical(plan, function.name)
            return _Place(box, subscriptions + name, (function,), source, False)
        queue = plan.queue(box)
        name = names.dead_letter(queue.name, queue.dead_letter)
        return _Place(
            box,
            subscriptions + names.physical(plan, name),
            tuple(f for f in plan.functions if _consumes(f, queue.name)),
            names.physical(plan, queue.name),
            isinstance(queue.dead_letter, str),
        )

    def _pullable(self, place: _Place) -> str:
        """Return the subscription; PF8017 when a function takes what comes there."""
        if place.shared:
            named = str(self._plan.queue(place.name).dead_letter)
            taken = [f.name for f in self._plan.functions if _consumes(f, named)]
            if taken:
                text = f"the dead letters of {place.name} go to {named}, which {taken[0]} consumes"
                raise failure("PF8017", "no dead letters to look at:", text)
        return place.subscription

    def _read(self, place: _Place, item: Mapping[str, Any]) -> Found | None:
        """Return a letter; None for what is another queue's in a subscription that is shared."""
        attributes = item["message"].get("attributes") or {}
        source = attributes.get(SOURCE)
        found = read(self._plan, place.name, place.functions, item)
        if place.shared and source != place.source and not any(
            found.letter.function == one.name for one in place.functions
        ):
            return None
        return found


def _consumes(function: FunctionPlan, queue: str) -> bool:
    return isinstance(function.trigger, QueueTrigger) and function.trigger.queue == queue
