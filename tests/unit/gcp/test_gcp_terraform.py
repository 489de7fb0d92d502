"""The document under the real Terraform, with a provider that has Google's shapes and no cloud."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas_gcp.infrastructure import schema

TERRAFORM = shutil.which("terraform") or shutil.which("tofu")
pytestmark = [
    pytest.mark.skipif(TERRAFORM is None, reason="neither terraform nor tofu is installed"),
    pytest.mark.skipif(
        importlib.util.find_spec("cdktf_cdktf_provider_google") is None,
        reason="the shapes of Google's resources are not installed",
    ),
]
VARIABLES = {
    "project": "project-1",
    "region": "europe-west1",
    "source_bucket": "packages",
    "source_digest": f"sha256:{'0' * 64}",
    "env_HTTP_KEYS": "name=digest",
}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Return TF_REATTACH_PROVIDERS for a provider that runs."""
    script = Path(__file__).with_name("terraform_provider.py")
    kinds = [*schema.RESOURCES, *(f"data.{kind}" for kind in schema.DATA)]
    with subprocess.Popen(
        [sys.executable, str(script), *kinds],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline()


@pytest.fixture
def terraform(provider: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs one command on a document."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("TF_")},
        **{f"TF_VAR_{name}": value for name, value in VARIABLES.items()},
        "TF_REATTACH_PROVIDERS": provider,
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
    }

    def run(
        document: dict[str, Any], *command: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "main.tf.json").write_text(json.dumps(document))
        assert TERRAFORM is not None
        return subprocess.run(
            [TERRAFORM, *command, "-no-color"],
            cwd=tmp_path,
            env={**environment, **{f"TF_VAR_{n}": v for n, v in variables.items()}},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_apply_and_apply_again(terraform: Any, document: dict[str, Any]) -> None:
    assert terraform(document, "init").returncode == 0
    checked = terraform(document, "validate")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    made = terraform(document, "apply", "-auto-approve")
    assert made.returncode == 0, made.stdout + made.stderr
    count = sum(map(len, document["resource"].values())) - 1  # who-calls has no invokers yet
    assert f"{count} added, 0 changed, 0 destroyed" in made.stdout

    again = terraform(document, "plan", "-detailed-exitcode")
    assert again.returncode == 0, again.stdout

    # Another package changes the functions and nothing else.
    other = terraform(document, "apply", "-auto-approve", source_digest="1" * 64)
    functions = len(document["resource"]["google_cloudfunctions2_function"])
    assert f"0 added, {functions} changed, 0 destroyed" in other.stdout
    assert terraform(document, "plan", source_digest="latest").returncode == 1

    called = terraform(
        document,
        "apply",
        "-auto-approve",
        source_digest="1" * 64,
        who_calls__invokers='["user:jane@example.com"]',
    )
    assert "1 added, 0 changed, 0 destroyed" in called.stdout

    # Data is not destroyed with the rest.
    gone = terraform(document, "destroy", "-auto-approve", source_digest="1" * 64)
    assert gone.returncode == 1 and "prevent_destroy" in gone.stderr


def test_an_alert_goes_with_its_channel(terraform: Any, document: dict[str, Any]) -> None:
    assert terraform(document, "init").returncode == 0
    assert terraform(document, "apply", "-auto-approve").returncode == 0
    policies = document["resource"]["google_monitoring_alert_policy"]
    policies["broken"]["notification_channels"].pop()
    policies.pop("slow")
    document["resource"]["google_monitoring_notification_channel"].pop("pager__webhook")
    after = terraform(document, "apply", "-auto-approve")
    assert "0 added, 1 changed, 2 destroyed" in after.stdout, after.stdout + after.stderr


def test_values_arrive_as_they_were_written(terraform: Any, document: dict[str, Any]) -> None:
    assert terraform(document, "init").returncode == 0
    assert terraform(document, "plan", "-out=made").returncode == 0
    shown = json.loads(terraform(document, "show", "-json", "made").stdout)
    planned = {
        item["address"]: item["values"]
        for item in shown["planned_values"]["root_module"]["resources"]
    }
    echo = planned["google_cloudfunctions2_function.echo"]["service_config"][0]
    assert echo["environment_variables"]["TEMPLATE"] == "${not} %{this}"
    alert = planned["google_monitoring_alert_policy.broken"]
    # As Monitoring's own way of writing it literally.
    assert alert["documentation"][0]["content"].startswith("Somebody $${should} look.")
    pager = planned["google_monitoring_notification_channel.pager__webhook"]
    assert pager["labels"] == {"url": "https://hooks.example.com/?token=${abc}"}
    listen = planned["google_pubsub_subscription.listen"]
    assert listen["filter"].startswith('(attributes."ce-type" = "a.b" OR')
    assert planned["google_storage_bucket.kept"]["name"] == "project-1-shop-test-kept"
    source = planned["google_cloudfunctions2_function.echo"]["build_config"][0]["source"][0]
    assert source["storage_source"][0]["object"] == f"shop/{'0' * 64}.zip"


@pytest.mark.parametrize(
    ("given", "database", "event"),
    [
        ({}, "europe-west1", "europe-west1"),
        ({"database_location": "eur3"}, "eur3", "europe-west4"),
        ({"database_location": "us-east1"}, "us-east1", "us-east1"),
    ],
)
def test_events_are_where_the_database_is(
    terraform: Any, document: dict[str, Any], given: dict[str, str], database: str, event: str
) -> None:
    assert terraform(document, "init").returncode == 0
    assert terraform(document, "plan", "-out=made", **given).returncode == 0
    shown = json.loads(terraform(document, "show", "-json", "made").stdout)
    found = {
        item["address"]: item["values"]
        for item in shown["planned_values"]["root_module"]["resources"]
    }
    assert found["google_firestore_database.tables"]["location_id"] == database
    assert found["google_eventarc_trigger.rows__created"]["location"] == event


def _caught(terraform: Any, document: dict[str, Any]) -> bool:
    return bool(terraform(document, "validate").returncode)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r["google_pubsub_topic"].pop("queue__orders"),
        lambda r: r["google_cloudfunctions2_function"]["echo"]["service_config"].update(memory=1),
        lambda r: r["google_eventarc_trigger"]["rows__created"].pop("destination"),
        lambda r: r["google_pubsub_subscription"]["listen"].update(ack_deadline_seconds="soon"),
        lambda r: r["google_cloud_scheduler_job"]["nightly"]["http_target"].update(uri="${a.b.c}"),
    ],
)
def test_terraform_and_the_shapes_refuse(
    terraform: Any, document: dict[str, Any], spoil: Callable[[dict[str, Any]], Any]
) -> None:
    assert terraform(document, "init").returncode == 0
    assert not _caught(terraform, document)
    spoil(document["resource"])
    assert _caught(terraform, document)
