"""``portafaas workflow --target azure``, against Microsoft's worker and SDK behind Durable's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import environment
from tests.deploy.workflow_commands import CASES, Quick, play
from tests.unit.azure import azure_deployment_planes as planes
from tests.unit.azure import azure_deployment_server as server
from tests.unit.azure import azure_deployment_stacks as stacks
from tests.unit.azure import fake_arm
from tests.workflows import azure_api, azureapp, scripts

pytestmark = pytest.mark.vendor


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Any]:
    with server.cloud(planes, stacks, fake_arm, planes.certify(tmp_path / "tls.pem")) as made:
        yield made


def test_every_command(tmp_path: Path, cloud: Any) -> None:
    more = {
        "ARM_ENDPOINT": cloud.root, "AZURE_LOCATION": "westeurope",
        "IDENTITY_ENDPOINT": f"{cloud.root}/identity", "IDENTITY_HEADER": "header",
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        "REQUESTS_CA_BUNDLE": str(tmp_path / "tls.pem"),
    }  # fmt: skip
    environ = environment(tmp_path, tmp_path / "quick", more)
    with azureapp.worker(tmp_path, CASES) as (session, told):
        scripts.prepare(told, CASES)
        shop = Quick(tmp_path / "project", "azure", environ)
        shop.modules = (
            "portafaas.cli.workflow", "portafaas_azure.adapter", "portafaas_azure.deployment.workflows",
            "portafaas_azure.deployment.azureengine", "azure.identity", "azure.core.rest",
            "azure.mgmt.resource.deploymentstacks", "azure.core.pipeline.transport",
        )  # fmt: skip
        assert "PF8010" in shop("workflow", "list", "waits", status=1)
        shop("deploy", "--yes")
        (app,) = [
            one for key, one in cloud.resources.items()
            if "/microsoft.web/sites/" in key and (one.get("tags") or {}).get("app") == "workflows"
        ]  # fmt: skip
        assert "PF8010" in shop("workflow", "list", "waits", status=1), "the host has no key yet"
        engine = azureapp.engine_of(session)
        pem = str(tmp_path / "tls.pem")
        with azure_api.served(engine, keyed=True, certificate=pem, beat=10) as url:
            app["properties"]["defaultHostName"] = url.removeprefix("https://")
            cloud.keys[app["id"].lower()] = {"durabletask_extension": azure_api.KEY}
            play(shop)
        shop.close()
