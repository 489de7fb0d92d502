"""Orphans, circles, missing dead letters, and schemas that change: by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from portafaas.choreography import baseline
from portafaas.choreography.flow import causes, findings
from portafaas.cli import cli
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan

HEAD = """\
portafaas: 1
name: flow
functions:
  web: {handler: "m:f", trigger: {http: {path: /}}, uses: [{publish: news}, {send: jobs}], emits: [made]}
  hear: {handler: "m:f", trigger: {topic: {name: news, filter: {type: made}}}}
  work: {handler: "m:f", trigger: {queue: {name: jobs}}}
"""
REST = """\
queues: {jobs: {dead-letter: true}}
topics: {news: {}}
"""

Found = list[tuple[str, str, int]]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Any]:
    def manifest(text: str) -> Any:
        (tmp_path / "m.py").write_text("def f(event, context):\n    return None\n")
        (tmp_path / "portafaas.yaml").write_text(text)
        return load_manifest(tmp_path / "portafaas.yaml")

    return manifest


@pytest.fixture
def warned(load: Callable[[str], Any]) -> Callable[..., dict[str, str]]:
    """Return a function that expects one code on each line with ``#! CODE``; texts by code."""

    def check(text: str) -> dict[str, str]:
        manifest = load(text)
        found = findings(manifest, build_plan(manifest))
        assert all(one.severity == "warning" and one.hint and one.path for one in found)
        wanted = [
            (code, number)
            for number, line in enumerate(text.splitlines(), 1)
            if "#! " in line
            for code in line.partition("#! ")[2].split()
        ]
        assert sorted((one.code, one.line) for one in found) == sorted(wanted), found
        return {one.code: f"{one.path} {one.message}; {one.hint}" for one in found}

    return check


def test_nothing_to_say(warned: Callable[[str], Any]) -> None:
    assert warned(HEAD + REST) == {}


def test_orphan_events(warned: Callable[[str], Any]) -> None:
    text = (
        HEAD.replace("emits: [made]}", "emits: [made, gone, mado]} #! PF2110 PF2110")
        .replace("filter: {type: made}}}}", "filter: {type: [made, never, mode]}}}} #! PF2114 PF2114")
        + REST
        + "events:\n  made:\n  gone:\n  mado:\n  other:  #! PF2111\n"
    )
    told = warned(text.replace("#! PF2111", "").replace("other:", "other: {}  #! PF2111"))
    assert "no function emits events of type 'other'" in told["PF2111"]
    assert "$.functions.web.emits nobody receives" in told["PF2110"]
    assert "$.functions.hear.trigger.topic.filter.type no function" in told["PF2114"]


def test_nothing_is_known_of_who_does_not_declare(warned: Callable[[str], Any]) -> None:
    text = HEAD.replace(", emits: [made]", "").replace("type: made", "type: [made, never]")
    assert warned(text + REST + "events: {other: {}}\n") == {}
    outside = HEAD.replace("type: made", "type: [made, never]") + REST
    assert warned(outside.replace("news: {}", "news: {external: [producers]}")) == {}
    gone = HEAD.replace("[made]", "[made, gone]") + REST
    assert warned(gone.replace("news: {}", "news: {external: [consumers]}")) == {}


def test_topics_and_queues_without_ends(warned: Callable[[str], Any]) -> None:
    told = warned(
        HEAD
        + """\
queues:
  jobs: {}  #! PF2116
  unread: {}  #! PF2113
  letters: {}
  others: {dead-letter: letters, external: [producers, consumers]}
topics:
  news: {}
  silent: {}  #! PF2112
"""
    )
    assert "nobody sends to or consumes queue 'unread'" in told["PF2113"]
    assert "external: [producers, consumers]" in told["PF2113"]
    assert "nobody publishes to or subscribes to topic 'silent'" in told["PF2112"]
    assert "'work' cannot process is repeated" in told["PF2116"]


def test_a_task_that_no_workflow_calls(warned: Callable[[str], Any]) -> None:
    told = warned(
        HEAD
        + """\
  called: {handler: "m:f", trigger: {task: {}}}
  undoes: {handler: "m:f", trigger: {task: {}}}
  idle: {handler: "m:f", trigger: {task: {}}}  #! PF2230
"""
        + REST
        + "workflows: {w: {steps: {s: {task: called, compensate: {task: undoes}}}}}\n"
    )
    assert "no workflow calls 'idle'" in told["PF2230"]


