"""The example: each function answers its event the same from the sources and on every target."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter.neutral import outcome_to_json, stimulus_from_json
from portafaas.invocation import LocalRunner, PackageRunner
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build, check
from portafaas.plan.build import build_plan

SHOP = Path(__file__).parents[2] / "examples" / "shop"
EVENTS = sorted(file.stem for file in (SHOP / "events").glob("*.json"))
TARGETS = ("aws", "azure", "gcp")
ENVIRONMENT = {"PORTAFAAS_HTTP_KEYS": f"demo={hashlib.sha256(b'demo-key').hexdigest()}"}

#: What the issue's shop answers; deliveries succeed.
ORDER = {
    "id": "778c75d9a431",
    "customer": "Ada",
    "lines": [{"sku": "tea", "count": 2}, {"sku": "cup", "count": 1}],
    "cents": 2100,
    "currency": "EUR",
}


def event(name: str) -> Any:
    return stimulus_from_json(json.loads((SHOP / "events" / f"{name}.json").read_text()))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import sys

    folder = tmp_path_factory.mktemp("shop") / "shop"
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns("out", ".portafaas", "__pycache__"))
    manifest = folder / "portafaas.yaml"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = manifest.read_text()
    assert 'python: "3.12"' in text
    manifest.write_text(text.replace('python: "3.12"', f'python: "{python}"'))
    build(manifest, TARGETS)
    return folder


@pytest.fixture(scope="module")
def deliver(
    shop: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Any]]:
    manifest = shop / "portafaas.yaml"
    with ExitStack() as stack:
        plan = build_plan(load_manifest(manifest))
        local = stack.enter_context(LocalRunner(plan, shop, ENVIRONMENT))
        runners = {}
        for item in check(manifest, TARGETS):
            place = shop / "out" / item.adapter.target
            runners[item.adapter.target] = stack.enter_context(
                PackageRunner(
                    item.adapter,
                    item.plan,
                    place / "shop.zip",
                    place / "shop.deployment.json",
                    tmp_path_factory.mktemp(item.adapter.target) / "package",
                    ENVIRONMENT,
                )
            )

        def call(target: str, name: str) -> Any:
            function = plan.function(name)
            if target == "local":
                return local.deliver(function, event(name))
            return outcome_to_json(runners[target].deliver(function, event(name)).outcome)

        yield call


def test_the_example_uses_every_trigger(shop: Path) -> None:
    plan = build_plan(load_manifest(shop / "portafaas.yaml"))
    kinds = {function.kind for function in plan.functions}
    assert kinds == {"http", "schedule", "queue", "topic", "object", "table"}
    assert sorted(function.name for function in plan.functions) == EVENTS


@pytest.mark.vendor
@pytest.mark.parametrize("name", EVENTS)
def test_all_targets_answer_alike(name: str, deliver: Callable[[str, str], Any]) -> None:
    reference = deliver("local", name)
    assert reference.get("status", 200) in (200, 201)
    assert reference.get("delivered", True) is True
    for target in TARGETS:
        assert deliver(target, name) == reference, target


@pytest.mark.vendor
@pytest.mark.parametrize("target", ["local", *TARGETS])
def test_an_order_is_taken(target: str, deliver: Callable[[str, str], Any]) -> None:
    answer = deliver(target, "create-order")
    assert answer["status"] == 201
    assert json.loads(answer["body"]) == ORDER
    assert answer["headers"]["location"] == f"/orders/{ORDER['id']}"
