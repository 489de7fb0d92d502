"""The commands around a deployment, on a platform that core knows nothing of."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
MANIFEST = f"""\
portafaas: 1
name: shop
python: "{PYTHON}"
functions:
  hello: {{handler: "app:hello", trigger: {{http: {{path: /hello}}}}, uses: [{{send: jobs}}]}}
  work: {{handler: "app:work", trigger: {{queue: {{name: jobs}}}}}}
queues: {{jobs: {{dead-letter: true, external: [producers]}}}}
secrets: {{api-key: {{}}}}
stages: {{prod: {{defaults: {{memory: 512MB}}}}}}
"""


@dataclass
class Console:
    """A project, a cloud, and a person who types."""

    root: Path
    cloud: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, status: int = 0, stdin: str | None = None) -> str:
        done = self.start(*arguments, stdin=stdin)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        source: dict[str, Any] = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            [sys.executable, "-m", "portafaas", *arguments],
            cwd=self.root, env=self.environ, capture_output=True, text=True, check=False, **source,
        )  # fmt: skip

    def json(self, *arguments: str, status: int = 0) -> Any:
        done = self.start(*arguments, "--format", "json")
        assert done.returncode == status, done.stdout + done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)

    def edit(self, old: str, new: str) -> None:
        file = self.root / "portafaas.yaml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def typed(self, answer: str, *arguments: str) -> tuple[int, str]:
        """Run at a terminal, and answer the question that ends with a colon."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.root)
            os.execve(sys.executable, [sys.executable, "-m", "portafaas", *arguments], self.environ)
        out, asked = b"", 0
        while select.select([terminal], [], [], 60)[0]:
            try:
                part = os.read(terminal, 4096)
            except OSError:
                break
            if not part:
                break
            out += part
            if out.count(b": ", asked) and out.endswith(b": "):
                asked = len(out)
                os.write(terminal, answer.encode() + b"\n")
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        return os.waitstatus_to_exitcode(status), out.decode()


@pytest.fixture
def console(tmp_path: Path, installed: Path) -> Console:
    root, cloud = tmp_path / "project", tmp_path / "cloud"
    root.mkdir()
    cloud.mkdir()
    (root / "portafaas.yaml").write_text(MANIFEST)
    (root / "app.py").write_text("def hello(request, context): ...\ndef work(message, context): ...\n")
    environ = {
        **os.environ, "PYTHONPATH": str(installed), "EXAMPLE_CLOUD": str(cloud),
        "EXAMPLE_USER": "ada", "NO_COLOR": "1",
    }  # fmt: skip
    return Console(root, cloud, environ)


AT = ("--target", "example")


