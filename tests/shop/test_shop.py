"""The example: each function answers its event the same from the sources and on every target."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter.neutral import outcome_to_json, stimulus_from_json
from portafaas.invocation import LocalRunner, PackageRunner
from portafaas.local import resources
from portafaas.local.secrets import LocalSecrets
from portafaas.manifest.load import load_manifest
from portafaas.pipeline import build, check
from portafaas.plan.build import build_plan
from portafaas.runtime.rows import Write

SHOP = Path(__file__).parents[2] / "examples" / "shop"
EVENTS = sorted(file.stem for file in (SHOP / "events").glob("*.json"))
TARGETS = ("aws", "azure", "gcp")
ENVIRONMENT = {"PORTAFAAS_HTTP_KEYS": f"demo={hashlib.sha256(b'demo-key').hexdigest()}"}

_PAID = [("put", "orders"), ("publish", "order-events")]
#: What each function sends and writes when it gets its event.
EFFECTS = {
    # Of each payment that somebody is at it, and that it is done.
    "charge": [*_PAID, *_PAID, *[("put", "charged")] * 4],
    "create-order": [("put", "orders"), ("publish", "order-events")],
    "daily-report": [],
    "get-order": [],
    "import-catalog": [("put", "stock"), ("put", "stock")],
    "inventory": [("put", "stock")],
    "notify": [],
    "sale": [("send", "payments"), ("send", "payments")],
    "validate": [("send", "payments")],
}

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
def shop(
    tmp_path_factory: pytest.TempPathFactory, share_builds: Callable[[Path], None]
) -> Path:
    import sys

    folder = tmp_path_factory.mktemp("shop") / "shop"
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns("out", ".portafaas", "__pycache__"))
    share_builds(folder)
    manifest = folder / "portafaas.yaml"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = manifest.read_text()
    assert 'python: "3.12"' in text
    manifest.write_text(text.replace('python: "3.12"', f'python: "{python}"'))
    build(manifest, TARGETS)
    return folder


#: What the events of the example find: an order, and a supplier's catalogue.
PLACED = {
    "id": "c0ffee", "customer": "Ada", "lines": [{"sku": "tea", "count": 2}], "cents": 900,
    "state": "paid",
}  # fmt: skip
CATALOGUE = b"sku,count\ntea,500\npot,20\n"


@dataclass
class Answer:
    """What a function answered, and what it sent and wrote meanwhile."""

    outcome: Any
    effects: list[dict[str, Any]]


def comparable(effect: dict[str, Any]) -> dict[str, Any]:
    """Return the effect without what differs each time."""
    left = {name: value for name, value in effect.items() if name != "id"}
    if "attributes" in left:
        told = ("traceparent", "correlationid", "ce-id", "ce-time", "ce-traceparent", "ce-correlationid")
        left["attributes"] = {n: v for n, v in left["attributes"].items() if n not in told}
    if left["name"] == "charged":
        left["row"] = {n: v for n, v in left["row"].items() if n not in ("owner", "until", "expires")}
    return left


def arranged(effects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return effects to compare: batches differ in size, and so does when records are written."""
    found = [comparable(effect) for effect in effects]
    records = [effect for effect in found if effect["name"] == "charged"]
    records.sort(key=lambda effect: (effect["row"]["id"], effect["row"]["state"]))
    return [effect for effect in found if effect["name"] != "charged"] + records


@pytest.fixture(scope="module")
def deliver(
    shop: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Answer]]:
    manifest = shop / "portafaas.yaml"
    plan = build_plan(load_manifest(manifest))
    with ExitStack() as stack:
        runners: dict[str, Any] = {}
        places: dict[str, Path] = {}

        def variables(target: str) -> dict[str, str]:
            """Return a store of its own for each target, with the order and the catalogue."""
            root = places[target] = tmp_path_factory.mktemp(f"store-{target}")
            LocalSecrets(root, plan).set("payment-key", b"0123456789")
            store = resources.store(root, "")
            write = Write("put", {"id": str(PLACED["id"])}, row=PLACED)
            resources.write_row(str(store / "table/orders"), write, "")
            resources.write(str(store / "bucket/uploads"), "catalog/2026 autumn.csv", CATALOGUE, None)
            found = dict(ENVIRONMENT)
            for function in plan.functions:
                packaged = target != "local"
                found |= resources.environment(plan, function, root, "test", packaged=packaged)
            return found

        runners["local"] = stack.enter_context(LocalRunner(plan, shop, variables("local")))
        for item in check(manifest, TARGETS):
            target = item.adapter.target
            place = shop / "out" / target
            runners[target] = stack.enter_context(
                PackageRunner(
                    item.adapter,
                    item.plan,
                    place / "shop.zip",
                    place / "shop.deployment.json",
                    tmp_path_factory.mktemp(target) / "package",
                    variables(target),
                )
            )

        def call(target: str, name: str) -> Answer:
            store = resources.store(places[target], "")
            before = len(resources.effects(store, "test"))
            outcome = runners[target].deliver(plan.function(name), event(name))
            if target != "local":
                outcome = outcome_to_json(outcome.outcome)
            return Answer(outcome, resources.effects(store, "test")[before:])

        yield call


def test_the_example_uses_every_trigger(shop: Path) -> None:
    plan = build_plan(load_manifest(shop / "portafaas.yaml"))
    kinds = {function.kind for function in plan.functions}
    assert kinds == {"http", "schedule", "queue", "topic", "object", "table"}
    assert sorted(function.name for function in plan.functions) == EVENTS


@pytest.mark.vendor
@pytest.mark.parametrize("name", EVENTS)
def test_all_targets_answer_alike(name: str, deliver: Callable[[str, str], Answer]) -> None:
    reference = deliver("local", name)
    assert reference.outcome.get("status", 200) in (200, 201)
    assert reference.outcome.get("delivered", True) is True
    expected = arranged(reference.effects)
    assert [(e["verb"], e["name"]) for e in expected] == EFFECTS[name]
    for target in TARGETS:
        answer = deliver(target, name)
        assert answer.outcome == reference.outcome, target
        assert arranged(answer.effects) == expected, target


@pytest.mark.vendor
@pytest.mark.parametrize("target", ["local", *TARGETS])
def test_an_order_is_taken(target: str, deliver: Callable[[str, str], Answer]) -> None:
    answer = deliver(target, "create-order").outcome
    assert answer["status"] == 201
    assert json.loads(answer["body"]) == ORDER
    assert answer["headers"]["location"] == f"/orders/{ORDER['id']}"