def test_one_end(warned: Callable[[str], Any]) -> None:
    more = "queues:\n  jobs: {dead-letter: true}\ntopics:\n  news: {} #! PF2112\n"
    without = HEAD.replace("{publish: news}, ", "").replace(", emits: [made]", "")
    told = warned(without + more)
    assert "nobody publishes to topic 'news'; remove it, or say 'external: [producers]'" in told["PF2112"]
    alone = "".join(line for line in HEAD.splitlines(True) if "hear" not in line)
    assert "nobody subscribes to" in warned(alone + more)["PF2112"]


CIRCLES = [
    # A queue whose consumer sends to it.
    ("  a: {handler: 'm:f', trigger: {queue: {name: q}}, uses: [{send: q}]}", "a -> queue 'q' -> a"),
    # A table whose changes are written back; a bucket, whatever the prefix.
    ("  a: {handler: 'm:f', trigger: {table: {name: t}}, uses: [{read: t}, {write: t}]}", "a -> table 't' -> a"),
    ("  a: {handler: 'm:f', trigger: {object: {bucket: b, prefix: in/}}, uses: [{write: b}]}", "a -> bucket 'b' -> a"),
    # Two functions; of undeclared events any may pass.
    ("  a: {handler: 'm:f', trigger: {topic: {name: e, filter: {type: x}}}, uses: [{send: q}]}\n"
     "  b: {handler: 'm:f', trigger: {queue: {name: q}}, uses: [{publish: e}]}",
     "a -> queue 'q' -> b -> topic 'e' -> a"),
    ("  a: {handler: 'm:f', trigger: {topic: {name: e, filter: {type: x}}}, uses: [{send: q}]}\n"
     "  b: {handler: 'm:f', trigger: {queue: {name: q}}, uses: [{publish: e}], emits: [x]}",
     "topic 'e' (x) -> a"),
    # What fails is sent again by who reads the dead letters.
    ("  a: {handler: 'm:f', trigger: {queue: {name: q}}}\n"
     "  b: {handler: 'm:f', trigger: {queue: {name: d}}, uses: [{send: q}]}",
     "a -> dead letters in queue 'd' -> b -> queue 'q' -> a"),
    # A workflow that calls who starts it.
    ("  a: {handler: 'm:f', trigger: {task: {}}, uses: [{start: w}]}\n"
     "workflows: {w: {steps: {s: {task: a}}}}", "a -> workflow 'w' -> a"),
]  # fmt: skip
RESOURCES = """
queues: {q: {dead-letter: d, external: [producers]}, d: {dead-letter: true}}
topics: {e: {external: [producers, consumers]}}
tables: {t: {}}
buckets: {b: {}}
"""


def circles(load: Callable[[str], Any], functions: str) -> list[str]:
    manifest = load(f"portafaas: 1\nname: flow\nfunctions:\n{functions}{RESOURCES}")
    found = findings(manifest, build_plan(manifest))
    return [one.message for one in found if one.code == "PF2115"]


@pytest.mark.parametrize(("functions", "way"), CIRCLES)
def test_circles(load: Callable[[str], Any], functions: str, way: str) -> None:
    (message,) = circles(load, functions)
    assert way in message
    # Each function of it may say why it ends.
    for line in functions.partition("\nworkflows")[0].splitlines():
        guarded = functions.replace(line, f"{line[:-1]}, guard: it ends}}")
        assert circles(load, guarded) == []


def test_no_circles(load: Callable[[str], Any]) -> None:
    filtered = (
        "  a: {handler: 'm:f', trigger: {topic: {name: e, filter: {type: x}}}, uses: [{publish: e}], emits: [y]}\n"
        "  b: {handler: 'm:f', trigger: {topic: {name: e, filter: {type: y}}}, uses: [{send: q}]}\n"
        "  c: {handler: 'm:f', trigger: {table: {name: t}}, uses: [{read: t}]}"
    )
    assert circles(load, filtered) == []
    open_ = filtered.replace("filter: {type: y}", "filter: {tier: gold}").replace("{send: q}", "{publish: e}")
    (message,) = circles(load, open_)
    assert "topic 'e'" in message


