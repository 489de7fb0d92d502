"""``portafaas dev --as``: server, deliveries and reload on a target's runtime."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from portafaas.local import resources
from portafaas.runtime.resources import Outgoing
from tests.dev.as_project import MANIFEST, SOURCE

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.vendor


def _call(url: str, body: bytes = b"hello") -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_no_debugger_in_a_vendors_runtime(tmp_path: Path) -> None:
    from portafaas.dev.service import Dev
    from portafaas.errors import DeploymentError

    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    dev = Dev(tmp_path / "portafaas.yaml", target="aws", port=0, debug=("*",), reload=False)
    with pytest.raises(DeploymentError, match="PF8060"):
        dev.start()


def test_an_application_as_a_target_has_it(tmp_path: Path) -> None:
    from portafaas.dev.service import Dev

    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text(SOURCE)
    log = tmp_path / "log"
    with Dev(
        tmp_path / "portafaas.yaml", target="aws", port=0, environment={"LOG": str(log)},
        findings=False, reload=False,
    ) as dev:  # fmt: skip
        assert _call(f"{dev.url}/web?give=1") == (200, {"got": 5, "target": "aws", "more": "x"})
        # The record has the ids that the handler had.
        ids = _call(f"{dev.url}/web?give=span")[1]
        dev.activity.flush()
        (one,) = dev.activity.trace(ids["trace"])
        assert (one["span_id"], one["function"], one["status"]) == (ids["span"], "web", "ok")
        assert one["target"] == "aws"
        # More than an event of Lambda may have, base64 included.
        large = b"\xff" * (5 * 1024 * 1024)
        assert _call(f"{dev.url}/web?give=1", large)[0] == 413
        address = str(resources.store(tmp_path, "") / "queue" / "jobs")
        resources.send(address, [Outgoing("m-1", b"permanent")], False)
        dev.wake()
        end = time.monotonic() + 60
        while not (dead := dev.activity.list(status="dead")) and time.monotonic() < end:
            time.sleep(0.05)
        assert [one["function"] for one in dead] == ["work"]
        (work,) = dev.activity.trace(dead[0]["trace_id"])
        assert [(one["name"], one["status"]) for one in work["spans"]] == [("m-1", "error")]
        refused = dev.activity.list(status="refused")
        assert [one["function"] for one in refused] == ["web"]
        (tmp_path / "app.py").write_text(SOURCE.replace('"got": len', '"was": len'))
        assert dev.reload()
        assert _call(f"{dev.url}/web?give=0")[1]["was"] == 5
        # What cannot be packaged leaves the last good one running.
        (tmp_path / "portafaas.yaml").write_text(MANIFEST.replace("timeout: 5s", "timeout: 5h"))
        assert not dev.reload()
        assert _call(f"{dev.url}/web?give=0")[1]["was"] == 5
        places = [Path(str(dev.instances.folder)), dev.emulated.vendor.package]  # type: ignore[union-attr]
    assert dev._failed is None and not any(place.exists() for place in places)
