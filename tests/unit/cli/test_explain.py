"""What ``portafaas explain`` prints, word for word: ``pytest --update-golden`` writes it anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.cli.explain import _text
from portafaas.explanation import explain
from portafaas.pipeline import Checked, check
from portafaas.registry import get_adapter
from portafaas.testing import service
from portafaas.testing.kit import PYTHON, offers, requirements

Run = Callable[..., Any]
SHOP = Path(__file__).resolve().parents[3] / "examples" / "shop" / "portafaas.yaml"
GOLDEN = Path(__file__).parent / "golden"
TARGETS = ("aws", "azure", "gcp")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("function", ["charge", "create-order"])
def test_the_shop_is_explained_as_written_down(
    run: Run, function: str, target: str, request: pytest.FixtureRequest
) -> None:
    result = run("explain", function, "-t", target, "-m", str(SHOP))
    assert result.code == 0
    file = GOLDEN / f"explain-{function}.{target}.txt"
    if request.config.getoption("--update-golden"):
        file.write_bytes(result.out.encode())
    assert result.out == file.read_bytes().decode()


@pytest.mark.parametrize("target", TARGETS)
def test_a_task_loses_nothing_and_is_repeated_by_its_step(
    run: Run, tmp_path: Path, target: str
) -> None:
    manifest = tmp_path / "portafaas.yaml"
    manifest.write_text(
        "portafaas: 1\nname: one\nfunctions:\n  work: {handler: app:work, trigger: {task: {}}}\n"
        "workflows:\n  flow: {steps: {do: {task: work}}}\n"
    )
    (tmp_path / "app.py").write_text("def work(task, context): ...\n")
    text = run("explain", "work", "-t", target, "-m", str(manifest)).out
    assert "when the step's 'retry' is used up" in text
    assert "one attempt of a step runs it once" in text
    for wrong in ("is lost", "the target's defaults", "however old"):
        assert wrong not in text


def test_all_targets_follow_one_another(run: Run) -> None:
    result = run("explain", "charge", "-m", str(SHOP))
    texts = [(GOLDEN / f"explain-charge.{target}.txt").read_bytes().decode() for target in TARGETS]
    assert result.out == "\n".join(texts)


@pytest.mark.parametrize("target", TARGETS)
def test_lines_are_those_of_the_file(run: Run, target: str) -> None:
    """What stands on a line of the manifest is what the explanation says stands there."""
    facts = run("explain", "charge", "-t", target, "-m", str(SHOP), "--format", "json").json[target]
    text = SHOP.read_text().splitlines()
    for line in facts["lines"]:
        if line["why"] == "platform":
            assert line["line"] is None
            continue
        here = text[line["line"] - 1][line["column"] - 1 :]
        last = line["why"].rpartition(".")[2].partition("[")[0]
        if last == "uses":
            verb, _, name = line["title"].partition(" ")[2].partition(" ")
            assert here.startswith(f"{{{verb}: {name}}}"), line
        else:
            before = text[line["line"] - 1][: line["column"] - 1]
            above = text[line["line"] - 2]
            assert f"{last}:" in before or f"{last}:" in above or here.startswith(last), line


def _conformance(target: str, folder: Path) -> Checked:
    offered = offers(get_adapter(target))
    functions = {
        name: spec for name, spec in service.FUNCTIONS.items() if requirements()[name] <= offered
    }
    (item,) = check(service.write(folder, service.document(PYTHON, functions)), [target])
    return item


@pytest.mark.parametrize("target", TARGETS)
def test_every_function_of_the_conformance_service(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = _conformance(target, tmp_path)
    assert len(item.plan.functions) > 30
    made, lowered = item.adapter.infrastructure(item.plan), item.adapter.lower(item.plan)
    # Each of sixty functions asks for all of it anew.
    kind = type(item.adapter)
    monkeypatch.setattr(kind, "infrastructure", lambda _, plan: plan is item.plan and made)
    monkeypatch.setattr(kind, "lower", lambda _, plan: plan is item.plan and lowered)
    own: dict[str, set[str]] = {}
    for found in made.resources:
        own.setdefault(found.function, set()).add(found.name)
    for function in item.plan.functions:
        facts = explain(item, function.name)
        assert json.loads(json.dumps(facts)) == facts
        told = {r["name"] for line in facts["lines"] for r in line["resources"] if not r["shared"]}
        assert told == own[function.name]
        assert facts["redelivery"]["by"] is not None
        text = "\n".join(_text(facts))
        assert all(name in text for name in told)
        assert "None" not in text and "unknown" not in text


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A service whose functions share what others do not use."""
    (tmp_path / "m.py").write_text("def f(event, context):\n    return None\n")
    file = tmp_path / "portafaas.yaml"
    file.write_text(
        """\
portafaas: 1
name: share
targets:
  gcp: {region: europe-west1}
functions:
  one: {handler: "m:f", trigger: {queue: {name: jobs}}}
  two:
    handler: "m:f"
    trigger: {http: {path: /}}
    uses: [{write: rows}]
    targets:
      aws: {front: function-url}
      gcp: {cpu: 2}
  three: {handler: "m:f", trigger: {http: {path: /three}}}
queues:
  jobs: {dead-letter: lost}
  lost: {}
  others: {}
tables: {rows: {}}
channels: {ops: {email: a@b.example}, idle: {email: b@b.example}}
alerts: {many: {metric: dead-letters, queue: jobs, notify: [ops]}}
stages:
  prod:
    functions:
      one:
        retry: {attempts: 9}
"""
    )
    yield file


