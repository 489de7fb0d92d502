"""A script reaches what is deployed: ``connect``, Infrastructure Manager's peer, Pub/Sub's emulator."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from portafaas.connection import connect
from portafaas.deployment import DeploymentError
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.runtime.resources import ResourceError
from portafaas_gcp.adapter import ADAPTER
from portafaas_gcp.infrastructure.resources import location_of
from portafaas_gcp.runtime import rest
from tests.gcp_cloud.fixtures import pubsub
from tests.unit.gcp import gcp_deployment_cases as cases
from tests.unit.gcp.gcp_deployment_server import PROJECT, Google, Server

__all__ = ["pubsub"]
MANIFEST = """\
portafaas: 1
name: shop
functions:
  work: {handler: "app:work", trigger: {queue: {name: jobs}}, uses: [send: steps]}
queues: {jobs: {}, steps: {ordered: true}}
topics: {order-news: {ordered: true}}
tables: {orders: {key: id, sort: line}}
buckets: {files: {}}
secrets: {api-key: {}}
stages: {test: {}}
targets: {gcp: {region: europe-west1}}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("def work(message, context): ...\n")
    file = tmp_path / "portafaas.yaml"
    file.write_text(MANIFEST)
    return file


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Google]:
    state = Google()
    server = Server(state)
    cases.isolate(monkeypatch, tmp_path, server.environment())
    yield state
    server.stop()
    assert state.problems == []


def deployed(plan: BuildPlan, folder: Path) -> Any:
    engine: Any = ADAPTER.engine(plan)
    engine.poll = 0.005
    cases.deploy(engine, cases.release(folder, plan, environ={}))
    return engine


def value(document: Any, text: str) -> str:
    """Return what an expression of a Terraform document comes to."""

    def one(found: re.Match[str]) -> str:
        if found[1] == "var.project":
            return PROJECT
        kind, key, attribute = found[1].split(".")
        body = document["resource"][kind][key]
        if attribute == "name":
            return value(document, body["name"])
        what = {"google_pubsub_topic": ("topics", "name"),
                "google_secret_manager_secret": ("secrets", "secret_id")}[kind]  # fmt: skip
        return f"projects/{PROJECT}/{what[0]}/{body[what[1]]}"

    return re.sub(r"\$\{([^}]+)\}", one, text)


def test_scripts_are_told_what_functions_are(
    google: Google, manifest: Path, tmp_path: Path
) -> None:
    for options in ({}, {"database": "theirs"}):
        plan = build_plan(load_manifest(manifest, "test"), "gcp")
        plan = cases.changed(plan, options={**plan.options, **options})
        engine = deployed(plan, tmp_path)
        [document] = ADAPTER.infrastructure(plan).documents.values()

        declared: dict[str, Any] = {
            "queue": plan.queues, "topic": plan.topics, "table": plan.tables,
            "bucket": plan.buckets, "secret": plan.secrets,
        }  # fmt: skip
        wanted = {
            f"PORTAFAAS_{kind}_{one.name}".upper().replace("-", "_"): value(
                document, location_of(plan, kind, one.name)
            )
            for kind, resources in declared.items()
            for one in resources
        }
        assert len(wanted) == 6 and engine.whereabouts() == wanted


def test_nothing_is_deployed(google: Google, manifest: Path) -> None:
    with pytest.raises(DeploymentError) as caught:
        connect(manifest, target="gcp", stage="test")
    assert [one.code for one in caught.value.diagnostics] == ["PF8010"]


def test_a_script_sends(
    google: Google, manifest: Path, tmp_path: Path, pubsub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portafaas_gcp.runtime import publisher

    deployed(build_plan(load_manifest(manifest, "test"), "gcp"), tmp_path)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.host)
    monkeypatch.setattr(publisher, "_client", None)
    for name in ("jobs", "steps", "order-news"):
        topic = pubsub.topic(f"projects/{PROJECT}/topics/shop-test-{name}")
        pubsub.subscription(topic.replace("/topics/", "/subscriptions/"), topic)
    shop = connect(manifest, target="gcp", stage="test")
    id = shop.queues["jobs"].send({"order": "7"})
    shop.queues["steps"].send(b"x", key="1")
    shop.topics["order-news"].publish("y", type="order.placed", key="2")
    found = {
        name: pubsub.messages(f"projects/{PROJECT}/subscriptions/shop-test-{name}")
        for name in ("jobs", "steps", "order-news")
    }
    assert [len(one) for one in found.values()] == [1, 1, 1]
    (job,) = found["jobs"]
    assert base64.b64decode(job["data"]) == b'{"order":"7"}'
    assert job["attributes"]["pf-id"] == id
    publisher._client.transport.close()
    with pytest.raises(ResourceError, match="PORTAFAAS_TASKS is not set"):
        shop.queues["jobs"].send("x", delay=5)


@pytest.fixture
def authority() -> Iterator[tuple[str, list[Any]]]:
    """What gives tokens for a key, and keeps a secret: its address, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["content-length"])))
            self._say({"access_token": f"t{len(asked)}", "expires_in": 3600})

        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            data = base64.b64encode(b"hush").decode()
            self._say({"payload": {"data": data}})

        def _say(self, value: Any) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_whose_token_it_is(
    authority: tuple[str, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of Cloud Run google-auth's default credentials are asked, here a key in a file."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    from portafaas_gcp.runtime.resources import secret

    url, asked = authority
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "key.json"
    file.write_text(json.dumps({
        "type": "service_account", "client_email": "ada@example.com", "token_uri": f"{url}/token",
        "private_key": key.decode(), "private_key_id": "1",
    }))  # fmt: skip
    cases.isolate(monkeypatch, tmp_path, {
        "GOOGLE_APPLICATION_CREDENTIALS": str(file), "GOOGLE_CLOUD_QUOTA_PROJECT": "paying",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": url,
    })  # fmt: skip
    monkeypatch.delenv("K_SERVICE", raising=False)
    monkeypatch.setattr(rest, "_token", None)
    monkeypatch.setattr(rest, "_person", [])
    for _ in range(2):
        assert secret("projects/p/secrets/shop-token") == b"hush"
    grant, *calls = asked
    assert b"assertion=" in grant and len(calls) == 2
    assert {call["Authorization"] for call in calls} == {"Bearer t1"}
    assert {call["X-Goog-User-Project"] for call in calls} == {"paying"}
    # What a function has is not asked for where there is none: no credentials, no guesses.
    monkeypatch.setattr(rest, "_person", [])
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing"))
    with pytest.raises(ResourceError, match="cannot get a token"):
        secret("projects/p/secrets/shop-token")
