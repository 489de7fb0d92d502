"""A script reaches what is deployed: ``connect``, a Resource Manager and a Service Bus here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from portafaas.plan import QueuePlan, TablePlan, TopicPlan
from portafaas.runtime.resources import ResourceError
from portafaas_azure.runtime import identity

MANIFEST = """\
portafaas: 1
name: shop
functions:
  work: {handler: "app:work", trigger: {queue: {name: jobs}}, uses: [send: steps]}
queues: {jobs: {}, steps: {ordered: true}}
topics: {order-news: {}}
stages: {prod: {}}
targets: {azure: {location: westeurope}}
"""


def test_an_adapter_makes_many_engines(site: Any) -> None:
    from portafaas_azure.adapter import ADAPTER

    assert ADAPTER.engine(site.plan()) is not ADAPTER.engine(site.plan())


def test_nothing_is_deployed(site: Any) -> None:
    assert site.refused(site.engine().whereabouts)[0] == ["PF8010"]


def test_every_address(site: Any) -> None:
    plan = site.plan(
        queues=(QueuePlan("jobs"), QueuePlan("spare")), topics=(TopicPlan("order-news"),),
        tables=(TablePlan("orders"),),
    )  # fmt: skip
    site.deploy(plan)
    told = site.engine(plan).whereabouts()
    ends = {
        "PORTAFAAS_QUEUE_JOBS": ".servicebus.windows.net/jobs",
        "PORTAFAAS_QUEUE_SPARE": ".servicebus.windows.net/spare",
        "PORTAFAAS_TOPIC_ORDER_NEWS": ".servicebus.windows.net/order-news",
        "PORTAFAAS_TABLE_ORDERS": ".documents.azure.com:443/dbs/shop/colls/orders",
        "PORTAFAAS_BUCKET_FILES": ".blob.core.windows.net/files",
        "PORTAFAAS_SECRET_TOKEN": ".vault.azure.net/secrets/token",
    }
    assert list(told) != [] and told.keys() == ends.keys()
    for name, end in ends.items():
        assert told[name].startswith("https://") and told[name].endswith(end)
    # What scripts are told is what functions are told.
    settings: dict[str, str] = {}
    for name in ("web", "work"):
        app = site.cloud.one(f"{name}-{site.unique}")["properties"]["siteConfig"]["appSettings"]
        settings |= {one["name"]: one["value"] for one in app if one["name"] in ends}
    assert len(settings) == 2 and settings.items() <= told.items()


def test_deployed_before_there_were_addresses(site: Any) -> None:
    site.deploy()
    (stack,) = site.cloud.stacks.values()
    del stack["shown"]["properties"]["outputs"]["addresses"]
    codes, text = site.refused(site.engine().whereabouts)
    assert codes == ["PF8010"] and "deploy once more" in text


def test_a_service_without_resources(site: Any) -> None:
    web = site.function("web", site.WEB.trigger)
    plan = site.plan(functions=(web,), queues=(), buckets=(), secrets=())
    site.deploy(plan)
    assert site.engine(plan).whereabouts() == {}


def test_a_script_sends(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("proton")
    from azure.servicebus._pyamqp.client import AMQPClient

    from portafaas.connection import connect
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan
    from portafaas_azure.runtime import sender
    from tests.azure_cloud.broker import Broker
    from tests.azure_cloud.service_bus import bus

    # Its thread, which sleeps for seconds, is waited for when a link is closed.
    monkeypatch.setattr(AMQPClient, "_keep_alive", lambda self: None)
    monkeypatch.setattr(identity, "_tokens", {})
    (tmp_path / "app.py").write_text("def work(message, context): ...\n")
    manifest = tmp_path / "portafaas.yaml"
    manifest.write_text(MANIFEST)
    plan = build_plan(load_manifest(manifest, "prod"), "azure")
    site.deploy(plan)
    broker = Broker()
    broker.queue("jobs")
    broker.queue("steps", requiresSession=True)
    broker.subscription("order-news", "all")
    monkeypatch.setenv("ARM_ENDPOINT", site.cloud.root)
    with bus(broker) as peer:
        (stack,) = site.cloud.stacks.values()
        told = stack["shown"]["properties"]["outputs"]["addresses"]["value"]
        for name, value in told.items():
            told[name] = f"http://{peer.address}/{value.rpartition('/')[2]}"
        shop = connect(manifest, target="azure", stage="prod")
        try:
            id = shop.queues["jobs"].send({"order": "7"})
            shop.queues["steps"].send(b"x", key="1")
            shop.topics["order-news"].publish("y", type="order.placed")
        finally:
            sender.close()
        (job,) = broker.entities["jobs"].messages
        assert (job.body, job.message.id) == (b'{"order":"7"}', id)
        assert [one.session for one in broker.entities["steps"].messages] == ["1"]
        assert len(broker.entities["order-news/Subscriptions/all"].messages) == 1


def test_who_is_signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the app's endpoint azure-identity's default chain is asked, here an environment's."""
    import azure.identity

    monkeypatch.setattr(identity, "_tokens", {})
    monkeypatch.setattr(identity, "_person", [])
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.delenv(name, raising=False)
    # The chain is of this one, which has nothing to go by.
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ResourceError, match="EnvironmentCredential") as caught:
        identity.token("https://vault.azure.net")
    assert not caught.value.retryable
    assert isinstance(identity._person[0], azure.identity.DefaultAzureCredential)


def test_nobody_is_signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_tokens", {})
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ResourceError, match=r"no managed identity.*azure-identity is not installed"):
        identity.token("https://vault.azure.net")


def test_a_token_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """azure-identity runs ``az``; the token is kept until it ends."""
    monkeypatch.setattr(identity, "_tokens", {})
    monkeypatch.setattr(identity, "_person", [])
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    asked = tmp_path / "asked"
    command = tmp_path / "az"
    command.write_text(
        f"#!/bin/sh\necho \"$@\" >> {asked}\n"
        "echo '{\"accessToken\": \"token-1\", \"expires_on\": 4000000000}'\n"
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    made = identity.credential()
    # The scope of Service Bus has two slashes.
    for _ in range(2):
        token = made.get_token("https://servicebus.azure.net//.default")
        assert (token.token, token.expires_on) == ("token-1", 4_000_000_000)
    (line,) = asked.read_text().splitlines()
    assert "--resource https://servicebus.azure.net/" in line