def deployed(console: Console, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = console.json("deploy", *AT, "--yes", *arguments)
    return found


def test_a_service_from_its_first_deployment_to_its_removal(console: Console) -> None:
    assert "nothing is deployed" in console("drift", *AT, status=1)
    assert console.json("status", *AT, status=1)["health"] == "absent"

    shown = console("diff", *AT)
    assert shown.index("Permissions") < shown.index("Access") < shown.index("Resources")
    assert "+ hello: send on queue/jobs" in shown and "+ role/hello" in shown
    assert not any(console.cloud.iterdir()), "diff changes nothing"

    first = deployed(console)
    assert first["first"] and first["status"]["health"] == "ready"
    assert first["permissions"] == ["+ hello: send on queue/jobs"]
    assert [c["security"] for c in first["changes"]] == [True, True, False, False, False]

    again = deployed(console)
    assert again["changes"] == [] and again["permissions"] == []
    assert again["release"] == first["release"] == again["previous"]
    assert len(console.json("history", *AT)) == 1, "nothing was done, nothing is recorded"

    console.edit("{http: {path: /hello}}, uses: [{send: jobs}]", "{http: {path: /hello}}")
    found = console.json("diff", *AT, "--exit-code", status=3)
    assert found["permissions"] == ["- hello: send on queue/jobs"]
    assert found["changes"][0] == {
        "action": "change", "resource": "role/hello", "type": "role", "detail": "", "security": True,
    }  # fmt: skip
    second = deployed(console)
    assert second["previous"] == first["release"] != second["release"]

    back = console("rollback", *AT, "--yes")
    assert "+ hello: send on queue/jobs" in back and first["release"][:19] in back
    status = console.json("status", *AT)
    assert status["release"] == first["release"]
    assert status["outputs"]["hello"] == "https://example.test/hello"
    # The manifest of now is not what is deployed.
    assert console.json("diff", *AT)["permissions"] == ["- hello: send on queue/jobs"]

    records = console.json("history", *AT)
    assert [(r["action"], r["outcome"], r["who"]) for r in records] == [
        ("rollback", "succeeded", "ada"), ("deploy", "succeeded", "ada"), ("deploy", "succeeded", "ada"),
    ]  # fmt: skip
    assert records[0]["previous"] == second["release"] and records[0]["release"] == first["release"]
    assert records[1]["permissions"] == ["- hello: send on queue/jobs"]
    assert "change role role/hello" in records[1]["changes"]

    assert console.json("destroy", *AT, "--yes") == {
        "destroyed": True, "kept": [{"name": "queue/jobs", "type": "queue"}],
    }  # fmt: skip
    assert console.json("history", *AT, "--limit", "1")[0]["action"] == "destroy"
    assert console.json("status", *AT, status=1)["release"] is None
    assert "PF8010" in console("destroy", *AT, "--yes", status=1)
    # What was recorded is still there to go back to.
    console("rollback", first["release"][7:19], *AT, "--yes")
    assert console.json("status", *AT)["release"] == first["release"]


def test_stages_are_apart(console: Console) -> None:
    deployed(console)
    assert console.json("status", *AT, "--stage", "prod", status=1)["health"] == "absent"
    deployed(console, "--stage", "prod")
    assert len(console.json("history", *AT)) == len(console.json("history", *AT, "--stage", "prod")) == 1
    console("destroy", *AT, "--stage", "prod", "--yes", "--data")
    assert console.json("status", *AT)["health"] == "ready"
    text = console("deploy", *AT, "--stage", "pord", "--yes", status=2)
    assert "PF1007" in text and "did you mean 'prod'?" in text


def test_what_fails_midway_is_told_recorded_and_resumed(console: Console) -> None:
    (console.cloud / "broken").write_text("role/hello")
    text = console("deploy", *AT, "--yes", status=1)
    assert "PF8007: role/hello: no room" in text and "FAILED" in text
    status = console.json("status", *AT, status=1)
    assert (status["health"], status["resume"]) == ("failed", "portafaas deploy --target example")
    assert status["last"]["outcome"] == "failed" and "no room" in status["last"]["reason"]
    (console.cloud / "broken").unlink()
    done = deployed(console)
    # The rest was there already.
    assert {c["resource"] for c in done["changes"]} == {"role/hello", "role/work", "package"}
    assert [r["outcome"] for r in console.json("history", *AT)] == ["succeeded", "failed"]


def test_what_ran_before_a_failure_comes_back(console: Console) -> None:
    first = deployed(console)
    console.edit("path: /hello}}", "path: /hello}}, memory: 1GB")
    deployed(console)
    console.edit("memory: 1GB", "memory: 2GB")
    (console.cloud / "broken").write_text("function/hello")
    console("deploy", *AT, "--yes", status=1)
    (console.cloud / "broken").unlink()
    failed, second, *_ = console.json("history", *AT)
    assert (failed["outcome"], second["outcome"]) == ("failed", "succeeded")
    # Not two releases back: what the failed deployment found there.
    back = console.json("rollback", *AT, "--yes")
    assert back["release"] == second["release"] != first["release"]
    assert console.json("status", *AT)["health"] == "ready"
    # From there on "before" is the release before again.
    assert console.json("rollback", *AT, "--yes")["release"] == first["release"]


def test_the_same_release_after_a_failure_mends_it(console: Console) -> None:
    first = deployed(console)
    console.edit("path: /hello}}", "path: /hello}}, memory: 1GB")
    (console.cloud / "broken").write_text("function/hello")
    console("deploy", *AT, "--yes", status=1)
    (console.cloud / "broken").unlink()
    console.edit(", memory: 1GB", "")
    assert console.json("status", *AT, status=1)["health"] == "failed"
    again = deployed(console)
    assert (again["changes"], again["release"]) == ([], first["release"])
    assert console.json("status", *AT)["health"] == "ready"
    assert [r["outcome"] for r in console.json("history", *AT)] == ["succeeded", "failed", "succeeded"]


def test_nothing_happens_unasked(console: Console) -> None:
    text = console("deploy", *AT, status=1)
    assert "PF8015" in text and "say --yes" in text
    assert not any(console.cloud.iterdir())
    status, text = console.typed("no", "deploy", *AT)
    assert status == 1 and "not confirmed" in text and not any(console.cloud.iterdir())
    status, text = console.typed("yes", "deploy", *AT)
    assert status == 0 and "WHOLE" in text
    # To remove it the name is typed.
    assert console.typed("yes", "destroy", *AT)[0] == 1
    assert console.json("status", *AT)["health"] == "ready"
    assert console.typed("shop", "destroy", *AT)[0] == 0


def test_of_what_was_never_there_nothing_is_recorded(console: Console) -> None:
    for more in ((), ("--data",)):
        assert "PF8010" in console("destroy", *AT, "--yes", *more, status=1)
    assert not any(console.cloud.iterdir())


def test_the_command_that_goes_on_is_for_the_same_stage(console: Console) -> None:
    (console.cloud / "broken").write_text("role/hello")
    console("deploy", *AT, "--yes", "--stage", "prod", status=1)
    text = console("status", *AT, "--stage", "prod", status=1)
    assert "resume: portafaas deploy --target example --stage prod" in text


def test_without_credentials_nothing_is_tried(console: Console) -> None:
    del console.environ["EXAMPLE_USER"]
    for command in ("deploy", "diff", "status", "logs", "rollback", "destroy", "drift", "history"):
        assert "PF8001: EXAMPLE_USER is not set" in console(command, *AT, status=1), command
    assert not any(console.cloud.iterdir())


def test_two_at_once_are_refused_by_the_engine(console: Console) -> None:
    (console.cloud / "lock").touch()
    assert "PF8005" in console("deploy", *AT, "--yes", status=1)
    assert console.json("history", *AT) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_leaves_word_of_itself(
    console: Console, number: signal.Signals, status: int
) -> None:
    (console.cloud / "slow").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "portafaas", "deploy", *AT, "--yes"],
        cwd=console.root, env=console.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    _until(lambda: any((console.cloud / "blobs/records").rglob("*.json")))
    process.send_signal(number)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == status and "'portafaas deploy --target example' goes on" in text
    assert console.json("history", *AT)[0]["outcome"] == "interrupted"
    (console.cloud / "slow").unlink()
    assert deployed(console)["status"]["health"] == "ready"


