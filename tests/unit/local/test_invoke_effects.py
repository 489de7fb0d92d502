"""``portafaas invoke``: what functions send and write stays here, and is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from portafaas.cli import cli
from portafaas.local.resources import messages, store

EVENT = {
    "http": {
        "method": "POST",
        "path": "/orders",
        "headers": [
            ["traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            ["x-correlation-id", "c-77"],
        ],
    }
}


def invoke(project: Path, *arguments: str, format_: str = "json") -> tuple[Any, str]:
    (project / "event.json").write_text(json.dumps(EVENT))
    done = CliRunner().invoke(
        cli,
        ["invoke", *arguments, "-m", str(project / "portafaas.yaml"), "--format", format_],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    return (json.loads(done.stdout) if format_ == "json" else done.stdout), done.stderr


def check(answer: dict[str, Any], target: str, secret: str = "a1", greeting: str = "hello") -> None:
    """Check the answer and the effects of ``order``."""
    assert answer["status"] == 200, answer
    body = json.loads(answer["body"])
    assert body == {
        "row": {"order": "1", "created": "2026", "n": 2, "none": None}, "size": 2,
        "secret": secret, "greeting": greeting, "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
        "correlation": "c-77", "target": target, "path": body["path"],
    }  # fmt: skip
    queue, topic, table, bucket = answer["effects"]
    assert (queue["kind"], queue["name"], queue["verb"]) == ("queue", "payments", "send")
    assert (queue["body"], queue["key"]) == ('{"a":1}', "c-1")
    parent = queue["attributes"].pop("traceparent")
    assert parent[:36] == "00-4bf92f3577b34da6a3ce929d0e0e4736-"
    assert parent[36:52] != "00f067aa0ba902b7"
    assert queue["attributes"] == {"x": "y", "correlationid": "c-77"}
    assert (topic["name"], topic["verb"]) == ("news", "publish")
    assert topic["attributes"]["ce-type"] == "order.placed"
    assert topic["attributes"]["ce-traceparent"] == parent
    assert table == {
        "kind": "table", "name": "orders", "verb": "put",
        "row": {"order": "1", "created": "2026", "n": 2, "none": None},
    }  # fmt: skip
    assert bucket == {
        "kind": "bucket", "name": "uploads", "verb": "write", "key": "a/b", "size": 2,
        "content_type": "image/png",
    }  # fmt: skip


def test_from_sources(project: Path) -> None:
    for _ in range(2):
        answer, _ = invoke(project, "order", "-e", str(project / "event.json"))
        check(answer, "local")
    assert len(messages(store(project, ""), "queue", "payments")) == 2


def test_stages_do_not_mix(project: Path) -> None:
    answer, _ = invoke(project, "order", "-e", str(project / "event.json"), "--stage", "prod")
    check(answer, "local", "b2", "good day")
    assert messages(store(project, ""), "queue", "payments") == []
    assert len(messages(store(project, "prod"), "queue", "payments")) == 1


def test_as_text(project: Path) -> None:
    text, _ = invoke(project, "order", "-e", str(project / "event.json"), format_="text")
    assert text.startswith("HTTP 200\n")
    lines = text.splitlines()[-4:]
    assert [line.partition(" {")[0] for line in lines] == [
        "queue payments: send",
        "topic news: publish",
        "table orders: put",
        "bucket uploads: write",
    ]
    assert all(len(line) < 450 for line in lines)


def test_a_function_that_uses_nothing_has_no_effects(project: Path) -> None:
    answer, _ = invoke(project, "quiet")
    assert "effects" not in answer
    assert json.loads(answer["body"]) == {"resources": []}
    assert not (project / ".portafaas" / "local").exists()


def test_a_secret_without_a_local_value(project: Path) -> None:
    (project / ".portafaas" / "secrets" / "-" / "pay-key").unlink()
    (project / "event.json").write_text(json.dumps(EVENT))
    done = CliRunner().invoke(
        cli,
        ["invoke", "order", "-m", str(project / "portafaas.yaml"), "--format", "json",
         "-e", str(project / "event.json")],
    )  # fmt: skip
    assert done.exit_code == 1
    assert len(json.loads(done.stdout)["effects"]) == 4


@pytest.mark.parametrize("target", ["aws", "azure", "gcp"])
def test_in_the_vendor_s_runtime(project: Path, target: str) -> None:
    answer, logs = invoke(
        project, "order", "-e", str(project / "event.json"), "--target", target
    )
    check(answer, target)
    assert "0123456789-a1" not in logs
