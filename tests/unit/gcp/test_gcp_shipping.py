"""What ships: weight of the imports, age of the syntax, and the package in the real server."""

from __future__ import annotations

import ast
import base64
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from portafaas_gcp.adapter import ADAPTER

HEAVY = ("dataclasses re typing inspect enum urllib email http asyncio logging datetime json "
         "flask werkzeug functions_framework").split()  # fmt: skip


@pytest.mark.parametrize("kind", ["http", "queue", "topic", "object", "table", "schedule"])
def test_a_bridge_imports_little(shipped: Path, kind: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(shipped)!r}); "
        f"import portafaas_gcp.runtime.{kind}; "
        f"print([m for m in {HEAVY!r} if m in sys.modules], "
        f"[m for m in sys.modules if m.startswith('portafaas_gcp')])"
    )
    out = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.startswith("[] "), out
    others = {"http", "queue", "topic", "object", "table", "schedule"} - {kind}
    assert not [name for name in others if f"runtime.{name}'" in out], out


def test_syntax_is_that_of_3_10(shipped: Path) -> None:
    files = sorted((shipped / "portafaas_gcp").rglob("*.py"))
    assert len(files) > 10
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


def test_unknown_entry_is_an_attribute_error(package: Path) -> None:
    code = (
        f"import runpy; names = runpy.run_path({str(package / 'main.py')!r});"
        "import sys; assert sys.path[1].endswith('/site-packages'), sys.path;"
        "assert 'portafaas_gcp' not in sys.modules;"
        "names['__getattr__']('nothing')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "has no attribute 'nothing'" in ran.stderr


def _get(path: str) -> dict[str, Any]:
    return {"method": "GET", "path": path, "headers": [], "body": None}


def _body(result: Any) -> bytes:
    return base64.b64decode(result.value["body"])


@pytest.fixture
def serve(plan: Any, package: Path, shipped: Path) -> Any:
    deployments = {d.function: d for d in ADAPTER.lower(plan).deployments}

    def start(name: str, **env: str) -> Any:
        deployment = deployments[name]
        return ADAPTER.vendor_runtime().start(
            package,
            entry=deployment.entry,
            function=name,
            python=Path(sys.executable),
            env={**deployment.environment, "PYTHONPATH": str(shipped), **env},
            timeout=float(deployment.timeout),
            memory=deployment.memory,
            settings={},
        )

    return start


def test_one_thread_means_the_main_thread(serve: Any) -> None:
    with serve("answer") as session:
        assert _body(session.invoke(_get("/do/thread"))) == b"True"
        late = session.invoke(_get("/do/slow"))
        assert late.value["status"] == 504 and late.duration_ms < 4000
        # The worker has survived both that and an exit.
        assert session.invoke(_get("/do/exit")).value["status"] == 500
        assert session.invoke(_get("/do/none")).value["status"] == 204


def test_more_threads_serve_at_once(serve: Any) -> None:
    with serve("answer", THREADS="4") as session:
        assert _body(session.invoke(_get("/do/thread"))) == b"False"
        late = session.invoke_many([_get("/do/slow"), _get("/do/slow"), _get("/do/none")])
        assert [item.value["status"] for item in late] == [504, 504, 204]
        assert max(item.duration_ms for item in late) < 4000


def test_paths_and_headers_survive_the_real_server(serve: Any, plan: Any) -> None:
    import json

    from portafaas.adapter import HttpStimulus

    function = plan.function("echo")
    with serve("echo") as session:
        for path in ("/a//b%2Fc/%25", "//x", "/robots.txt", "/%FF/%C3%BC"):
            stimulus = HttpStimulus("POST", path, "a=%20+", (("x-a", "ü"), ("x-a", "2")), b"\0")
            request = ADAPTER.encode(plan, function, stimulus)[0]
            result = session.invoke(request.payload)
            outcome = ADAPTER.decode(
                plan, function, stimulus, [(request, {"ok": result.ok, "value": result.value})]
            )
            assert outcome.headers == (("content-type", "application/json"),)  # type: ignore[union-attr]
            told = json.loads(outcome.body)  # type: ignore[union-attr]
            from urllib.parse import unquote

            assert told["path"] == unquote(path)
            assert told["headers"] == {"x-a": "ü,2"} and told["raw_query"] == "a=%20+"


def test_deliveries_reach_the_real_server(serve: Any, plan: Any) -> None:
    from portafaas.adapter.neutral import sample

    def deliver(name: str) -> list[int]:
        function = plan.function(name)
        stimulus = sample(plan, function)
        with serve(name) as session:
            results = [
                session.invoke(request.payload)
                for request in ADAPTER.encode(plan, function, stimulus)
            ]
        return [result.value["status"] for result in results]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(deliver, ["take-orders", "listen", "files", "audit", "nightly"]))
    assert found == [[204, 204], [204], [204], [204], [204]]