def test_what_the_engine_finished_alone_is_what_is_deployed(console: Console) -> None:
    first = deployed(console)["release"]
    (console.root / "app.py").write_text((console.root / "app.py").read_text() + "new = 1\n")
    second = deployed(console)["release"]
    # As after SIGKILL: nobody has written what became of it.
    newest = max((console.cloud / "blobs/records").rglob("*.json"), key=lambda file: file.name)
    newest.write_text(json.dumps({**json.loads(newest.read_text()), "outcome": "started"}))
    assert console.json("status", *AT)["release"] == second
    assert console.json("diff", *AT)["previous"] == second
    assert console.json("rollback", *AT, "--yes")["release"] == first
    assert console.json("status", *AT)["release"] == first
    # Deployed again it is in the records, and can be gone back to.
    deployed(console)
    newest = max((console.cloud / "blobs/records").rglob("*.json"), key=lambda file: file.name)
    newest.write_text(json.dumps({**json.loads(newest.read_text()), "outcome": "interrupted"}))
    assert deployed(console)["release"] == second
    assert console.json("history", *AT)[0]["outcome"] == "succeeded"


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_is_not_recorded_cannot_be_gone_back_to(console: Console) -> None:
    assert "PF8014" in console("rollback", *AT, "--yes", status=1)
    release = deployed(console)["release"]
    assert "no other release" in console("rollback", *AT, "--yes", status=1)
    assert "PF8014" in console("rollback", "ffff", *AT, "--yes", status=1)
    for package in (console.cloud / "blobs/packages").rglob("*.zip"):
        package.unlink()
    assert "no longer in the store" in console("rollback", release, *AT, "--yes", status=1)


def test_a_record_nobody_can_read_counts_as_none(console: Console) -> None:
    deployed(console)
    for file in (console.cloud / "blobs/records").rglob("*.json"):
        file.write_text("{")
    assert console.json("history", *AT) == []
    # Who may do what is then all new, and the release deployed and recorded again.
    assert deployed(console)["permissions"] == ["+ hello: send on queue/jobs"]
    assert len(console.json("history", *AT)) == 1


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("diff",), ("deploy", "--yes"), ("secrets", "list"), ("logs",)],
    ids=lambda arguments: arguments[0],
)
def test_all_targets_at_once_are_not_meant(console: Console, arguments: tuple[str, ...]) -> None:
    assert "say one target" in console(*arguments, "--target", "all", status=2)


