"""Azure: an AMQP peer for Service Bus, the Functions host's loop, azure-functions-runtime.

Queues, subscriptions and app settings are those of our ARM template. The peer and what it follows:
``tests/azure_cloud``. One difference: the lock of a message whose worker died ends within seconds,
not when ``lockDuration`` says.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from portafaas.artifact import unpack
from portafaas.deployment.dead_letters import DeadLetters
from portafaas.vendor import VendorSession
from portafaas.vendor.environment import prepare
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.dead_letters import AzureDeadLetters
from portafaas_azure.infrastructure.graph import Graph, Node, resolve
from portafaas_azure.runtime import identity
from portafaas_azure.vendor import runtime
from tests.azure_cloud.broker import Entity, Stored
from tests.azure_cloud.host import payload
from tests.azure_cloud.service_bus import bus
from tests.faults import azure_rows
from tests.faults.target import PYTHON, Target

#: Seconds until the lock of a message whose worker is gone ends.
LOCK = 2.0
#: Instances of the ordered queue's function.
INSTANCES = 3
#: Seconds that a message is held back.
_LATE, _OVERTAKEN = 1.0, 0.2
_HOST = re.compile(r"https://[^/]*")


class Identity:
    """The endpoint that gives an app its tokens."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = json.dumps({"access_token": "t", "expires_on": int(time.time()) + 7200})
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        port = self._server.server_address[1]
        self.environment = {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{port}/token",
            "IDENTITY_HEADER": "secret",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Account(Account):
    """Signs in with a token of the peer's, and knows where the namespace is."""

    url = ""

    @property
    def credential(self) -> Any:
        return identity.credential()

    def read(self, identifier: str, api: str = "") -> dict[str, Any] | None:
        return {"properties": {"serviceBusEndpoint": f"{self.url}/"}}


class Azure(Target):
    """See the module."""

    name = "azure"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._stack = ExitStack()
        package, descriptor, documents = self.built()
        self._facts = json.loads(descriptor.read_text())["functions"]
        self._nodes, problems = resolve(json.loads(documents[0].read_text()))
        assert not problems, problems
        self.package = folder / "package"
        unpack(package, self.package)
        self._python = prepare("azure", runtime(), PYTHON)
        self._sessions: dict[tuple[str, int], VendorSession] = {}
        self._identity = Identity()
        os.environ |= self._identity.environment
        self._cosmos = None if self.without else azure_rows.Cosmos(folder, self._nodes)
        self._relay: azure_rows.ChangeFeed | None = None
        self._bus = self._stack.enter_context(bus())
        self.broker = self._bus.broker
        self._entities: dict[str, Entity] = {}
        #: Messages that the host has, and not yet handed on, by function: until when, and which.
        self._held: dict[str, list[tuple[float, Stored]]] = {}
        for node in _of(self._nodes, "queues"):
            self.broker.queue(node.name, **_settings(node))
        for node in _of(self._nodes, "topics"):
            self.broker.topic(node.name)
        for node in _of(self._nodes, "topics/subscriptions"):
            topic = node.id.split("/")[-3]
            self.broker.subscription(topic, node.name, _rule(self._nodes, node), **_settings(node))
        for function in self.plan.functions:
            entity = self._entity_of(function.name)
            if entity is not None:
                self._entities[function.name] = entity

    def missing(self) -> dict[str, str]:
        why = azure_rows.missing()
        return dict.fromkeys(("idempotent", "outbox"), why) if why else {}

    def _entity_of(self, function: str) -> Entity | None:
        """Return what the function's trigger listens to."""
        trigger = self.plan.function(function).trigger
        name = getattr(trigger, "queue", "")
        if name:
            return self.broker.find(name)
        if trigger.kind == "table":
            # By which its dead letters come back.
            return self.broker.find(f"{function}-again")
        topic = getattr(trigger, "topic", "")
        return self.broker.find(f"{topic}/Subscriptions/{function}") if topic else None

    def settings(self, function: str) -> dict[str, str]:
        """Return the settings of the function's app; Service Bus is the peer, without TLS."""
        found = {}
        entry = self.plan.function(function).entry
        for node in self._nodes.values():
            if node.type != "Microsoft.Web/sites":
                continue
            values = {
                one["name"]: str(one["value"])
                for one in node.properties["siteConfig"]["appSettings"]
            }
            if entry in values.get("PORTAFAAS_FUNCTIONS", "").split(","):
                found = values
        own = f"http://{self._bus.address}"
        rows = self._cosmos.address if self._cosmos else ""
        for name, value in found.items():
            if name.startswith("PORTAFAAS_"):
                place = rows if name.startswith("PORTAFAAS_TABLE_") else own
                found[name] = _HOST.sub(place, value, count=1)
        return found

    def session(self, function: str, instance: int = 0) -> VendorSession:
        """Return a worker of *function*'s app, configured as it is deployed."""
        key = function, instance
        if key not in self._sessions:
            facts = self._facts[function]
            self._sessions[key] = runtime().start(
                self.package,
                entry=facts["entry"],
                function=self.plan.function(function).entry,
                python=self._python,
                env={
                    **self.settings(function),
                    **self.environment,
                    **self._identity.environment,
                },
                timeout=facts["timeout"],
                memory=facts["memory"],
                settings={"init_timeout": 60.0},
            )
        return self._sessions[key]

    def order(self, order: Mapping[str, Any]) -> Any:
        function = self.plan.function("feed")
        (request,) = self.adapter.encode(self.plan, function, self.http("/feed", order))
        result = self.session("feed").invoke(request.payload)
        if not result.ok or result.value["status"] != 200:
            raise RuntimeError(f"{result.value}\n{result.error}\n{result.logs}")
        return json.loads(base64.b64decode(result.value["body"]))

    def start(self) -> None:
        for function in self._entities:
            # Where the bridge waits, the platform has more instances.
            for number in range(INSTANCES if function == "ordered" else 1):
                self.loop(f"{function}/{number}", partial(self._step, function, number), 0.05)
        if self._cosmos is not None:
            binding = self._facts["books-outbox"]["binding"]
            trigger = binding["cosmos_db_trigger"]
            container = self._cosmos.feed(trigger["database_name"], trigger["container_name"])
            self._relay = azure_rows.ChangeFeed(container, binding)
            self.loop("books-outbox", partial(self._relay.step, self._changed), 0.3)

    def _changed(self, items: list[dict[str, Any]], retries: int) -> bool:
        """Deliver changes of the outbox's table, as a retry if need be."""
        request = {
            "trigger": {"type": "json", "value": items},
            "metadata": {},
            "retry": {"count": retries, "max": -1},
        }
        result = self.session("books-outbox").invoke(request)
        outcome = "done" if result.ok else "failed"
        self.deliveries.add("books-outbox", [(int(item["book"]), outcome) for item in items])
        return result.ok

    def _step(self, function: str, instance: int) -> bool:
        entity = self._entities[function]
        held = self._held.setdefault(f"{function}/{instance}", [])
        stored = None
        if held and held[0][0] <= time.monotonic():
            stored = held.pop(0)[1]
        stored = stored or self.broker.receive(entity)
        if stored is None:
            return False
        # The host renews the lock for as long as it has the message.
        stored.locked_until = self.broker.now + 3600
        number = int(stored.properties.get("n", -1))
        for word, seconds in (("late", _LATE), ("overtaken", _OVERTAKEN)):
            if self.first(function, number, word):
                # Locked, so that the others of its session wait.
                held.append((time.monotonic() + seconds, stored))
                held.sort(key=lambda pair: pair[0])
                return True
        self._invoke(function, instance, number, stored)
        return True

    def _invoke(self, function: str, instance: int, number: int, stored: Stored) -> None:
        token = stored.token
        assert token is not None
        session = self.session(function, instance)
        of_table = self.plan.function(function).trigger.kind == "table"
        name = f"{self.plan.function(function).entry}__again" if of_table else None
        result = session.invoke(payload(stored), function=name)
        if result.error is not None and result.error.kind in ("exit", "timeout"):
            stored.locked_until = self.broker.now + LOCK
            outcome = "dead"
        elif self.first(function, number, "lost"):
            session.close()
            del self._sessions[function, instance]
            stored.locked_until = self.broker.now + LOCK
            outcome = "lost"
        elif not result.ok:
            self.broker.abandon(token)
            outcome = "failed"
        elif self.first(function, number, "twice"):
            self.broker.abandon(token)
            outcome = "again"
        else:
            self.broker.complete(token)
            outcome = "done"
        self.deliveries.add(function, [(number, outcome)])

    def pending(self) -> dict[str, int]:
        found = {name: len(e.messages) for name, e in self._entities.items() if e.messages}
        if self._relay is not None and self._relay.pending:
            found["books-outbox"] = self._relay.pending
        return found

    def dead_letters(self) -> DeadLetters:
        account = _Account(self.plan, {})
        account.url = f"http://{self._bus.address}"
        return AzureDeadLetters(account, self.plan, "/namespace")

    def close(self) -> None:
        self.stop()
        for session in self._sessions.values():
            session.close()
        if self._cosmos is not None:
            self._cosmos.close()
        self._identity.close()
        self._stack.close()


def _of(nodes: Graph | Mapping[str, Node], kind: str) -> list[Node]:
    wanted = f"Microsoft.ServiceBus/namespaces/{kind}"
    return [node for node in nodes.values() if node.type == wanted]


def _seconds(duration: str | None) -> float | None:
    """Return the seconds of ``PT60S``."""
    if duration is None:
        return None
    match = re.fullmatch(r"PT(\d+)S", duration)
    assert match is not None, duration
    return float(match[1])


def _settings(node: Node) -> dict[str, Any]:
    own = node.properties
    found: dict[str, Any] = {
        name: own[name]
        for name in (
            "requiresSession",
            "maxDeliveryCount",
            "deadLetteringOnMessageExpiration",
            "forwardDeadLetteredMessagesTo",
            "requiresDuplicateDetection",
        )
        if name in own
    }
    found["lockDuration"] = _seconds(own.get("lockDuration")) or 60.0
    found["defaultMessageTimeToLive"] = _seconds(own.get("defaultMessageTimeToLive"))
    return found


def _rule(nodes: Mapping[str, Node], subscription: Node) -> Any:
    """Return what the subscription's rules let through; all, without rules."""
    rules = [
        node
        for node in _of(nodes, "topics/subscriptions/rules")
        if node.parent == subscription.id
    ]
    if not rules:
        return None
    (rule,) = rules
    text = rule.properties["sqlFilter"]["sqlExpression"]
    match = re.fullmatch(r"""\(NOT EXISTS\(user."pf-to"\) OR user."pf-to" = '([\w-]+)'\)""", text)
    assert match is not None, text
    function = match[1]
    return lambda stored: stored.properties.get("pf-to", function) == function
