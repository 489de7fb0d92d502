"""Google's Pub/Sub emulator, and a pusher that delivers from it as the service does.

The emulator keeps messages, counts deliveries and moves dead letters. Its own push sends neither
``deliveryAttempt`` nor ``orderingKey``, begins a retry after 1 s and then waits 3 s, and looks at no
filter; what it says to pull is complete. So :class:`Pusher` pulls and sends the request that
https://cloud.google.com/pubsub/docs/push#receive_push describes, with the back-off of the
subscription's retry policy (``minimum * 2 ** (n - 1)``, times ``pace``), its filter, and one message
of a key at a time. To pull, what is given back of a key waits for the later ones that are leased: a
message of an ordered subscription stays leased between its deliveries, and the pusher counts and
moves it.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from portafaas_gcp.infrastructure import grammar
from tests.gcp_cloud.filters import matches

#: Seconds; the emulator takes no more, the service 31 days.
RETENTION = 604_800
#: Seconds that one push may take before the pusher gives it up.
PATIENCE = 60.0
#: Seconds between two pulls that find nothing: more and more, since each is work for two processes.
SHORTEST, LONGEST = 0.01, 0.08


def jar(pattern: str = "pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar") -> tuple[str, str]:
    """Return the path of an emulator's jar and "", or "" and why there is none."""
    gcloud = shutil.which("gcloud")
    roots = [Path(gcloud).resolve().parents[1]] if gcloud else []
    roots.append(Path("/usr/lib/google-cloud-sdk"))
    if shutil.which("java") is None:
        return "", "java is not installed"
    for root in roots:
        found = sorted((root / "platform").glob(pattern))
        if found:
            return str(found[-1]), ""
    return "", f"the Google Cloud CLI has no {pattern}"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body.decode(errors='replace')}")
        self.status = status