@pytest.mark.parametrize("digest", ["", "sha256:"])
def test_an_empty_digest_is_no_digest(console: Console, digest: str) -> None:
    assert "it is empty" in console("rollback", digest, *AT, "--yes", status=2)


def test_keys_that_are_no_digests_are_refused_before_anything_is_done(console: Console) -> None:
    console.edit("path: /hello}", "path: /hello, auth: key}")
    console.environ["PORTAFAAS_HTTP_KEYS"] = "web=the-key-itself"
    text = console("deploy", *AT, "--yes", status=1)
    assert "PF8013" in text and "entry 1 of PORTAFAAS_HTTP_KEYS" in text
    assert "the-key-itself" not in text and not any(console.cloud.iterdir())
    console.environ["PORTAFAAS_HTTP_KEYS"] = f"web={'a' * 64}"
    assert deployed(console)["status"]["health"] == "ready"


def test_drift_and_logs(console: Console) -> None:
    deployed(console)
    assert console.json("drift", *AT, "--exit-code") == []
    (file,) = (console.cloud / "services").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "edited": {"function/hello": "memory: 256, is 512"}}))
    assert "memory: 256, is 512" in console("drift", *AT, "--exit-code", status=3)
    assert "hello of work, False" in console("logs", "work", *AT)
    lines = [json.loads(line) for line in console("logs", "-f", "--format", "json", *AT).splitlines()]
    assert [line["function"] for line in lines] == ["hello", "work"]
    assert "did you mean 'hello'?" in console("logs", "helo", *AT, status=2)
    assert "'portafaas deploy --target example' puts it back" in console("drift", *AT)
    assert "neither a duration" in console("logs", "--since", "soon", *AT, status=2)


@pytest.mark.parametrize("at", [(), AT], ids=["local", "example"])
def test_secrets_have_values_that_are_never_shown(console: Console, at: tuple[str, ...]) -> None:
    said = console("secrets", "set", "api-key", *at, stdin="s3cr3t-value\n")
    said += console("secrets", "list", *at)
    (facts,) = console.json("secrets", "list", *at)
    assert facts["name"] == "api-key" and facts["changed"]
    status, text = console.typed("typed-value", "secrets", "set", "api-key", *at)
    assert status == 0
    (console.root / "value.bin").write_bytes(b"\x00\xff\n")
    said += text + console("secrets", "set", "api-key", "--file", "value.bin", *at)
    for value in ("s3cr3t-value", "typed-value"):
        assert value not in said
    assert "PF8011" in console("secrets", "set", "api-kye", *at, stdin="x", status=1)
    assert "no secret" in console("secrets", "set", "api-key", *at, stdin="", status=2)
    assert "PF8015" in console("secrets", "rm", "api-key", *at, status=1)
    console("secrets", "rm", "api-key", "--yes", *at)
    assert console.json("secrets", "list", *at)[0]["changed"] is None


def test_a_secret_that_has_no_value_is_told_before(console: Console) -> None:
    console.edit("uses: [{send: jobs}]", "uses: [{send: jobs}, {read: api-key}]")
    for _ in range(2):
        (note,) = console.json("diff", *AT)["notes"]
        assert note["code"] == "PF8011" and "needed by hello" in note["message"]
        assert note["hint"] == "portafaas secrets set api-key --target example"
        deployed(console)
    console("secrets", "set", "api-key", *AT, stdin="x")
    assert console.json("diff", *AT)["notes"] == []


def test_local_secrets_are_for_their_owner_and_in_no_package(console: Console) -> None:
    console("secrets", "set", "api-key", "--stage", "prod", stdin="s3cr3t-value")
    file = console.root / ".portafaas/secrets/prod/api-key"
    assert file.read_bytes() == b"s3cr3t-value"
    assert file.stat().st_mode & 0o777 == 0o600
    console("build", *AT, "--stage", "prod")
    for written in (console.root / "out").rglob("*"):
        assert not written.is_file() or b"s3cr3t-value" not in written.read_bytes()


def test_a_target_that_only_builds_says_so(console: Console, installed: Path) -> None:
    file = installed / "portafaas_example" / "adapter.py"
    text = file.read_text()
    start = text.index("    def engine(")
    try:
        file.write_text(text[:start] + text[text.index("    def encode(") :])
        assert "PF8000" in console("deploy", *AT, "--yes", status=2)
    finally:
        file.write_text(text)


