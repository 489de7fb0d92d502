"""The shop as a saga, deployed with the command to a local AWS whose state machines run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aws_cloud.cloud import Cloud
from tests.aws_cloud.permissions import used_permissions

SAGA = Path(__file__).parents[2] / "examples" / "shop-saga"
AT = ("--target", "aws")
KEY = {"x-api-key": "demo-key"}
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


class Saga:
    """The project, and the cloud that it is deployed to."""

    def __init__(self, root: Path, cloud: Cloud) -> None:
        self.root, self.cloud = root, cloud
        digest = hashlib.sha256(b"demo-key").hexdigest()
        self.environ = {**os.environ, **cloud.environment, "PORTAFAAS_HTTP_KEYS": f"demo={digest}"}

    def __call__(self, *arguments: str, status: int = 0, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "portafaas", *arguments],
            cwd=self.root, env=self.environ, capture_output=True, text=True, check=False, input=stdin,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self(*arguments, *AT, "--format", "json", status=status))

    def run(self, order: dict[str, Any]) -> str:
        found = self.json("workflow", "start", "fulfil", "--input", json.dumps(order))
        return str(found["run"])

    def rows(self, table: str) -> list[dict[str, Any]]:
        from portafaas_aws.runtime.rows import row_of

        items = self.cloud.client("dynamodb").scan(TableName=f"shop-saga-{table}")["Items"]
        return [dict(row_of(item)) for item in items]

    def until(self, run: str, waiting: bool = False) -> dict[str, Any]:
        """Return the run's state once it has ended, or waits."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            client = self.cloud.client("stepfunctions")
            machine = "arn:aws:states:eu-central-1:123456789012:execution:shop-saga-fulfil"
            found = client.describe_execution(executionArn=f"{machine}:{run}")
            if found["status"] != "RUNNING":
                break
            if waiting and "TaskSubmitted" in repr(
                client.get_execution_history(executionArn=f"{machine}:{run}")
            ):
                break
            time.sleep(0.05)
        state: dict[str, Any] = self.json("workflow", "status", "fulfil", run)
        return state


@pytest.fixture(scope="module")
def saga(
    tmp_path_factory: pytest.TempPathFactory, share_builds: Callable[[Path], None]
) -> Iterator[Saga]:
    folder = tmp_path_factory.mktemp("saga")
    root = folder / "shop-saga"
    shutil.copytree(SAGA, root, ignore=shutil.ignore_patterns("out", ".portafaas", "__pycache__"))
    share_builds(root)
    manifest = root / "portafaas.yaml"
    manifest.write_text(manifest.read_text().replace('python: "3.12"', f'python: "{PYTHON}"'))
    with Cloud(folder, "--workflows") as cloud:
        saga = Saga(root, cloud)
        saga("deploy", *AT, "--yes")
        saga("secrets", "set", "link-key", *AT, stdin="0123456789abcdef0123456789abcdef")
        yield saga


def _order(id: str, count: int, sku: str = "tea", **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "customer": "ada@example.com",
        "lines": [{"sku": sku, "count": count}],
        **more,
    }


def test_it_goes_right(saga: Saga) -> None:
    run = saga.run(_order("o-1", 2))
    state = saga.until(run)
    assert state["state"] == "succeeded", (state["error"], state["cause"])
    assert [row["id"] for row in saga.rows("parcels")] == ["o-1"]
    history = saga.json("workflow", "history", "fulfil", run)
    assert history


def test_it_is_undone(saga: Saga) -> None:
    assert saga.until(saga.run(_order("o-2", 100)))["state"] == "succeeded"
    run = saga.run({**_order("o-4", 10, "cup"), "lines": [
        {"sku": "cup", "count": 10}, {"sku": "tea", "count": 100}]})  # fmt: skip
    state = saga.until(run)
    assert (state["state"], state["error"]) == ("failed", "OutOfStock"), state
    history = saga.json("workflow", "history", "fulfil", run)
    undone = [(e["step"], e["place"]) for e in history if e["what"] == "undone"]
    assert undone == [("take", "reserve/take~undo"), ("charge", "charge~undo")]
    caught = [(e["step"], e["error"]) for e in history if e["what"] == "caught"]
    assert caught == [("reserve", "OutOfStock")]


def test_it_is_turned_down(saga: Saga) -> None:
    run = saga.run(_order("o-3", 20, "pot"))
    state = saga.until(run, waiting=True)
    assert (state["state"], state["waiting"]) == ("running", ["approved"]), state
    saga("workflow", "signal", "fulfil", run, "approved", "--input", '{"yes": false}', *AT)
    state = saga.until(run)
    assert (state["state"], state["error"]) == ("failed", "NotApproved")


def test_an_order_by_http_is_approved_by_a_link(saga: Saga) -> None:
    """The handlers' own clients: start, status and signal, with their functions' roles."""
    cloud = saga.cloud
    order = {"customer": "Ada", "lines": [{"sku": "pot", "count": 20}]}
    answer = cloud.request("POST", "/orders", order, KEY)
    assert answer.status == 201, answer.body
    place = answer.headers["location"]

    def state() -> str:
        return str(cloud.request("GET", place, None, KEY).json()["state"])

    assert _soon(lambda: state() == "waiting for approval")
    (letter,) = [row for row in saga.rows("letters") if row["id"] == f"{place[8:]}/question"]
    link = letter["text"].rpartition("/approvals")[2]
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert cloud.request("POST", f"/approvals{link}x", b"answer=yes", form).status == 403
    assert cloud.request("POST", f"/approvals{link}", b"answer=yes&by=Bo", form).status == 200
    assert _soon(lambda: state() == "succeeded")
    assert cloud.request("POST", f"/approvals{link}", b"answer=yes", form).status == 409
    assert cloud.request("GET", f"{place}0", None, KEY).status == 404


def _soon(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_machines_call_what_they_may(saga: Saga) -> None:
    used = used_permissions(saga.cloud.all_calls)["workflow:shop-saga-fulfil"]
    assert used
    rest = saga.cloud.policy("workflow:shop-saga-fulfil").unused(used)
    assert [grant for grant in rest if not grant.action.startswith("logs:")] == []
    # Functions have the three verbs of one grant, of which each uses its own.
    calls = saga.cloud.all_calls
    made = {
        name: {
            call.operation
            for call in calls.get(f"shop-saga-{name}", ())
            if call.service == "states"
        }
        for name in ("place-order", "get-order", "approve")
    }
    assert made == {
        "place-order": {"StartExecution"},
        "get-order": {"DescribeExecution", "GetExecutionHistory"},
        "approve": {"DescribeExecution", "GetExecutionHistory", "SendTaskSuccess"},
    }
    assert not [call for each in calls.values() for call in each if call.status == 403]
