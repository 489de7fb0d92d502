"""Google Cloud: Google's Pub/Sub emulator, a pusher, Cloud Tasks, functions-framework.

Topics and subscriptions are those of our Terraform configuration. What of Pub/Sub the emulator is
and what the pusher: ``tests/gcp_cloud/emulator.py``.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from portafaas.artifact import unpack
from portafaas.deployment.dead_letters import DeadLetters
from portafaas.vendor import VendorSession
from portafaas.vendor.environment import find_interpreter, prepare
from portafaas_gcp.vendor import runtime
from tests.faults import gcp_rows
from tests.faults.gcp_tasks import Tasks
from tests.faults.target import PYTHON, Target
from tests.gcp_cloud.emulator import PubSub, Pusher, jar

PROJECT = "faults"
REGION = "europe-west1"
#: Seconds that a message is held back.
_LATE, _OVERTAKEN = 1.0, 0.2
_REFERENCE = re.compile(r"\$\{([^}]*)\}")


class Gcp(Target):
    """See the module."""

    name = "gcp"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        path, why = jar()
        if not path:
            raise RuntimeError(why)
        package, descriptor, documents = self.built()
        self._facts = json.loads(descriptor.read_text())["functions"]
        self._resources: dict[str, Any] = json.loads(documents[0].read_text())["resource"]
        self.package = folder / "package"
        unpack(package, self.package)
        found = find_interpreter(PYTHON)
        assert found is not None
        self._python = prepare("gcp", runtime(), PYTHON)
        self._sessions: dict[str, VendorSession] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._tasks = Tasks()
        self._firestore = None if self.without else gcp_rows.Firestore(folder)
        self._relay: gcp_rows.Eventarc | None = None
        self._pubsub = PubSub(path, folder)
        self._pushers: dict[str, Pusher] = {}
        for topic in self._resources["google_pubsub_topic"].values():
            self._pubsub.topic(f"projects/{PROJECT}/topics/{topic['name']}")
        for facts in self._resources["google_pubsub_subscription"].values():
            self._subscription(facts)

    def missing(self) -> dict[str, str]:
        path, why = gcp_rows.place()
        return {} if path else dict.fromkeys(("idempotent", "outbox"), why)

    def _subscription(self, facts: Mapping[str, Any]) -> None:
        settings: dict[str, Any] = {}
        if facts.get("enable_message_ordering"):
            settings["enableMessageOrdering"] = True
        if "dead_letter_policy" in facts:
            settings["deadLetterPolicy"] = self._dead(facts)
        self._pubsub.subscription(self._path(facts), self._value(facts["topic"]), **settings)

    def _dead(self, facts: Mapping[str, Any]) -> dict[str, Any] | None:
        if "dead_letter_policy" not in facts:
            return None
        policy = facts["dead_letter_policy"]
        return {
            "deadLetterTopic": self._value(policy["dead_letter_topic"]),
            "maxDeliveryAttempts": policy["max_delivery_attempts"],
        }

    @staticmethod
    def _path(facts: Mapping[str, Any]) -> str:
        return f"projects/{PROJECT}/subscriptions/{facts['name']}"

    def _value(self, text: str) -> str:
        """Return a value of the configuration, with what it refers to."""

        def resolved(match: re.Match[str]) -> str:
            parts = match[1].split(".")
            if parts == ["var", "project"]:
                return PROJECT
            if parts == ["var", "region"]:
                return REGION
            kind, name, *attribute = parts
            facts = self._resources.get(kind, {}).get(name, {})
            if kind == "google_pubsub_topic":
                return f"projects/{PROJECT}/topics/{facts['name']}"
            if kind == "google_pubsub_subscription":
                return self._path(facts)
            if kind == "google_cloud_tasks_queue":
                own = self._value(str(facts["name"]))
                return f"projects/{PROJECT}/locations/{REGION}/queues/{own}"
            if kind == "google_firestore_database":
                return str(facts["name"])
            if kind == "google_service_account" and attribute == ["email"]:
                return f"{name}@{PROJECT}.iam.gserviceaccount.com"
            return match[0]

        return _REFERENCE.sub(resolved, text)

    def session(self, function: str) -> VendorSession:
        """Return the process of *function*, configured as it is deployed."""
        if function not in self._sessions:
            key = self.plan.function(function).entry
            config = self._resources["google_cloudfunctions2_function"][key]["service_config"]
            variables = config["environment_variables"].items()
            self._sessions[function] = runtime().start(
                self.package,
                entry=self._facts[function]["entry"],
                function=config.get("name", f"{self.plan.service}-{function}"),
                python=self._python,
                env={
                    **{name: self._value(value) for name, value in variables},
                    **self.environment,
                    **self._tasks.environment,
                    "PUBSUB_EMULATOR_HOST": self._pubsub.host,
                    **({"FIRESTORE_EMULATOR_HOST": self._firestore.host} if self._firestore else {}),
                },
                timeout=float(config["timeout_seconds"]),
                memory=256,
                settings={"init_timeout": 60.0},
            )
        return self._sessions[function]

    def order(self, order: Mapping[str, Any]) -> Any:
        function = self.plan.function("feed")
        (request,) = self.adapter.encode(self.plan, function, self.http("/feed", order))
        result = self.session("feed").invoke(request.payload)
        if not result.ok or result.value["status"] != 200:
            raise RuntimeError(f"{result.value}\n{result.error}\n{result.logs}")
        return json.loads(base64.b64decode(result.value["body"]))

    def start(self) -> None:
        for facts in self._resources["google_pubsub_subscription"].values():
            if "push_config" not in facts:
                continue
            endpoint = facts["push_config"]["push_endpoint"]
            match = re.search(r"google_cloudfunctions2_function\.([\w-]+)\.", endpoint)
            assert match is not None, endpoint
            function = next(f.name for f in self.plan.functions if f.entry == match[1])
            policy = facts.get("retry_policy")
            self._locks[function] = threading.Lock()
            self._pushers[function] = Pusher(
                self._pubsub,
                self._path(facts),
                self._sender(function),
                policy=policy
                and {
                    "minimumBackoff": policy["minimum_backoff"],
                    "maximumBackoff": policy["maximum_backoff"],
                },
                filter=facts.get("filter", ""),
                ordered=bool(facts.get("enable_message_ordering")),
                dead=self._dead(facts),
                pace=1.0,
                longest=0.3,
            )
        if self._firestore is not None:
            database = self._resources["google_firestore_database"]["tables"]["name"]
            self._relay = gcp_rows.Eventarc(self._firestore, PROJECT, database, "books")
            self.loop("books-outbox", self._changed, 0.02)

    def _changed(self) -> bool:
        """Deliver one event of the outbox's table."""
        assert self._relay is not None
        taken = self._relay.take()
        if taken is None:
            return False
        fields, request = taken
        done = False
        try:
            result = self.session("books-outbox").invoke(request)
            done = result.ok and 200 <= result.value["status"] < 300
        finally:
            self._relay.settle(fields, request, done)
        self.deliveries.add("books-outbox", [(int(fields["book"]), "done" if done else "failed")])
        return True

    def _sender(self, function: str) -> Callable[[bytes], int]:
        def send(body: bytes) -> int:
            number = int(json.loads(body)["message"]["attributes"]["n"])
            if self.first(function, number, "late"):
                time.sleep(_LATE)
            elif self.first(function, number, "overtaken"):
                time.sleep(_OVERTAKEN)
            with self._locks[function]:
                outcome, status = self._push(function, number, body)
            self.deliveries.add(function, [(number, outcome)])
            return status

        return send

    def _push(self, function: str, number: int, body: bytes) -> tuple[str, int]:
        session = self.session(function)
        request = {
            "method": "POST",
            "path": "/",
            "headers": [["content-type", "application/json"], ["from", "noreply@google.com"]],
            "body": base64.b64encode(body).decode(),
        }
        result = session.invoke(request)
        if result.error is not None and result.error.kind in ("exit", "timeout"):
            return "dead", 0
        status = result.value["status"] if result.value else 500
        if self.first(function, number, "lost"):
            session.close()
            del self._sessions[function]
            return "lost", 0
        if not 200 <= status < 300:
            return "failed", status
        if self.first(function, number, "twice"):
            return "again", 0
        return "done", status

    def pending(self) -> dict[str, int]:
        found = {name: 1 for name, pusher in self._pushers.items() if not pusher.idle()}
        if self._tasks.pending:
            found["tasks"] = self._tasks.pending
        if not found and self._relay is not None and (count := self._relay.pending):
            found["books-outbox"] = count
        return found

    def dead_letters(self) -> DeadLetters:
        import google.auth
        from google.oauth2.credentials import Credentials

        make: Any = Credentials
        google.auth.default = lambda **more: (make(token="token"), PROJECT)
        os.environ |= {
            **self._tasks.environment,
            "CLOUDSDK_COMPUTE_REGION": REGION,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{self._pubsub.host}/",
        }
        return self.adapter.engine(self.plan).dead_letters()

    def close(self) -> None:
        self.stop()
        if self._relay is not None:
            self._relay.close()
        for pusher in self._pushers.values():
            pusher.stop()
        for session in self._sessions.values():
            session.close()
        self._pubsub.stop()
        self._tasks.close()
        if self._firestore is not None:
            self._firestore.close()
