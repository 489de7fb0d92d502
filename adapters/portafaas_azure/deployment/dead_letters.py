"""The dead letters of a service: queues of the service's Service Bus, through Microsoft's client.

Who looks needs the data roles of Service Bus (docs/deployment-azure.md); owning the subscription is
not enough. Looking is peeking, which locks nothing.
https://learn.microsoft.com/azure/service-bus-messaging/message-browsing
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from portafaas.deployment.dead_letters import (
    Box,
    DeadLetter,
    DeadLetters,
    Redriven,
    dead_letter_boxes,
)
from portafaas.errors import DeploymentError
from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TopicTrigger
from portafaas.runtime.control import CLAIM, CLAIMS
from portafaas_azure.broker import dead_queue, source_of
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.clouds import is_local, load
from portafaas_azure.deployment.ids import kind
from portafaas_azure.deployment.letter_places import PAGE, Place, receiver_of, send, take
from portafaas_azure.deployment.letters import (
    facts,
    fresh,
    is_letter,
    letter,
    properties,
    text,
)
from portafaas_azure.deployment.refusals import azure, refused
from portafaas_azure.infrastructure.names import UNIQUE, account_prefix, buckets
from portafaas_azure.runtime.settlement import CUT

BUS = "microsoft.servicebus/namespaces"
_STORAGE = "Microsoft.Storage/storageAccounts"
#: Who was not moved, and why.
_Failed = list[tuple[str, str]]
_ROLES = (
    "give yourself 'Azure Service Bus Data Receiver' and '… Data Sender' on the namespace: "
    "az role assignment create --role … --assignee YOU --scope {}; honoured after some minutes"
)


class AzureDeadLetters(DeadLetters):
    """The dead letters of one service and stage; *namespace* is the id of its Service Bus."""

    def __init__(self, account: Account, plan: BuildPlan, namespace: str) -> None:
        self.account = account
        self.plan = plan
        self.namespace = namespace

    def boxes(self) -> Sequence[Box]:
        """Return the boxes, with the counts that Resource Manager tells."""
        found = []
        for name, what in dead_letter_boxes(self.plan):
            count: int | None = None
            for place in self._places(name):
                if not place.topic:
                    count = _sum(count, self._count(place))
            found.append(Box(name, what, self._queue(name), count))
        return found

    def list(self, box: str, limit: int) -> Sequence[DeadLetter]:
        """Return at most *limit* letters, the oldest first."""
        found: list[Any] = []
        with self._client() as client:
            for place in self._places(box):
                with closing(receiver_of(client, place)) as receiver:
                    found += self._peek(receiver, box, place, limit)
        found.sort(key=lambda one: one.enqueued_time_utc)
        function = self._function(box)
        return [self._whole(letter(self.plan, box, function, one), one) for one in found[:limit]]

    def _whole(self, found: DeadLetter, message: Any) -> DeadLetter:
        """Return a letter with the body that it was sent with, by a bucket if it was too long.

        Without it when it is gone, or who looks may not read the bucket. A message of another
        sender leads to no other blob.
        """
        bucket, _, key = str(properties(message).get(CLAIM, "")).partition("/")
        known = next((one for one in self.plan.buckets if one.name == bucket), None)
        if known is None or not key.startswith(CLAIMS):
            return found
        # All names of a resource group end in the same letters.
        account = account_prefix(self.plan, buckets(known.versioned)) + self.namespace[-UNIQUE:]
        group = self.namespace.partition("/providers/")[0]
        try:
            with azure(f"reading the bucket {bucket}"):
                said = self.account.read(f"{group}/providers/{_STORAGE}/{account}") or {}
                url = str(said["properties"]["primaryEndpoints"]["blob"])
                blobs = load("azure.storage.blob").BlobServiceClient(
                    url, credential=self.account.credential, retry_total=self.account.retries
                )
                with blobs:
                    body = blobs.get_blob_client(bucket, key).download_blob().readall()
        except (DeploymentError, KeyError):
            return found
        return replace(found, body=body)

    def redrive(self, box: str, ids: Collection[str] | None) -> Redriven:
        """Send letters to the function again, in their order; each is then removed."""
        function = self._function(box)
        what, source = source_of(self.plan, function) if function is not None else ("queue", box)
        to = box if what == "topic" else ""
        failed: _Failed = []
        with self._client() as client:
            make = client.get_topic_sender if what == "topic" else client.get_queue_sender
            with closing(make(source)) as sender:

                def move(group: Sequence[tuple[str, Any]]) -> str:
                    made = [fresh(message, identity, to) for identity, message in group]
                    return send(sender, made)

                moved = self._take_all(client, box, ids, move, failed, _reason_to_stay)
        return Redriven(moved, tuple(failed))

    def purge(self, box: str, ids: Collection[str] | None) -> int:
        """Remove letters; return how many."""
        failed: _Failed = []
        with self._client() as client:
            return self._take_all(client, box, ids, lambda group: "", failed, lambda message: "")

    def _queue(self, box: str) -> str:
        for queue in self.plan.queues:
            if queue.name == box:
                return dead_queue(queue)
        return f"{box}-dead"

    def _function(self, box: str) -> FunctionPlan | None:
        """Return the function that fails at what is in *box*, if the service has it."""
        for function in self.plan.functions:
            trigger = function.trigger
            if isinstance(trigger, QueueTrigger):
                if trigger.queue == box:
                    return function
            elif function.name == box:
                return function
        return None

    def _places(self, box: str) -> Sequence[Place]:
        """Return where letters of *box* are.

        Also where Service Bus itself puts what it gives up, when it cannot forward it.
        """
        name = self._queue(box)
        found = [Place(name)]
        queues = {queue.name: queue for queue in self.plan.queues}
        if name not in queues:
            found.append(Place(name, sub=True))
        function = self._function(box)
        if box in queues:
            if queues[box].ordered:
                found.append(Place(box, sub=True))
        elif function is not None and isinstance(function.trigger, TopicTrigger):
            topic = function.trigger.topic
            if self.plan.topic(topic).ordered:
                found.append(Place(box, topic, True))
        return found

    def _count(self, place: Place) -> int | None:
        with azure(f"reading the queue {place.name}"):
            found = self.account.read(f"{self.namespace}/queues/{place.name}") or {}
        details = (found.get("properties") or {}).get("countDetails") or {}
        word = "deadLetterMessageCount" if place.sub else "activeMessageCount"
        return details.get(word)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Open a client of the namespace; its errors are translated."""
        with azure("reading the Service Bus namespace"):
            found = self.account.read(self.namespace) or {}
        end = str((found.get("properties") or {}).get("serviceBusEndpoint") or "")
        if not end:
            raise refused("PF8010", "the Service Bus namespace is not there")
        host = end.partition("://")[2].strip("/").removesuffix(":443")
        library = load("azure.servicebus")
        client = library.ServiceBusClient(
            host, self.account.credential, use_tls=not is_local(end),
            retry_total=self.account.retries, retry_backoff_max=5,
        )  # fmt: skip
        try:
            yield client
        except DeploymentError:
            raise
        except library.exceptions.ServiceBusError as error:
            raise self._refused(error) from None
        finally:
            client.close()

    def _refused(self, error: Exception) -> DeploymentError:
        names = {one.__name__ for one in type(error).__mro__}
        said = " ".join(str(getattr(error, "message", "") or error).split())
        hint = None
        if names & {"ServiceBusAuthenticationError", "ServiceBusAuthorizationError"}:
            code, hint = "PF8002", _ROLES.format(self.namespace)
        elif "MessagingEntityNotFoundError" in names:
            code = "PF8010"
        elif "ServiceBusQuotaExceededError" in names:
            code = "PF8009"
        else:
            code = "PF8012"
        return refused(code, said, hint=hint, doing="the dead letters cannot be reached:")

    def _peek(self, receiver: Any, box: str, place: Place, limit: int) -> Iterator[Any]:
        """Yield the letters of *box* in *place*, at most *limit*."""
        number, count = 1, 0
        while count < limit:
            page = receiver.peek_messages(min(limit, PAGE), sequence_number=number)
            if not page:
                return
            number = page[-1].sequence_number + 1
            for message in page:
                if count < limit and (place.sub or self._is_of(box, message)):
                    count += 1
                    yield message

    def _is_of(self, box: str, message: Any) -> bool:
        """Tell whether *message* is a letter, and of this box, where several share a queue.

        In a queue that is for nothing else everything is, whoever sent it.
        """
        name = self._queue(box)
        if not is_letter(message) and any(queue.name == name for queue in self.plan.queues):
            return False
        sharing = [q.name for q in self.plan.queues if dead_queue(q) == name]
        if len(sharing) < 2:
            return True
        failing = facts(message).get("function")
        owner = next(
            (f.trigger.queue for f in self.plan.functions
             if f.name == failing and isinstance(f.trigger, QueueTrigger)),
            text(message.dead_letter_source) or sharing[0],
        )  # fmt: skip
        return bool(owner == box)

    def _take_all(
        self,
        client: Any,
        box: str,
        ids: Collection[str] | None,
        move: Callable[[Sequence[tuple[str, Any]]], str],
        failed: _Failed,
        stays: Callable[[Any], str],
    ) -> int:
        """Have the letters that are there now, and meant, moved and removed; return how many.

        *stays* tells why a letter cannot be moved, "" if it can.
        """
        function = self._function(box)
        missing = set(ids or ())
        done = 0
        for place in self._places(box):
            with closing(receiver_of(client, place)) as receiver:
                wanted = {}
                for message in self._peek(receiver, box, place, 1 << 30):
                    identity = letter(self.plan, box, function, message).id
                    if ids is None or identity in ids:
                        missing.discard(identity)
                        if why := stays(message):
                            failed.append((identity, why))
                        else:
                            wanted[message.sequence_number] = identity
                if wanted:
                    done += take(receiver, wanted, move, failed)
        failed += [(one, "there is no such letter") for one in sorted(missing)]
        return done


def _reason_to_stay(message: Any) -> str:
    """Return why a letter cannot be delivered again, "" if it can."""
    cut = CUT in properties(message)
    return "the row was too long for a message: write it again, then purge this" if cut else ""


def _sum(first: int | None, second: int | None) -> int | None:
    return second if first is None else first if second is None else first + second


def namespace_of(account: Account, managed: Sequence[Any]) -> str | None:
    """Return the id of the namespace: of the stack, or of what the stack let go of."""
    from portafaas_azure.deployment.removal import leftovers

    own = [one["id"] for one in managed if kind(one["id"]) == BUS]
    own = own or [one["id"] for one in leftovers(account) if kind(one["id"]) == BUS]
    return own[0] if own else None
