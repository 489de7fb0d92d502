"""``portafaas dlq`` on this machine, with letters that real handlers gave up."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from portafaas.cli import cli
from portafaas.local import resources
from portafaas.local.broker import Broker
from portafaas.manifest.load import load_manifest
from portafaas.plan.build import build_plan
from portafaas.runtime.resources import Outgoing

MANIFEST = """\
portafaas: 1
name: shop
python: "3.11"
defaults: {retry: {attempts: 1}}
functions:
  work: {handler: "app:work", trigger: {queue: {name: jobs, batch: 10}}}
  hear: {handler: "app:work", trigger: {topic: {name: news}}}
  heard: {handler: "app:fine", trigger: {topic: {name: news}}}
  file: {handler: "app:work", trigger: {object: {bucket: uploads}}}
queues: {jobs: {dead-letter: true}, plain: {}}
topics: {news: {}}
buckets: {uploads: {}}
"""
SOURCE = """\
import os

def work(it, context):
    if not os.path.exists("mended"):
        raise ValueError("not yet\\nsecond line")
    with open("log", "a") as file:
        file.write(f"{it.id} {it.attempt} {it.attributes.get('x')}\\n")

def fine(event, context):
    with open("log", "a") as file:
        file.write(f"fine {event.id}\\n")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text(SOURCE)
    store = resources.store(tmp_path, "")
    bodies = {"j1": b'{"a": [1]}', "j2": b"\x00\xffbin" + bytes(600), "j3": "gr\u00fc\u00df dich".encode()}
    messages = [
        Outgoing(id_, body, attributes={"pf-id": id_, "x": "y"}) for id_, body in bodies.items()
    ]
    resources.send(str(store / "queue/jobs"), messages, False)
    event = Outgoing("e1", b"{}", attributes={"ce-id": "e1", "ce-type": "t"})
    resources.publish(str(store / "topic/news"), [event], False)
    resources.write(str(store / "bucket/uploads"), "a b.txt", b"12", None)
    done = run(tmp_path, "deliver", "--fast")
    assert done.exit_code == 1 and "5 dead letters, 0 waiting" in done.stdout, done.output
    return tmp_path


def run(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        cli, [*arguments, "-m", str(project / "portafaas.yaml")], catch_exceptions=False
    )


