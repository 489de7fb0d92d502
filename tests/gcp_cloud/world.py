"""A built service that runs: its topics and subscriptions in the emulator, its functions in Google's
framework, from the Terraform document and the package that a build wrote."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from portafaas.pipeline import build
from portafaas_gcp.vendor import _environment as cloud_run
from tests.gcp_cloud.emulator import PubSub, Pusher, free_port, http_sender, until
from tests.gcp_cloud.peers import Peers

REGION = "europe-west1"
_REFERENCE = re.compile(r"\$\{([^{}]+)\}")
#: What the deployer may do, as ``docs/deployment-gcp.md`` says.
DEPLOYER = "deployer@example.com"


def built(source: Path, folder: Path, service: str) -> tuple[Path, dict[str, Any]]:
    """Build a project for the running Python; return the unpacked package and the document."""
    project = folder / "project"
    shutil.copytree(source, project, ignore=shutil.ignore_patterns("out", "__pycache__"))
    manifest = project / "portafaas.yaml"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    manifest.write_text(manifest.read_text().replace('"3.11"', f'"{version}"'))
    build(manifest, ["gcp"], infrastructure=True)
    out = project / "out" / "gcp"
    with zipfile.ZipFile(out / f"{service}.zip") as package:
        package.extractall(folder / "package")
    return folder / "package", json.loads((out / f"{service}.tf.json").read_text())


class Instance:
    """A function in functions-framework, started at its first request."""

    def __init__(
        self, package: Path, entry: str, name: str, env: Mapping[str, str], log: Path
    ) -> None:
        self.port = free_port()
        self._package = package
        self._env = {**cloud_run(entry, name, "http"), **env}
        self._env |= {"PORT": str(self.port), "HOST": "127.0.0.1", "HOME": str(log.parent)}
        self._env["PATH"] = os.environ["PATH"]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._sender = http_sender(self.port)
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the function unless it runs, and wait until it listens."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()

    def _start(self) -> None:
        script = Path(sys.executable).with_name("functions-framework")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(script)], cwd=self._package, env=self._env,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < end, self._log.read_text()
                time.sleep(0.02)

    def send(self, body: bytes) -> int:
        """Deliver a push, and return the status of the answer."""
        self.start()
        return self._sender(body)

    def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Deliver what is no push, and return the status of the answer."""
        self.start()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/", body, dict(headers))
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def stop(self) -> None:
        """Kill the server and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class World:
    """One service, deployed to the emulator under *project*.

    ``seen`` is what its handlers wrote to the file ``SEEN``; ``pushers`` deliver, by function.
    """

    def __init__(
        self, document: Mapping[str, Any], package: Path, pubsub: PubSub, folder: Path,
        project: str, pace: float = 0.0,
    ) -> None:  # fmt: skip
        self.resources: Mapping[str, Any] = document["resource"]
        self.pubsub = pubsub
        self.project = project
        self.file = folder / "seen.jsonl"
        self.peers = Peers(self._may, self._function, pace)
        self.instances: dict[str, Instance] = {}
        self.environment: dict[str, dict[str, str]] = {}
        self.pushers: dict[str, Pusher] = {}
        for key, body in self.resources["google_cloudfunctions2_function"].items():
            config = body["service_config"]
            account = self.value(config["service_account_email"])
            variables = {n: self.value(v) for n, v in config["environment_variables"].items()}
            variables |= {
                "PUBSUB_EMULATOR_HOST": pubsub.host,
                "GCE_METADATA_HOST": f"{self.peers.host}/of/{account}",
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS": f"http://{self.peers.host}/",
                "SEEN": str(self.file),
            }
            self.environment[key] = variables
            log = folder / f"{key}.log"
            self.instances[key] = Instance(
                package, body["build_config"]["entry_point"], body["name"], variables, log
            )
        for body in self.resources.get("google_pubsub_topic", {}).values():
            pubsub.topic(f"projects/{project}/topics/{body['name']}")
        for body in self.resources.get("google_pubsub_subscription", {}).values():
            self._subscribe(body, pace)

    def _subscribe(self, body: Mapping[str, Any], pace: float) -> None:
        settings: dict[str, Any] = {}
        dead = body.get("dead_letter_policy")
        if dead:
            settings["deadLetterPolicy"] = {
                "deadLetterTopic": self.value(dead["dead_letter_topic"]),
                "maxDeliveryAttempts": dead["max_delivery_attempts"],
            }
        ordered = body.get("enable_message_ordering", False)
        name = self.pubsub.subscription(
            f"projects/{self.project}/subscriptions/{body['name']}",
            self.value(body["topic"]),
            enableMessageOrdering=ordered,
            messageRetentionDuration=body.get("message_retention_duration", "604800s"),
            **settings,
        )
        if "push_config" not in body:
            return
        key = body["push_config"]["push_endpoint"].split(".")[1]
        policy = body.get("retry_policy")
        self.pushers[key] = Pusher(
            self.pubsub, name, self.instances[key].send,
            policy=policy and {f"{k.split('_')[0]}Backoff": v for k, v in policy.items()},
            filter=body.get("filter", ""), ordered=ordered,
            dead=settings.get("deadLetterPolicy"), pace=pace,
        )  # fmt: skip

    def stop(self) -> None:
        """End all of it, but the emulator."""
        for pusher in self.pushers.values():
            pusher.stop()
        self.peers.stop()
        for instance in self.instances.values():
            instance.stop()

    def value(self, text: str) -> str:
        """Return what an expression of the document comes to."""
        return _REFERENCE.sub(lambda found: self._one(found[1]), text)

    def _one(self, expression: str) -> str:
        if expression == "var.project":
            return self.project
        if expression == "var.region":
            return REGION
        kind, key, attribute = expression.split(".")
        body = self.resources[kind][key]
        place = f"projects/{self.project}"
        match kind, attribute:
            case "google_pubsub_topic", "id":
                return f"{place}/topics/{body['name']}"
            case "google_cloud_tasks_queue", "id":
                return f"{place}/locations/{REGION}/queues/{body['name']}"
            case "google_service_account", _:
                email = f"{body['account_id']}@{self.project}.iam.gserviceaccount.com"
                return {"email": email, "member": f"serviceAccount:{email}",
                        "name": f"{place}/serviceAccounts/{email}"}[attribute]  # fmt: skip
            case _, ("name" | "location"):
                return self.value(body[attribute])
        raise AssertionError(expression)

    def _may(self, account: str, role: str, on: str) -> bool:
        """Tell whether the document (or what the deployer has) grants *role*."""
        if account == DEPLOYER:
            return True
        kinds = {
            "roles/cloudtasks.enqueuer": ("google_cloud_tasks_queue_iam_member", "name"),
            "roles/iam.serviceAccountUser": (
                "google_service_account_iam_member", "service_account_id"),
        }  # fmt: skip
        kind, argument = kinds[role]
        return any(
            body["role"] == role
            and self.value(body["member"]) == f"serviceAccount:{account}"
            and self.value(body[argument]).rpartition("/")[2] == on.rpartition("/")[2]
            for body in self.resources.get(kind, {}).values()
        )

    @property
    def apis(self) -> dict[str, str]:
        """Return where the APIs are that a deployer's tools call."""
        here = f"http://{self.peers.host}/"
        return {
            "PUBSUB": f"http://{self.pubsub.host}/", "CLOUDTASKS": here, "CLOUDFUNCTIONS": here,
            "MONITORING": here, "STORAGE": here,
        }  # fmt: skip

    def _function(self, name: str) -> dict[str, Any] | None:
        """Return what Cloud Functions says of one."""
        for key, body in self.resources["google_cloudfunctions2_function"].items():
            if name == f"projects/{self.project}/locations/{REGION}/functions/{body['name']}":
                self.instances[key].start()
                account = self.value(body["service_config"]["service_account_email"])
                uri = f"http://127.0.0.1:{self.instances[key].port}"
                return {"serviceConfig": {"uri": uri, "serviceAccountEmail": account}}
        return None

    def topic(self, name: str) -> str:
        """Return the path of a topic, by its key in the document."""
        return self.value(f"${{google_pubsub_topic.{name}.id}}")

    def subscription(self, name: str) -> str:
        """Return the path of a subscription, by its key in the document."""
        body = self.resources["google_pubsub_subscription"][name]
        return f"projects/{self.project}/subscriptions/{body['name']}"

    def letters(self, name: str) -> list[dict[str, Any]]:
        """Return the dead letters that a subscription keeps, by its key in the document."""
        return self.pubsub.messages(self.subscription(name))

    @property
    def seen(self) -> list[dict[str, Any]]:
        """What handlers were delivered, in order."""
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def of(self, id: str) -> list[dict[str, Any]]:
        """Return what handlers were delivered with an id."""
        return [one for one in self.seen if one["id"] == id]

    def wait(self, done: Callable[[], Any], seconds: float = 30.0) -> Any:
        """Return what *done* does once it is true."""
        return until(done, seconds)

    def idle(self) -> None:
        """Wait until nothing is on its way."""
        quiet = 0
        while quiet < 5:
            still = self.peers.idle() and all(p.idle() for p in self.pushers.values())
            quiet = quiet + 1 if still else 0
            time.sleep(0.02)