def test_each_knot_once(load: Callable[[str], Any]) -> None:
    knots = "\n".join(
        f"  {n}: {{handler: 'm:f', trigger: {{table: {{name: t}}}}, uses: [{{write: t}}]}}" for n in "abc"
    ) + "\n  z: {handler: 'm:f', trigger: {object: {bucket: b}}, uses: [{write: b}]}"  # fmt: skip
    found = circles(load, knots)
    assert any("bucket" in message for message in found)
    # All of the first knot lead to one another and each to itself: guards are needed on all three.
    assert len(found) == 4


def plan_of(load: Callable[[str], Any], text: str) -> BuildPlan:
    return build_plan(load(text))


def test_causes(load: Callable[[str], Any]) -> None:
    found = [(c.source, c.target, c.via, c.use) for c in causes(plan_of(load, HEAD + REST))]
    assert found == [("web", "hear", "topic 'news' (made)", 0), ("web", "work", "queue 'jobs'", 1)]


OUTBOX = """\
portafaas: 1
name: flow
functions:
  web: {handler: "m:f", trigger: {http: {path: /}}, uses: [{write: orders}, {publish: news}], emits: [made]}
  hear: {handler: "m:f", trigger: {topic: {name: news, filter: {type: made}}}}
topics: {news: {}}
tables:
  orders: {key: order, sort: part, outbox: true}
"""


def test_the_relay_of_an_outbox(load: Callable[[str], Any], warned: Callable[[str], Any]) -> None:
    """It publishes what the writers declare, and what it removes goes round in no circle."""
    assert warned(OUTBOX) == {}
    plan = plan_of(load, OUTBOX)
    assert plan.function("orders-outbox").emits == (("news", ("made",)),)
    found = {(cause.source, cause.target) for cause in causes(plan)}
    assert found == {("web", "hear"), ("web", "orders-outbox"), ("orders-outbox", "hear")}
    silent = plan_of(load, OUTBOX.replace(", emits: [made]", ""))
    assert silent.function("orders-outbox").emits == ()
    # Who sends nothing puts nothing into the outbox.
    writing = OUTBOX.replace("made}}}}", "made}}}, uses: [{write: orders}]}")
    assert warned(writing) == {}
    told = warned(
        writing.replace("[{write: orders}]}", "[{write: orders}, {publish: news}], emits: [x]} #! PF2110 PF2115")
    )  # fmt: skip
    assert "hear -> table 'orders' -> orders-outbox -> topic 'news' (made) -> hear" in told["PF2115"]


# Schemas, from one build to the next.


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Any) -> Callable[..., Any]:
    """Return a function that runs a command on a manifest whose event and queue have a schema."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, event: str = "", queue: str = "") -> tuple[int, Any]:
        text = HEAD + f"""\
queues:
  jobs: {{dead-letter: true, {queue}}}
topics: {{news: {{}}}}
events:
  made: {{{event}}}
