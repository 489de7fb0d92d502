from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Tree = Callable[[Path], dict[str, bytes]]


def test_help_lists_every_command(run: Run) -> None:
    from portafaas.cli import COMMANDS

    text = run("--help").out
    assert all(name in text for name in COMMANDS)
    for name in COMMANDS:
        assert run(name, "--help").code == 0


def test_help_imports_neither_yaml_nor_an_adapter() -> None:
    code = (
        "import sys\nfrom portafaas.cli import main\nsys.argv = ['portafaas', '--help']\n"
        "try:\n main()\nexcept SystemExit:\n pass\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('yaml','jsonschema','isal','boto3')"
        " or m.startswith('portafaas_') or m in ('portafaas.plan','portafaas.manifest','dataclasses')]\n"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_mistyped_command_is_guessed(run: Run) -> None:
    result = run("biuld")
    assert result.code == 2
    assert "Did you mean 'build'" in result.err


def test_ctrl_c_is_130_in_every_command(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of click's own it would be 1, as of what went wrong."""

    def interrupted(*args: Any, **given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("portafaas.manifest.load.load_manifest", interrupted)
    for name in ("check", "plan", "graph"):
        result = run(name)
        assert (result.code, result.out, result.err) == (130, "", "interrupted\n"), name


def test_a_full_disk_is_told_without_a_traceback(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/x/y")

    monkeypatch.setattr("portafaas.manifest.load.load_manifest", full)
    result = run("plan")
    text = "error: PF6005: cannot write /x/y: No space left on device\n"
    assert (result.code, result.out, result.err) == (1, "", text)


def test_a_target_that_is_nearly_one_is_guessed(project: Path, run: Run) -> None:
    for name in ("AWS", "awz"):
        assert "did you mean 'aws'?" in run("check", "--target", name).err
    assert "pip install portafaas-other" in run("check", "--target", "other").err


def test_secrets_are_set_and_removed_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text("def f(request, context): ...\n")
    (tmp_path / "portafaas.yaml").write_text(
        "portafaas: 1\nname: shop\nsecrets: {bank: {}}\n"
        "functions: {web: {handler: 'm:f', trigger: {http: {path: /}}}}\n"
    )
    said = run("secrets", "set", "bank", "--format", "json", stdin="value")
    assert said.json == {"name": "bank", "set": True}
    refused = run("secrets", "rm", "bank", "--format", "json")
    assert (refused.code, refused.json["diagnostics"][0]["code"]) == (1, "PF8015")
    said = run("secrets", "rm", "bank", "--yes", "--format", "json")
    assert said.json == {"name": "bank", "removed": True}


def test_no_color_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from portafaas.cli import cli

    monkeypatch.chdir(tmp_path)
    for value, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        assert ("\x1b[" in CliRunner().invoke(cli, ["check"], color=True).stderr) == coloured


def test_a_plan_is_of_one_target(project: Path, run: Run) -> None:
    result = run("plan", "--target", "all")
    assert result.code == 2 and "say one target" in result.err


@pytest.mark.parametrize("option", ["--port", "--debug-port"])
def test_a_port_that_cannot_be_is_told(project: Path, run: Run, option: str) -> None:
    result = run("dev", option, "99999")
    assert result.code == 2 and f"Invalid value for '{option}'" in result.err


def test_version(run: Run) -> None:
    from portafaas import __version__

    assert run("--version").out.split() == ["portafaas", __version__]


def test_check_is_silent_on_disk(project: Path, run: Run, tree: Tree) -> None:
    before = tree(project)
    result = run("check")
    assert result.code == 0
    assert "3 functions" in result.out
    assert tree(project) == before


def test_check_tells_all_targets_in_json(project: Path, run: Run) -> None:
    assert set(run("check", "--format", "json").json["targets"]) == {"aws", "azure", "gcp"}


def test_check_without_a_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("check")
    assert result.code == 2
    assert "PF1000" in result.err
    assert "portafaas init" in result.err


def test_plan_prints_the_ir(project: Path, run: Run) -> None:
    document = run("plan", "--format", "json").json
    assert document["service"] == "demo"
    assert [f["name"] for f in document["functions"]] == ["hello", "work", "tick"]
    assert document["functions"][1]["trigger"] == {
        "queue": "jobs", "batch": 5, "window": 0, "kind": "queue",
    }  # fmt: skip
    import yaml

    assert yaml.safe_load(run("plan").out) == document


def test_plan_of_a_target_adds_its_deployments(project: Path, run: Run) -> None:
    document = run("plan", "-t", "aws", "--format", "json").json
    assert [d["function"] for d in document["deployments"]] == ["hello", "work", "tick"]


def test_schema_is_the_published_one(run: Run) -> None:
    from portafaas.manifest.load import manifest_schema

    assert run("schema").json == manifest_schema()
    assert set(run("schema", "-t", "azure").json) == {"service", "function"}


def test_targets_lists_capabilities(run: Run) -> None:
    from portafaas.adapter import Capability

    document = run("targets", "--format", "json").json
    assert set(document) == {"aws", "azure", "gcp"}
    for entry in document.values():
        assert set(entry["capabilities"]) == {str(c) for c in Capability}
    text = run("targets").out
    assert all(str(capability) in text for capability in Capability)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(run: Run, shell: str) -> None:
    script = run("completion", shell).out
    assert "_PORTAFAAS_COMPLETE" in script


def test_completion_completes_functions_and_targets(project: Path) -> None:
    def complete(*words: str) -> list[str]:
        code = "from portafaas.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={
                "PATH": "/usr/bin:/bin",
                "_PORTAFAAS_COMPLETE": "bash_complete",
                "COMP_WORDS": " ".join(("portafaas", *words)),
                "COMP_CWORD": str(len(words)),
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("in") == ["init", "invoke"]
    assert complete("invoke", "h") == ["hello"]
    assert complete("build", "--target", "a") == ["all", "aws", "azure"]
    manifest = project / "portafaas.yaml"
    manifest.write_text(
        manifest.read_text() + "workflows:\n  pack: {steps: {one: {wait: {seconds: 1}}}}\n"
    )
    for words in (
        ["graph", "--workflow"],
        ["workflow", "start"],
        ["workflow", "picture", "--workflow"],
    ):
        assert complete(*words, "p") == ["pack"]


def test_events_generate_is_what_invoke_takes(project: Path, run: Run) -> None:
    for function in ("hello", "work", "tick"):
        event = run("events", "generate", function)
        assert event.code == 0
        again = run("events", "generate", function)
        assert event.out == again.out
        assert run("invoke", function, "--event", "-", stdin=event.out).code == 0


def test_samples_fit_the_schemas_of_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text("def f(event, context):\n    return event\n")
    schema = "{type: object, properties: {id: {type: string}}, required: [id]}"
    (tmp_path / "portafaas.yaml").write_text(
        "portafaas: 1\nname: shop\nfunctions:\n"
        "  work: {handler: 'm:f', trigger: {queue: {name: jobs, batch: 2}}}\n"
        "  hear: {handler: 'm:f', trigger: {topic: {name: news, filter: {type: [a.b]}}}}\n"
        f"queues: {{jobs: {{schema: {schema}}}}}\ntopics: {{news: {{}}}}\n"
        f"events: {{a.b: {{schema: {schema}}}}}\n"
    )
    messages = run("events", "generate", "work").json["queue"]["messages"]
    assert [json.loads(each["body"]) for each in messages] == [{"id": "id"}] * 2
    assert json.loads(run("events", "generate", "hear").json["topic"]["body"]) == {"id": "id"}
    # One that wants 'examples', as nothing is found that fits it.
    text = (tmp_path / "portafaas.yaml").read_text()
    (tmp_path / "portafaas.yaml").write_text(text.replace("{id: {type: string}}", "{id: {type: string, pattern: '(?<=a)b'}}"))
    assert run("events", "generate", "work").json["queue"]["messages"][0]["body"] == '{"sample": 1}'


@pytest.mark.parametrize("kind", ["http", "queue", "topic", "object", "table", "schedule", "task"])
@pytest.mark.parametrize("target", [None, "aws", "azure", "gcp"])
def test_a_sample_exists_for_every_kind_and_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, kind: str, target: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["events", "generate", kind] + (["-t", target] if target else [])
    document = run(*arguments).json
    assert isinstance(document, dict)
    assert (list(document) == [kind]) == (target is None)


def test_what_a_handler_prints_is_not_in_the_json(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from portafaas.adapter.neutral import sample
    from portafaas.invocation import LocalRunner
    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan

    (tmp_path / "m.py").write_text("def f(request, context):\n    print('from f')\n    return {}\n")
    (tmp_path / "portafaas.yaml").write_text(
        "portafaas: 1\nname: shop\nfunctions: {web: {handler: 'm:f', trigger: {http: {path: /}}}}\n"
    )
    plan = build_plan(load_manifest(tmp_path / "portafaas.yaml"))
    (web,) = plan.functions
    with LocalRunner(plan, tmp_path, {}) as runner:
        assert runner.deliver(web, sample(plan, web))["status"] == 200
    assert capfd.readouterr() == ("", "from f\n")


def test_a_function_that_ends_its_process_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text("import os\ndef f(request, context):\n    os._exit(3)\n")
    (tmp_path / "portafaas.yaml").write_text(
        "portafaas: 1\nname: shop\nfunctions: {web: {handler: 'm:f', trigger: {http: {path: /}}}}\n"
    )
    result = run("invoke", "web", "--format", "json")
    assert (result.code, result.json["code"]) == (1, "PF7003")
    assert result.json["message"].endswith("ended its process: status 3")


def test_a_task_is_invoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(
        "from portafaas.runtime import Task, TaskHandler\n\n"
        "class Pay(TaskHandler):\n"
        "    def handle(self, task, context):\n"
        "        if not task.input:\n"
        "            raise LookupError('nothing to pay')\n"
        "        return [task.input, task.attempt, task.step, task.key, context.attempt]\n"
    )
    (tmp_path / "portafaas.yaml").write_text(
        "portafaas: 1\nname: shop\nfunctions:\n  pay: {handler: 'm:Pay', trigger: {task: {}}}\n"
    )
    sample = run("events", "generate", "pay")
    assert run("invoke", "pay", "-e", "-", "--format", "json", stdin=sample.out).code == 0
    event = json.dumps({"task": {"input": 5, "step": "s", "attempt": 2, "key": "k"}})
    result = run("invoke", "pay", "-e", "-", "--format", "json", stdin=event)
    assert result.json["output"] == [5, 2, "s", "k", 2]
    failed = run("invoke", "pay", "-e", "-", "--format", "json", stdin='{"task": {"input": 0}}')
    assert failed.code == 1
    assert (failed.json["error"], failed.json["cause"]) == ("LookupError", "nothing to pay")


def test_events_generate_guesses(project: Path, run: Run) -> None:
    result = run("events", "generate", "helo")
    assert result.code == 2
    assert "did you mean 'hello'?" in result.err


def test_invoke_from_sources(project: Path, run: Run) -> None:
    event = {"http": {"path": "/hello/Ada"}}
    (project / "event.json").write_text(json.dumps(event))
    result = run("invoke", "hello", "-e", "event.json", "--format", "json")
    assert result.code == 0
    assert result.json["status"] == 200
    assert json.loads(result.json["body"]) == {"greeting": "Hello, Ada!"}
    staged = run("invoke", "hello", "-e", "event.json", "--stage", "prod", "--format", "json")
    assert "Good day" in staged.json["body"]
    env = run("invoke", "hello", "-e", "event.json", "--env", "GREETING=Hej", "--format", "json")
    assert "Hej" in env.json["body"]
    assert run("invoke", "hello", "-e", "event.json").out.startswith("HTTP 200\n")


def test_invoke_exits_with_1_when_the_delivery_failed(project: Path, run: Run) -> None:
    event = json.dumps({"queue": {"messages": [{"id": "m", "body": "fail"}, {"body": "ok"}]}})
    result = run("invoke", "work", "-e", "-", "--format", "json", stdin=event)
    assert result.code == 1
    assert result.json == {"delivered": False, "failed": ["m"]}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("not json", "is not JSON"),
        ("[1]", "JSON object"),
        ('{"queue": {"messages": []}}', "has a http trigger"),
        ('{"http": {"pth": "/"}}', "unknown key 'pth'"),
        ('{"httpMethod": "GET"}', "not a neutral one"),
        ('{"http": {"path": "/", "body_base64": "!"}}', "not base64"),
    ],
)
def test_invoke_tells_what_is_wrong_with_an_event(
    project: Path, run: Run, event: str, said: str
) -> None:
    result = run("invoke", "hello", "-e", "-", stdin=event)
    assert result.code == 2
    assert said in result.err


def test_invoke_guesses_the_function(project: Path, run: Run) -> None:
    result = run("invoke", "helo")
    assert result.code == 2
    assert "did you mean 'hello'?" in result.err


def test_init_writes_a_project_that_checks_builds_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    for template in ("api", "worker"):
        assert run("init", template, "--template", template).code == 0
        monkeypatch.chdir(tmp_path / template)
        assert run("check").code == 0
        assert run("build", "-t", "gcp").code == 0
        functions = run("plan", "--format", "json").json["functions"]
        assert all(run("invoke", f["name"]).code == 0 for f in functions)
        monkeypatch.chdir(tmp_path)


def test_init_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, tree: Tree
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handlers.py").write_text("mine")
    result = run("init")
    assert result.code == 2
    assert "handlers.py" in result.err
    assert tree(tmp_path) == {"handlers.py": b"mine"}


def test_init_leaves_nothing_half_written(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.write_text

    def full(path: Path, text: str, **given: Any) -> int:
        if path.name == "portafaas.yaml":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, text, **given)

    monkeypatch.setattr(Path, "write_text", full)
    result = run("init", str(tmp_path / "new"), "--name", "new")
    assert result.code == 2
    assert f"PF1010: {tmp_path / 'new'}: No space left" in result.err
    assert [path for path in (tmp_path / "new").rglob("*") if path.is_file()] == []


def test_init_names_the_service_after_the_folder(tmp_path: Path, run: Run) -> None:
    assert run("init", str(tmp_path / "My Shop_2")).code == 0
    assert "name: my-shop-2\n" in (tmp_path / "My Shop_2/portafaas.yaml").read_text()
    assert run("init", str(tmp_path / "x"), "--name", "Bad Name").code == 2
    assert run("init", str(tmp_path / "x"), "--template", "none").code == 2
    assert "api" in run("init", "--list").out