@pytest.mark.parametrize("target", TARGETS)
def test_only_what_the_function_shares_is_told(run: Run, shared: Path, target: str) -> None:
    def whys(function: str) -> set[str]:
        document = run("explain", function, "-t", target, "-m", str(shared), "--format", "json")
        lines = document.json[target]["lines"]
        assert all(line["binding"] or line["resources"] or line["permissions"] for line in lines)
        return {line["why"] for line in lines}

    one, two = whys("one"), whys("two")
    assert {"$.queues.jobs", "$.queues.lost", "$.alerts.many", "$.channels.ops"} <= one
    assert not {"$.tables.rows", "$.queues.others", "$.channels.idle"} & one
    assert "$.tables.rows" in two
    assert not {"$.queues.jobs", "$.queues.lost", "$.alerts.many", "$.channels.ops"} & two


def test_escape_hatches_are_told_with_what_they_cost(run: Run, shared: Path) -> None:
    def portability(target: str, function: str) -> list[Any]:
        arguments = ("explain", function, "-t", target, "-m", str(shared), "--format", "json")
        found: list[Any] = run(*arguments).json[target]["portability"]
        return found

    assert [(s["setting"], s["value"], s["line"]) for s in portability("gcp", "two")] == [
        ("targets.gcp.region", "europe-west1", 4),
        ("functions.two.targets.gcp.cpu", 2, 13),
    ]
    (front,) = portability("aws", "two")
    assert front["elsewhere"] == "nothing: functions answer directly, for as long as they may run."
    assert portability("aws", "one") == portability("azure", "two") == []
    text = run("explain", "two", "-t", "gcp", "-m", str(shared)).out
    assert "portafaas.yaml:13  functions.two.targets.gcp.cpu: 2\n    Processors" in text
    assert "    elsewhere: choose memory that brings as many processors (AWS, Azure).\n" in text


def test_a_stage_has_its_own_lines(run: Run, shared: Path) -> None:
    arguments = ("explain", "one", "-t", "aws", "-m", str(shared))
    assert "asked for     nothing: the target's defaults" in run(*arguments).out
    staged = run(*arguments, "--stage", "prod").out
    assert "9 deliveries, exponential, 1 s to 60 s  (portafaas.yaml:26)" in staged
    assert "deliveries    9 in all" in staged


def test_an_adapter_that_says_nothing_is_not_made_up(shared: Path) -> None:
    (item,) = check(shared, ["aws"])
    facts = explain(item, "one")
    silent = {**facts, "redelivery": {"asked": None, "by": None}}
    assert "  by            unknown: the adapter does not say" in list(_text(silent))


def test_what_the_engine_would_refuse_is_told(run: Run, shared: Path) -> None:
    many = "\n".join(
        f"  f{n}: {{handler: 'm:f', trigger: {{http: {{path: /f{n}}}}}}}" for n in range(100)
    )
    shared.write_text(shared.read_text().replace("functions:\n", f"functions:\n{many}\n", 1))
    result = run("explain", "one", "-t", "aws", "-m", str(shared))
    assert result.code == 0
    assert "error: PF3002" in result.out and "documents: none" in result.out


def test_options_say_what_they_cost_elsewhere() -> None:
    for target in TARGETS:
        for schema in get_adapter(target).options_schema().values():
            for name, option in schema["properties"].items():
                assert option["$comment"].startswith("Elsewhere: "), (target, name)
