"""``portafaas workflow --target gcp``, against the workflows emulator and functions-framework."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.vendor.contract import VendorRuntimeError
from portafaas_gcp.workflows import source
from tests.deploy.conftest import environment
from tests.deploy.workflow_commands import CASES, Quick, play
from tests.unit.gcp.gcp_deployment_server import Google, Server
from tests.workflows import scripts
from tests.workflows.test_gcp import World

pytestmark = pytest.mark.vendor


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    try:
        made = World(tmp_path / "world")
    except VendorRuntimeError as exc:
        pytest.skip(f"workflows-emulator cannot be installed: {exc}")
    yield made
    made.close()


def test_every_command(tmp_path: Path, world: World) -> None:
    file = scripts.project(tmp_path / "project", CASES)
    plan = build_plan(load_manifest(file), "gcp")
    scripts.prepare(world.records, CASES)
    server = Server(Google())
    try:
        more = {
            **server.environment(), "CLOUDSDK_COMPUTE_REGION": "europe-west1",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_WORKFLOWEXECUTIONS": world.engine.url,
        }  # fmt: skip
        shop = Quick(file.parent, "gcp", environment(tmp_path, tmp_path / "quick", more))
        shop.modules = (
            "portafaas.cli.workflow", "portafaas_gcp.adapter", "portafaas_gcp.deployment.workflows",
            "google.auth.transport.requests", "google.auth.compute_engine",
        )  # fmt: skip
        assert "PF8010" in shop("workflow", "start", "saga", status=1)
        for flow in plan.workflows:
            world.engine.deploy(f"flow-{flow.name}", source(plan, flow, world.functions.url))
        play(shop)
        shop.close()
    finally:
        server.stop()
