"""``targets.<name>`` blocks: validated by the adapter's schema, reported as not portable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portafaas.capabilities import check_target
from portafaas.errors import AdapterError
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.registry import get_adapter

MANIFEST = """\
portafaas: 1
name: demo
functions:
  hello:
    handler: app:hello
    trigger: {http: {path: /hello}}
    targets: {aws: {%s}}
"""


def check(tmp_path: Path, options: str, adapter: Any = None) -> Any:
    (tmp_path / "app.py").write_text("def hello(request, context): ...\n")
    (tmp_path / "portafaas.yaml").write_text(MANIFEST % options)
    manifest = load_manifest(tmp_path / "portafaas.yaml")
    return check_target(manifest, build_plan(manifest, "aws"), adapter or get_adapter("aws"))


def test_a_known_option_is_reported(tmp_path: Path) -> None:
    (note,) = check(tmp_path, "front: function-url")
    assert (note.code, note.severity, note.line) == ("PF4010", "note", 7)
    assert note.path == "$.functions.hello.targets.aws"
    assert "'aws'" in note.message and "front" in note.message


@pytest.mark.parametrize(
    ("options", "path", "said"),
    [
        ("frnt: function-url", "$.functions.hello.targets.aws.frnt", "did you mean 'front'?"),
        ("front: alb", "$.functions.hello.targets.aws.front", "function-url"),
    ],
)
def test_an_unknown_option_is_refused_with_its_line(
    tmp_path: Path, options: str, path: str, said: str
) -> None:
    with pytest.raises(AdapterError) as caught:
        check(tmp_path, options)
    (found,) = caught.value.diagnostics
    assert (found.code, found.path, found.line) == ("PF4001", path, 7)
    assert said in str(found)


def test_a_schema_beyond_our_evaluator_is_evaluated_too(tmp_path: Path) -> None:
    aws = get_adapter("aws")
    schema = {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    body = {
        "options_schema": lambda self: {"service": {}, "function": schema},
        "__module__": type(aws).__module__,
    }
    other = type("Other", (type(aws),), body)()
    with pytest.raises(AdapterError, match="PF4001"):
        check(tmp_path, "a: 1, b: 2", other)
    assert [note.code for note in check(tmp_path, "a: 1", other)] == ["PF4010"]


@pytest.mark.parametrize("kind", ["queue", "topic", "bucket", "table", "secret"])
def test_a_resource_s_block_that_nobody_reads_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "app.py").write_text("def hello(request, context): ...\n")
    (tmp_path / "portafaas.yaml").write_text(
        MANIFEST % "front: function-url" + f"{kind}s:\n  mine: {{targets: {{aws: {{fast: true}}}}}}\n"
    )
    manifest = load_manifest(tmp_path / "portafaas.yaml")
    with pytest.raises(AdapterError) as caught:
        check_target(manifest, build_plan(manifest, "aws"), get_adapter("aws"))
    (found,) = caught.value.diagnostics
    assert (found.code, found.path, found.line) == ("PF4001", f"$.{kind}s.mine.targets.aws", 9)
