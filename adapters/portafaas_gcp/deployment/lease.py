"""Messages of a subscription, held for as long as somebody looks at them.

Pub/Sub has no way to look at a message: what is looked at is pulled, held for as long as the look
takes, and given back. What is held cannot be had by another at the same time; it comes back by
itself within a minute when this ends badly. https://cloud.google.com/pubsub/docs/pull
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from portafaas_gcp.deployment.cloud import Cloud
from portafaas_gcp.deployment.failures import failure

#: Seconds that what is looked at is held, and after which that begins anew.
LEASE, RENEW = 60, 20
#: Messages of one pull; acknowledgements of one request.
PULL, ACKS = 100, 500
#: Pulls without a message after which there is none: one may miss what is there.
EMPTY = 3


class Lease:
    """What is pulled from a subscription, held until it is acknowledged or this is left.

    ``start`` is the service's time at the first pull, seconds since 1970; ``met`` the ids of
    letters that were meant.
    """

    def __init__(self, cloud: Cloud, subscription: str) -> None:
        self._cloud = cloud
        self._path = f"v1/{subscription}"
        self._held: dict[str, None] = {}
        self._renewed = time.monotonic()
        self.start = 0.0
        self.met: set[str] = set()

    def __enter__(self) -> Lease:
        response = self._cloud.send("pubsub", "GET", self._path, absent=True)
        if response is None:
            text = f"{self._path[3:]} is not there"
            raise failure("PF8010", "nothing is deployed:", text, "portafaas deploy --target gcp")
        said = response.headers.get("Date")
        self.start = parsedate_to_datetime(said).timestamp() if said else time.time()
        return self

    def __exit__(self, *exc: object) -> None:
        self._change(list(self._held), 0)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        empty = 0
        while empty < EMPTY:
            body = {"maxMessages": PULL, "returnImmediately": True}
            found = self._cloud.call("pubsub", "POST", f"{self._path}:pull", body=body)
            items = found.get("receivedMessages") or []
            self._hold([item["ackId"] for item in items])
            empty = 0 if items else empty + 1
            if empty:
                time.sleep(self._cloud.poll / 10)
            yield from items

    def ack(self, ids: Sequence[str]) -> None:
        """Be done with messages."""
        for first in range(0, len(ids), ACKS):
            part = ids[first : first + ACKS]
            self._cloud.call("pubsub", "POST", f"{self._path}:acknowledge", body={"ackIds": part})
            for id in part:
                self._held.pop(id, None)

    def _hold(self, ids: Sequence[str]) -> None:
        self._held.update(dict.fromkeys(ids))
        if time.monotonic() - self._renewed > RENEW:
            self._renewed = time.monotonic()
            ids = list(self._held)
        self._change(ids, LEASE)

    def _change(self, ids: Sequence[str], seconds: int) -> None:
        for first in range(0, len(ids), ACKS):
            body = {"ackIds": ids[first : first + ACKS], "ackDeadlineSeconds": seconds}
            self._cloud.call("pubsub", "POST", f"{self._path}:modifyAckDeadline", body=body)
