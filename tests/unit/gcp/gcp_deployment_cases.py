"""A small service with one of everything that deployments treat apart, and its releases."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portafaas.deployment.contract import Progress
from portafaas.deployment.release import Release, make_release
from portafaas.plan import (
    Auth,
    BucketPlan,
    BuildPlan,
    FunctionPlan,
    HttpTrigger,
    QueuePlan,
    QueueTrigger,
    SecretPlan,
    Use,
)
from portafaas_gcp.adapter import ADAPTER

DIGEST = "ada=" + "a" * 64
KEYS = {"HTTP_KEYS": DIGEST}
SMALL = BuildPlan(
    service="shop",
    stage="test",
    python="3.12",
    architecture="x86_64",
    functions=(
        FunctionPlan(
            name="get-order", module="shop", attribute="get",
            trigger=HttpTrigger(("GET",), "/orders", Auth("key", keys="HTTP_KEYS")),
            environment={"GREETING": "hello"},
            uses=(Use("read", "secret", "token"), Use("write", "bucket", "files")),
        ),
        FunctionPlan(
            name="work", module="shop", attribute="work", trigger=QueueTrigger("jobs"),
        ),
    ),
    queues=(QueuePlan("jobs", dead_letter=True),),
    buckets=(BucketPlan("files"),),
    secrets=(SecretPlan("token"),),
    options={"region": "europe-west1"},
)  # fmt: skip
DATA = {
    ("project-1-shop-test-files", "google_storage_bucket"),
    ("shop-test-jobs", "google_pubsub_subscription"),
    ("shop-test-jobs", "google_pubsub_topic"),
    ("shop-test-jobs-dead-letter", "google_pubsub_subscription"),
    ("shop-test-jobs-dead-letter", "google_pubsub_topic"),
    ("shop-test-token", "google_secret_manager_secret"),
    ("shop-test--tasks", "google_cloud_tasks_queue"),
}


def changed(plan: BuildPlan, **fields: Any) -> BuildPlan:
    return dataclasses.replace(plan, **fields)


def release(
    folder: Path, plan: BuildPlan = SMALL, text: str = "1", environ: Mapping[str, str] = KEYS
) -> Release:
    """Return the release of *plan*, with a package that holds *text*."""
    package = folder / f"{plan.service}-{text}.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(zipfile.ZipInfo("main.py"), text)
    made = ADAPTER.infrastructure(plan)
    return make_release(
        plan, package, f"sha256:{text * 64}", made.documents, made.permissions, environ
    )


def deploy(
    engine: Any, what: Release, heard: list[Progress] | None = None, preview: Any = None
) -> Any:
    """Do what the core does around an engine."""
    engine.caller()
    preview = preview or engine.preview(what)
    store = engine.blobs(create=True)
    assert what.package is not None
    store.write(what.package_key, what.package)
    return engine.apply(what, preview, (heard if heard is not None else []).append)


def isolate(monkeypatch: Any, folder: Path, environment: Mapping[str, str]) -> None:
    """Let nothing of whoever runs the tests through: no credentials, no settings."""
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "CLOUDSDK_", "GCE_", "GCLOUD_", "TF_")):
            monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(folder / "gcloud"))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("NO_PROXY", "*")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # It reads where the metadata server is when it is imported.
    importlib.reload(importlib.import_module("google.auth.compute_engine._metadata"))


def made_secret(name: str) -> Any:
    """Return a secret as the provider would have made it."""
    spec = importlib.util.spec_from_file_location(
        "terraform_provider", Path(__file__).with_name("terraform_provider.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shape = module.shape_of("google_secret_manager_secret")
    empty: Any = {**dict.fromkeys(shape["attributes"]), **{n: [] for n in shape["blocks"]}}
    auto: Any = {"customer_managed_encryption": []}
    return {
        **empty, "secret_id": name, "id": f"google_secret_manager_secret/{name}",
        "replication": [{"auto": [auto], "user_managed": []}],
    }  # fmt: skip