def answer(project: Path, *arguments: str) -> Any:
    done = run(project, *arguments, "--format", "json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_letters_are_shown_as_they_were_delivered(project: Path) -> None:
    boxes = answer(project, "dlq", "list")
    assert [(box["name"], box["kind"], box["count"]) for box in boxes] == [
        ("jobs", "queue", 3), ("hear", "function", 1), ("heard", "function", 0), ("file", "function", 1),
    ]  # fmt: skip
    letters = answer(project, "dlq", "list", "jobs")
    first = letters[0]
    assert [letter["id"] for letter in letters] == ["j1", "j2", "j3"]
    assert (first["reason"], first["attempts"], first["function"]) == ("attempts", 1, "work")
    assert first["error"] == "ValueError: not yet\nsecond line" and first["trace"] and first["correlation"]
    assert first["attributes"] == {"x": "y"} and first["body"] == '{"a": [1]}'
    assert first["sent"] <= first["time"] and letters[1]["body_base64"].startswith("AP9iaW4A")
    lines = run(project, "dlq", "list", "jobs", "--limit", "2").stdout.splitlines()
    assert len(lines) == 2 and lines[0].endswith("j1  attempts     1x  ValueError: not yet")
    (event,) = answer(project, "dlq", "list", "hear")
    assert event["id"] == "e1" and event["attributes"]["ce-type"] == "t"
    (upload,) = answer(project, "dlq", "list", "file")
    assert json.loads(upload["body"])["object"]["key"] == "a b.txt"


@pytest.mark.parametrize(
    ("id_", "expected"),
    [("j1", '{\n  "a": [\n    1\n  ]\n}\n'), ("j3", "grüß dich\n"), ("j2", "00000000  00 ff 62 69 6e 00")],
)
def test_a_body_is_shown_so_that_people_can_read_it(project: Path, id_: str, expected: str) -> None:
    text = run(project, "dlq", "show", "jobs", id_).stdout
    assert expected in text
    assert f"redrive:     portafaas dlq redrive jobs {id_}\n" in text
    assert ("(605 bytes; --format json has all" in text) == (id_ == "j2")


def test_what_is_mended_is_redriven_and_done(project: Path) -> None:
    (project / "mended").touch()
    assert answer(project, "dlq", "redrive", "jobs", "j3", "j1") == {
        "box": "jobs", "moved": 2, "failed": [],
    }  # fmt: skip
    assert "1 dead letter of hear moved; 'portafaas deliver'" in run(project, "dlq", "redrive", "hear", "--all").stdout
    before = (project / "log").read_text()
    assert run(project, "deliver").exit_code == 0
    new = (project / "log").read_text().removeprefix(before).splitlines()
    # Each as the first time, in the old order; of the topic only the function that had failed.
    assert sorted(new) == sorted(["j1 1 y", "j3 1 y", "e1 1 None"])
    assert [line for line in new if line[0] == "j"] == ["j1 1 y", "j3 1 y"]
    assert [letter["id"] for letter in answer(project, "dlq", "list", "jobs")] == ["j2"]
    assert answer(project, "dlq", "redrive", "hear", "--all")["moved"] == 0


def test_what_still_fails_is_a_letter_again(project: Path) -> None:
    assert run(project, "dlq", "redrive", "jobs", "--all").exit_code == 0
    assert answer(project, "dlq", "list")[0]["count"] == 0
    assert run(project, "deliver").exit_code == 1
    assert [letter["id"] for letter in answer(project, "dlq", "list", "jobs")] == ["j1", "j2", "j3"]


def test_nothing_is_purged_unasked(project: Path) -> None:
    done = run(project, "dlq", "purge", "jobs", "--all")
    assert done.exit_code == 1 and "PF8015" in done.stderr
    assert answer(project, "dlq", "list")[0]["count"] == 3
    assert answer(project, "dlq", "purge", "jobs", "j2", "--yes") == {"box": "jobs", "purged": 1}
    assert answer(project, "dlq", "purge", "jobs", "--all", "--yes") == {"box": "jobs", "purged": 2}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "job"), "did you mean 'jobs'?"),
        (("list", "plain"), "there are: jobs, hear, heard, file"),
        (("show", "jobs", "j9"), "see 'portafaas dlq list jobs'"),
        (("show", "heard", "j1"), "see 'portafaas dlq list heard'"),
        (("redrive", "jobs", "j1", "zzz"), "'jobs' has no dead letter 'zzz'"),
        (("purge", "jobs", "zzz", "-y"), "'jobs' has no dead letter 'zzz'"),
    ],
)
def test_what_is_not_there_is_named(project: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run(project, "dlq", *arguments)
    assert done.exit_code == 1 and "PF8017" in done.stderr and says in done.stderr, done.stderr
    assert answer(project, "dlq", "list")[0]["count"] == 3, "nothing was changed"


def test_a_long_body_is_read_from_its_bucket(tmp_path: Path) -> None:
    (tmp_path / "portafaas.yaml").write_text(
        MANIFEST.replace("plain: {}", "big: {dead-letter: true, claim-check: uploads}").replace(
            "  hear:",
            '  put: {handler: "app:put", trigger: {http: {path: /put}}, uses: [{send: big}]}\n'
            '  take: {handler: "app:take", trigger: {queue: {name: big}}}\n  hear:',
        )
    )
    (tmp_path / "app.py").write_text(
        SOURCE + "def put(request, context):\n    context.queues['big'].send('z' * 300_000)\n"
        "def take(message, context):\n"
        "    open('size', 'w').write(str(len(message.body)))\n"
        "    raise ValueError('no')\n"
    )
    assert run(tmp_path, "invoke", "put").exit_code == 0
    done = run(tmp_path, "deliver", "--fast")
    assert "0 delivered, 0 put off, 1 dead letters, 0 waiting" in done.stdout, "no object function"
    assert (tmp_path / "size").read_text() == "300000"
    (letter,) = answer(tmp_path, "dlq", "list", "big")
    assert letter["body"] == "z" * 300_000
    assert run(tmp_path, "dlq", "redrive", "big", "--all").exit_code == 0
    (tmp_path / "size").unlink()
    run(tmp_path, "deliver", "--fast")
    assert (tmp_path / "size").read_text() == "300000"


NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\x7f"


def test_what_was_sent_does_not_reach_the_terminal_raw(tmp_path: Path) -> None:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text(
        "def work(it, context):\n    raise ValueError(it.text)\n\ndef fine(event, context): ...\n"
    )
    store = resources.store(tmp_path, "")
    bodies = {"t": NASTY, "c1": "a\x9b31m\x7f\u202eb\r-", "j": json.dumps({"a": NASTY}, ensure_ascii=False)}
    messages = [
        Outgoing(f"{id_}\x9b", body.encode(), attributes={"pf-id": f"{id_}\x9b", "x": "\x9bm"})
        for id_, body in bodies.items()
    ]
    resources.send(str(store / "queue/jobs"), messages, False)
    printed = [
        run(tmp_path, "deliver", "--once").stdout,
        run(tmp_path, "dlq", "list", "jobs").stdout,
        *(run(tmp_path, "dlq", "show", "jobs", m.id).stdout for m in messages),
        run(tmp_path, "dlq", "show", "jobs", "t\x9c").stderr,
        run(tmp_path, "dlq", "list", "jobs", "--format", "json").stdout,
    ]
    for text in printed:
        assert text and not set(text) & set("\x1b\x07\x9b\x9c\x7f\u202e\r"), text
    assert "a\\x9b31m\\x7f\\u202eb\\r-" in printed[3]
    letters = json.loads(printed[-1])
    assert {letter["id"]: letter["body"] for letter in letters} == {
        f"{id_}\x9b": body for id_, body in bodies.items()
    }


@pytest.mark.parametrize("id_", ["--all", "-x", "a b", "$(touch owned)", "it's"])
def test_ids_may_be_anything(project: Path, id_: str) -> None:
    message = Outgoing(id_, b"{}", attributes={"pf-id": id_})
    resources.send(str(resources.store(project, "") / "queue/jobs"), [message], False)
    run(project, "deliver", "--once")
    file = str(project / "portafaas.yaml")
    text = CliRunner().invoke(cli, ["dlq", "show", "-m", file, "--", "jobs", id_])
    shown = next(line for line in text.stdout.splitlines() if line.startswith("redrive:"))
    words = shlex.split(shown.removeprefix("redrive:"))
    assert words[0] == "portafaas"
    # What is shown does what it says, and to this one alone.
    done = CliRunner().invoke(cli, ["dlq", "redrive", "-m", file, *words[3:]])
    assert done.exit_code == 0 and "1 dead letter of jobs moved" in done.stdout, done.output
    assert answer(project, "dlq", "list")[0]["count"] == 3


def test_the_question_says_where(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "portafaas.cli.deploying.confirm", lambda question, *rest: asked.append(question)
    )
    file = project / "portafaas.yaml"
    file.write_text(file.read_text() + "stages: {live: {}}\n")
    run(project, "dlq", "purge", "jobs", "--all")
    run(project, "dlq", "purge", "jobs", "--all", "--stage", "live")
    assert asked == [
        "Remove all dead letters of jobs (on this machine) for good?",
        "Remove all dead letters of jobs (on this machine, stage live) for good?",
    ]


def test_what_expired_among_the_letters_is_delivered_when_redriven(tmp_path: Path) -> None:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text(SOURCE)
    ends = str(int(time.time()) + 2)
    message = Outgoing("m", b"{}", attributes={"pf-id": "m", "pf-expires": ends})
    resources.send(str(resources.store(tmp_path, "") / "queue/jobs"), [message], False)
    assert run(tmp_path, "deliver", "--once").exit_code == 1
    (tmp_path / "mended").touch()
    plan = build_plan(load_manifest(tmp_path / "portafaas.yaml"))
    with Broker(resources.store(tmp_path, ""), plan) as broker:
        broker.clock.advance(60)
    assert answer(tmp_path, "dlq", "redrive", "jobs", "--all")["moved"] == 1
    assert run(tmp_path, "deliver").exit_code == 0
    assert (tmp_path / "log").read_text() == "m 1 None\n"


@pytest.mark.parametrize("damage", ["garbage", "a file"])
@pytest.mark.parametrize("command", [["deliver"], ["dlq", "list"], ["dlq", "redrive", "jobs", "--all"]])
def test_a_store_that_cannot_be_used_is_named(tmp_path: Path, damage: str, command: list[str]) -> None:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "app.py").write_text(SOURCE)
    store = resources.store(tmp_path, "")
    if damage == "garbage":
        store.mkdir(parents=True)
        (store / "resources.db").write_bytes(b"no database " * 100)
    else:
        store.parent.mkdir(parents=True)
        store.touch()
    began = time.monotonic()
    done = run(tmp_path, *command)
    assert done.exit_code == 1 and "PF8018" in done.stderr and "resources.db" in done.stderr
    assert time.monotonic() - began < 5, "it does not wait for what does not change"