class PubSub:
    """A running emulator; ``host`` is what PUBSUB_EMULATOR_HOST takes. Names are whole paths."""

    def __init__(self, path: str, folder: Path) -> None:
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._log = (folder / "pubsub.log").open("wb")
        # The first compiler only: a test is over before the second has paid.
        self._process = subprocess.Popen(
            ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-jar", path, "--host=127.0.0.1",
             f"--port={self.port}"],
            stdout=self._log, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                text = (folder / "pubsub.log").read_text()
                assert self._process.poll() is None and time.monotonic() < end, text
                time.sleep(0.05)

    def stop(self) -> None:
        """End the emulator, and all that is in it."""
        self._process.kill()
        self._process.wait()
        self._log.close()
        for connection in self._connections:
            connection.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON of an answer of the REST API; raises Refused."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        for last in (False, True):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
                self._local.connection = connection
                self._connections.append(connection)
            try:
                connection.request(method, f"/v1/{path}", content, headers)
                answer = connection.getresponse()
                said = answer.read()
                break
            except (OSError, http.client.HTTPException):
                connection.close()
                self._local.connection = None
                if last:
                    raise
        if answer.status >= 300:
            raise Refused(answer.status, said)
        return json.loads(said or b"{}")

    def topic(self, name: str) -> str:
        """Make a topic."""
        self.call("PUT", name, {})
        return name

    def subscription(self, name: str, topic: str, **settings: Any) -> str:
        """Make a subscription to pull from; *settings* are those of the REST resource.

        Neither its retry policy nor a filter is the emulator's business: a Pusher keeps them.
        """
        body = {"topic": topic, "ackDeadlineSeconds": 600, **settings}
        for ours in ("retryPolicy", "filter", "pushConfig", "expirationPolicy"):
            body.pop(ours, None)
        kept = grammar.seconds(body.get("messageRetentionDuration", f"{RETENTION}s"))
        body["messageRetentionDuration"] = f"{min(int(kept), RETENTION)}s"
        self.call("PUT", name, body)
        return name

    def publish(
        self,
        topic: str,
        body: bytes = b"",
        attributes: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> str:
        """Publish one message and return Pub/Sub's id of it."""
        message: dict[str, Any] = {"data": base64.b64encode(body).decode()}
        if attributes:
            message["attributes"] = dict(attributes)
        if key:
            message["orderingKey"] = key
        ids = self.call("POST", f"{topic}:publish", {"messages": [message]})["messageIds"]
        return str(ids[0])

    def pull(self, subscription: str, most: int = 1000) -> list[dict[str, Any]]:
        """Return what can be had now, leased."""
        body = {"maxMessages": most, "returnImmediately": True}
        found = self.call("POST", f"{subscription}:pull", body).get("receivedMessages", [])
        return list(found)

    def ack(self, subscription: str, items: Iterable[Mapping[str, Any]]) -> None:
        """Be done with pulled messages."""
        if ids := [item["ackId"] for item in items]:
            self.call("POST", f"{subscription}:acknowledge", {"ackIds": ids})

    def nack(self, subscription: str, items: Iterable[Mapping[str, Any]]) -> None:
        """Give pulled messages back."""
        if ids := [item["ackId"] for item in items]:
            body = {"ackIds": ids, "ackDeadlineSeconds": 0}
            self.call("POST", f"{subscription}:modifyAckDeadline", body)

    def messages(self, subscription: str) -> list[dict[str, Any]]:
        """Return the messages that wait there, by time, and leave them there."""
        held: list[dict[str, Any]] = []
        while found := self.pull(subscription):
            held += found
        self.nack(subscription, held)
        return sorted((item["message"] for item in held), key=lambda m: int(m["messageId"]))


class Push:
    """One delivery: the request's document, and what was answered (0: no answer)."""

    __slots__ = ("document", "status", "time")

    def __init__(self, document: Mapping[str, Any], status: int, moment: float) -> None:
        self.document = document
        self.status = status
        self.time = moment

    @property
    def body(self) -> bytes:
        """The message's body."""
        return base64.b64decode(self.document["message"].get("data", ""))

    @property
    def attempt(self) -> int | None:
        """What Pub/Sub counts, None when it does not."""
        found: int | None = self.document.get("deliveryAttempt")
        return found

    def __repr__(self) -> str:
        return f"<Push {self.body!r} attempt={self.attempt} status={self.status}>"


class Pusher:
    """Delivers a subscription's messages to an HTTP endpoint for as long as it is open.

    *send* takes the JSON body of a push and returns the status of the answer, 0 for none.
    *policy* is the subscription's ``retryPolicy``, *dead* its ``deadLetterPolicy``, which only an
    ordered one needs to say. ``pace`` multiplies the back-off, 0 is at once; ``pushes`` is what
    happened. Pulls that find nothing are at most *longest* seconds apart.
    """

    def __init__(
        self,
        pubsub: PubSub,
        subscription: str,
        send: Callable[[bytes], int],
        *,
        policy: Mapping[str, Any] | None = None,
        filter: str = "",
        ordered: bool = False,
        dead: Mapping[str, Any] | None = None,
        pace: float = 0.0,
        at_once: int = 4,
        longest: float = LONGEST,
    ) -> None:
        self.pushes: list[Push] = []
        self.pace = pace
        self._pubsub = pubsub
        self._name = subscription
        self._send = send
        self._filter = filter
        self._ordered = ordered
        self._dead = dead or {}
        policy = policy or {}
        self._least = grammar.seconds(policy.get("minimumBackoff", "0s"))
        self._most = grammar.seconds(policy.get("maximumBackoff", "600s"))
        self._longest = longest
        self._busy = 0
        self._blocked: dict[str, list[dict[str, Any]]] = {}
        self._later: list[tuple[float, dict[str, Any]]] = []
        self._failures: dict[str, int] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._wake = threading.Event()
        self._room = threading.Semaphore(at_once * 4)
        self._pool = ThreadPoolExecutor(at_once)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Deliver no more."""
        self._end.set()
        self._wake.set()
        self._thread.join()
        self._pool.shutdown()

    def idle(self) -> bool:
        """Tell whether nothing is being delivered, waits for its time, or could be had.

        Who asks wants to know it of now: there is a pull after each question.
        """
        self._wake.set()
        with self._lock:
            return not self._busy and not self._later and not any(self._blocked.values())

    def _run(self) -> None:
        pause = SHORTEST
        while not self._end.is_set():
            now = time.monotonic()
            with self._lock:
                due = [item for moment, item in self._later if moment <= now]
                self._later = [pair for pair in self._later if pair[0] > now]
            if self._ordered:
                for item in due:
                    self._submit(item)
            else:
                # Given back only now, so that it comes when it is time.
                self._pubsub.nack(self._name, due)
            with self._lock:
                # From before the pull, so that nobody believes us idle in between.
                self._busy += 1
            try:
                found = self._pubsub.pull(self._name, 100)
                for item in sorted(found, key=lambda one: int(one["message"]["messageId"])):
                    self._take(item)
            finally:
                with self._lock:
                    self._busy -= 1
            pause = SHORTEST if found or due else min(pause * 2, self._longest)
            if not found and not due and self._wake.wait(self._until(pause)):
                # Who asked whether it is idle gets one pull, and not a row of quick ones.
                self._wake.clear()

    def _until(self, pause: float) -> float:
        """Return how long may be waited: no longer than until something is due again."""
        with self._lock:
            first = min((moment for moment, _ in self._later), default=float("inf"))
        return max(0.0, min(pause, first - time.monotonic()))

    def _take(self, item: dict[str, Any]) -> None:
        message = item["message"]
        if self._filter and not matches(self._filter, message.get("attributes") or {}):
            self._pubsub.ack(self._name, [item])
            return
        key = message.get("orderingKey")
        if self._ordered and key:
            with self._lock:
                waiting = self._blocked.setdefault(key, [])
                waiting.append(item)
                if len(waiting) > 1:
                    return
        self._submit(item)

    def _submit(self, item: dict[str, Any]) -> None:
        with self._lock:
            self._busy += 1
        self._room.acquire()
        self._pool.submit(self._deliver, item)

    def _deliver(self, item: dict[str, Any]) -> None:
        try:
            self._room.release()
            self._once(item)
        finally:
            with self._lock:
                self._busy -= 1

    def _once(self, item: dict[str, Any]) -> None:
        message = dict(item["message"])
        message |= {"message_id": message["messageId"], "publish_time": message["publishTime"]}
        document: dict[str, Any] = {"message": message, "subscription": self._name}
        number, attempt = message["messageId"], item.get("deliveryAttempt")
        failures = self._failures.get(number, 0)
        if attempt is not None:
            attempt = failures + 1 if self._ordered else attempt
            document["deliveryAttempt"] = attempt
        moment = time.monotonic()
        status = self._send(json.dumps(document).encode())
        self.pushes.append(Push(document, status, moment))
        if not 200 <= status <= 299:
            most = self._dead.get("maxDeliveryAttempts")
            if not (self._ordered and most and attempt >= most):
                self._failures[number] = failures + 1
                pause = min(self._least * 2**failures, self._most) * self.pace
                with self._lock:
                    self._later.append((time.monotonic() + pause, item))
                self._wake.set()
                return
            attributes = {
                **(message.get("attributes") or {}),
                "CloudPubSubDeadLetterSourceDeliveryCount": str(attempt),
                "CloudPubSubDeadLetterSourceSubscription": self._name.rpartition("/")[2],
                "CloudPubSubDeadLetterSourceTopicPublishTime": message["publishTime"],
            }
            content = base64.b64decode(message.get("data", ""))
            self._pubsub.publish(
                self._dead["deadLetterTopic"], content, attributes, message.get("orderingKey")
            )
        self._pubsub.ack(self._name, [item])
        following = None
        with self._lock:
            waiting = self._blocked.get(message.get("orderingKey") or "", [])
            if item in waiting:
                waiting.remove(item)
                following = waiting[0] if waiting else None
        if following is not None:
            self._submit(following)


def http_sender(port: int, path: str = "/") -> Callable[[bytes], int]:
    """Return what sends a push to a server of this machine."""
    headers = {
        "content-type": "application/json",
        "user-agent": "CloudPubSub-Google",
        "accept": "application/json",
        "from": "noreply@google.com",
    }

    def send(body: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        with contextlib.closing(connection):
            try:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                answer.read()
                return answer.status
            except (OSError, http.client.HTTPException):
                return 0

    return send


def until(done: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return what *done* does once it is true; fails after *seconds*."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.03)  # what is asked is often work for an emulator
    return found


def emulator(folder: Path) -> Iterator[PubSub]:
    """Yield a running emulator; for a fixture, which has asked ``jar`` whether there is one."""
    running = PubSub(jar()[0], folder)
    yield running
    running.stop()