def _bury(console: Console, *ids: str, error: str = "ValueError: no") -> None:
    (console.cloud / "yard/shop").mkdir(parents=True)
    letter = {
        "reason": "attempts", "error": error, "attempts": 5, "function": "work", "time": "2026-01-01T00:00:00.000Z",
        "sent": "", "trace": "", "correlation": "c-1", "body": '{"a":1}', "attributes": {"x": "y"},
    }  # fmt: skip
    letters = [{**letter, "id": id_} for id_ in ids]
    (console.cloud / "yard/shop/jobs.json").write_text(json.dumps(letters))


def test_dead_letters_are_looked_at_redriven_and_removed(console: Console) -> None:
    _bury(console, "one", "two", "three", "four")
    assert console.json("dlq", "list", *AT) == [
        {"name": "jobs", "kind": "queue", "physical": "yard/jobs", "count": 4}
    ]
    assert "jobs  queue" in console("dlq", "list", *AT)
    assert [letter["id"] for letter in console.json("dlq", "list", "jobs", *AT, "--limit", "2")] == ["one", "two"]
    shown = console.json("dlq", "show", "jobs", "two", *AT, "--stage", "prod", status=1)
    assert shown["diagnostics"][0]["code"] == "PF8017", "another stage has other letters"
    shown = console.json("dlq", "show", "jobs", "two", *AT)
    assert shown["redrive"] == "portafaas dlq redrive jobs two --target example"
    assert (shown["body"], shown["attributes"], shown["sent"]) == ('{"a":1}', {"x": "y"}, None)
    text = console("dlq", "show", "jobs", "two", *AT)
    assert "reason:      attempts" in text and "attribute:   x = y" in text and '  "a": 1\n' in text

    assert "say the ids" in console("dlq", "redrive", "jobs", *AT, status=2)
    assert "say the ids" in console("dlq", "redrive", "jobs", "one", "--all", *AT, status=2)
    assert "did you mean 'three'?" in console("dlq", "redrive", "jobs", "one", "thre", *AT, status=1)
    assert console.json("dlq", "redrive", "jobs", "one", *AT) == {"box": "jobs", "moved": 1, "failed": []}
    text = console("dlq", "purge", "jobs", "two", *AT, status=1)
    assert "PF8015" in text and "'portafaas dlq list jobs --target example'" in text
    assert console.typed("no", "dlq", "purge", "jobs", "two", *AT)[0] == 1
    status, text = console.typed("jobs", "dlq", "purge", "jobs", "two", *AT)
    assert status == 0 and "1 dead letter of jobs removed" in text
    assert console.json("dlq", "purge", "jobs", "--all", "-y", *AT) == {"box": "jobs", "purged": 2}
    assert console.json("dlq", "list", *AT)[0]["count"] == 0


def test_what_could_not_be_redriven_is_told(console: Console) -> None:
    _bury(console, "one", error="stuck")
    text = console("dlq", "redrive", "jobs", "--all", *AT, status=1)
    assert "0 dead letters of jobs moved" in text and "one: it is stuck" in text


def test_boxes_are_those_of_the_manifest(console: Console) -> None:
    _bury(console)
    text = console("dlq", "list", "job", *AT, status=1)
    assert "PF8017" in text and "did you mean 'jobs'?" in text
    complete = {**console.environ, "_PORTAFAAS_COMPLETE": "bash_complete", "COMP_WORDS": "portafaas dlq list j", "COMP_CWORD": "3"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "portafaas")], cwd=console.root, env=complete, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip().endswith("jobs"), done.stdout + done.stderr


def test_permissions_are_told_in_as_few_lines_as_can_be() -> None:
    from portafaas.cli.deploying import grouped

    arn = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:shop-jobs"
    assert grouped([f"+ work: sqs:Delete on {arn}", f"+ work: sqs:Receive on {arn}", f"- work: sqs:Send on {arn}",
                    "+ work: roles/a on q", "+ work: roles/b on q"]) == [
        "+ work: sqs:Delete, Receive on arn:…sqs:…shop-jobs",
        "- work: sqs:Send on arn:…sqs:…shop-jobs",
        "+ work: roles/a, roles/b on q",
    ]  # fmt: skip
    topics = [f"+ work: roles/p on ${{google_pubsub_topic.{name}.id}}" for name in ("a", "b")]
    assert grouped([*topics, "+ work: roles/d on projects/${var.project}/databases/${a_b.c.name}"]) == [
        "+ work: roles/p on google_pubsub_topic.a",
        "+ work: roles/p on google_pubsub_topic.b",
        "+ work: roles/d on projects/…/databases/a_b.c",
    ]
