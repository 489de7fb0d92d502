"""Scripts use the clients of handlers, on this machine and where a service is deployed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from portafaas import registry
from portafaas.connection import connect
from portafaas.deployment import DeploymentError
from portafaas.errors import AdapterNotFoundError
from portafaas.local.resources import messages, store
from portafaas.runtime.resources import ResourceError

MANIFEST = """\
portafaas: 1
name: shop
functions:
  work: {handler: "app:work", trigger: {queue: {name: jobs}}}
queues: {jobs: {}}
topics: {news: {ordered: true}}
tables: {orders: {key: id, sort: line}}
buckets: {files: {}}
secrets: {api-key: {}}
config: {currency: {type: string, value: EUR}}
stages: {prod: {config: {currency: {value: XTS}}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("def work(message, context): ...\n")
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    return tmp_path


def test_everything_is_reachable_here(project: Path) -> None:
    shop = connect(project / "portafaas.yaml")
    id = shop.queues["jobs"].send({"order": "7"})
    shop.topics["news"].publish("x", type="order.placed", key="7")
    shop.tables["orders"].put({"id": "7", "line": "1", "sum": 3})
    assert shop.tables["orders"].get("7", "1") == {"id": "7", "line": "1", "sum": 3}
    shop.buckets["files"].write("a", b"b")
    assert shop.buckets["files"].read("a") == b"b"
    assert shop.config["currency"] == "EUR"
    (message,) = messages(store(project, ""), "queue", "jobs")
    assert message["id"] == id
    (event,) = messages(store(project, ""), "topic", "news")
    assert event["attributes"]["ce-source"] == "/shop/functions/script"


def test_stages_are_apart(project: Path) -> None:
    prod = connect(project / "portafaas.yaml", stage="prod")
    prod.queues["jobs"].send("x")
    assert prod.config["currency"] == "XTS"
    assert messages(store(project, ""), "queue", "jobs") == []
    assert len(messages(store(project, "prod"), "queue", "jobs")) == 1


class Engine:
    def __init__(self, found: Mapping[str, str]) -> None:
        self.found = found

    def whereabouts(self) -> Mapping[str, str]:
        return self.found


def test_a_target_says_where_things_are(project: Path, monkeypatch: Any) -> None:
    other = project / "elsewhere"

    class Adapter:
        def engine(self, plan: Any) -> Engine:
            return Engine({"PORTAFAAS_QUEUE_JOBS": str(other / "queue" / "jobs")})

    monkeypatch.setattr(registry, "get_adapter", lambda target: Adapter())
    monkeypatch.setenv("PORTAFAAS_RESOURCES", "portafaas.local.resources")
    shop = connect(project / "portafaas.yaml", target="somewhere")
    assert shop.target == "somewhere"
    shop.queues["jobs"].send("x")
    assert len(messages(other, "queue", "jobs")) == 1
    with pytest.raises(ResourceError, match="PORTAFAAS_BUCKET_FILES, which says where"):
        shop.buckets["files"].read("a")


def test_targets_that_cannot(project: Path) -> None:
    with pytest.raises(AdapterNotFoundError):
        connect(project / "portafaas.yaml", target="nowhere")
    from portafaas.deployment import Engine as Contract

    with pytest.raises(DeploymentError) as caught:
        Contract.whereabouts(object())  # type: ignore[arg-type]
    assert [item.code for item in caught.value.diagnostics] == ["PF8016"]