"""  # fmt: skip
        load(text)
        result = CliRunner().invoke(cli, [*arguments, "--format", "json"], prog_name="portafaas")
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, json.loads(result.stdout)

    return run


KEPT = Path(".portafaas/schemas/-.json")
WIDE, NARROW = "schema: {type: [string, 'null']}", "schema: {type: string}"


def test_a_build_keeps_its_schemas_and_the_next_must_fit(project: Callable[..., Any]) -> None:
    build = ("build", "-t", "aws", "--no-infrastructure")
    assert project("check", "-t", "aws", event=WIDE)[0] == 0
    assert not KEPT.exists()
    assert project(*build, event=WIDE, queue=WIDE)[0] == 0
    kept = json.loads(KEPT.read_bytes())
    entry = {"version": 1, "schema": {"type": ["string", "null"]}}
    assert (kept["events"], kept["queues"]) == ({"made": entry}, {"jobs": entry})
    for command in (("check", "-t", "aws"), build):
        code, told = project(*command, event=NARROW, queue=NARROW)
        assert code == 2
        found = told["diagnostics"]
        assert [(one["code"], one["path"], one["line"]) for one in found] == [
            ("PF2117", "$.events.made.schema.type", 11),
            ("PF2117", "$.queues.jobs.schema.type", 8),
        ]
        assert "event 'made': #/type: null no longer allowed" in found[0]["message"]
    assert json.loads(KEPT.read_bytes()) == kept
    # Without the file the next build is not the same any more.
    assert project(*build, event=WIDE, queue=WIDE)[1]["changed"] is False
    KEPT.unlink()
    assert project(*build, event=WIDE, queue=WIDE)[1]["changed"] is True
    assert json.loads(KEPT.read_bytes()) == kept
    # A higher version is meant so, and is what the next build is compared with.
    raised = f"{NARROW}, schema-version: 2"
    assert project(*build, event=raised)[0] == 0
    assert project("check", event=NARROW)[1]["diagnostics"][0]["message"].endswith("not 1")
    assert json.loads(KEPT.read_bytes())["events"]["made"]["version"] == 2
    assert project(*build)[0] == 0
    assert not KEPT.exists()


def test_directions(project: Callable[..., Any], tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"portafaas": 1, "events": {"made": {"version": 1, "schema": {"type": "string"}}}, "queues": {}}))
    check = ("check", "-t", "aws", "--against", "old.json")
    assert project(*check, event=WIDE)[0] == 0
    for kind in ("forward", "full"):
        code, told = project(*check, event=f"{WIDE}, compatibility: {kind}")
        assert code == 2
        (one,) = told["diagnostics"]
        assert "consumers of the last build would refuse" in one["message"]
    old.write_text(old.read_text().replace('"string"', '["string", "null"]'))
    assert project(*check, event=f"{NARROW}, compatibility: forward")[0] == 0
    assert project(*check, event=NARROW)[0] == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"portafaas": 1, "events": {"a": 1}, "queues": {}}', "[" * 99_999])
def test_what_cannot_be_compared_with(project: Callable[..., Any], tmp_path: Path, text: str) -> None:
    (tmp_path / "old.json").write_text(text)
    code, told = project("check", "--against", "old.json")
    assert (code, told["diagnostics"][0]["code"]) == (2, "PF2118")
    KEPT.parent.mkdir(parents=True)
    KEPT.write_text(text)
    assert project("check", event=NARROW)[0] == 2
    assert project("check", "--against", "none.json")[1]["diagnostics"][0]["code"] == "PF2118"


def test_schemas_in_files_name_the_file(project: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "made.json").write_text('{"required": ["b"]}')
    baseline.write(tmp_path, plan_of_file(project, "schema: {required: [a]}"))
    code, told = project("check", "-t", "aws", event="schema: made.json")
    assert code == 2
    assert told["diagnostics"][0]["path"] == "$.events.made.schema"
    assert "made.json#/required: property 'b' is now required" in told["diagnostics"][0]["message"]


def plan_of_file(project: Callable[..., Any], event: str) -> BuildPlan:
    assert project("check", "-t", "aws", event=event)[0] == 0
    return build_plan(load_manifest(Path("portafaas.yaml").absolute()))


def test_schemas_that_cannot_be_kept_are_a_warning(project: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / ".portafaas").mkdir()
    (tmp_path / ".portafaas/schemas").symlink_to("/proc/none")
    code, told = project("build", "-t", "aws", "--no-infrastructure", event=WIDE)
    assert code == 0
    notes = [(note["code"], note["severity"]) for note in told["packages"][0]["notes"]]
    assert ("PF2119", "warning") in notes


def test_warnings_are_said_once_for_all_targets(project: Callable[..., Any]) -> None:
    assert project("check")[0] == 0
    text = Path("portafaas.yaml")
    text.write_text(text.read_text().replace("topics: {news: {}}", "topics: {news: {}, silent: {}}"))
    result = CliRunner().invoke(cli, ["check"], prog_name="portafaas")
    assert result.exit_code == 0
    assert result.stderr.count("PF2112") == 1
    assert [len(item["notes"]) for item in project("check")[1]["targets"].values()] == [0, 0, 0]
