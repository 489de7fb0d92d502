"""The plugin itself: when it is there, ids and targets, isolation, what it says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from portafaas.testing.session import Session, Setting
from portafaas.vendor import VendorRuntimeError


def test_a_project_without_a_manifest_notices_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it is installed: by its entry point.
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")
    pytester.makeini("[pytest]\naddopts = --strict-markers -p no:cacheprovider\n")
    pytester.makepyfile(
        """
        import sys
        import pytest

        @pytest.fixture
        def app():
            return "mine"

        def test_mine(app):
            assert app == "mine"

        def test_nothing_is_loaded():
            loaded = {name for name in sys.modules if name.startswith("portafaas")}
            assert loaded <= {"portafaas", "portafaas.testing", "portafaas.testing.plugin"}
            assert "yaml" not in sys.modules and "sqlite3" not in sys.modules
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=pytester.path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_without_a_manifest_there_is_no_app(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(app):\n    pass\n")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    assert "fixture 'app' not found" in result.stdout.str()


def test_a_fixture_of_the_project_comes_first(demo: pytest.Pytester) -> None:
    demo.makeconftest("import pytest\n@pytest.fixture\ndef app():\n    return 'mine'\n")
    demo.makepyfile(
        """
        def test_mine(app):
            assert app == "mine"

        def test_ours(portafaas_app):
            assert portafaas_app.get("/hello/Ada").json() == {"said": "Hello, Ada!"}
        """
    )
    result = demo.runpytest_inprocess("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*::test_mine PASSED*", "*::test_ours?local? PASSED*"])


def test_ids_and_order_of_targets(demo: pytest.Pytester) -> None:
    demo.makepyfile(
        """
        import pytest

        def test_one(app): pass

        def test_two(app, portafaas_target):
            assert app.target == portafaas_target

        @pytest.mark.portafaas(targets=["local"])
        def test_local_only(app): pass

        @pytest.mark.portafaas(targets="gcp local")
        @pytest.mark.parametrize("n", [1, 2])
        def test_both(app, n): pass
        """
    )
    collected = demo.runpytest_inprocess("--collect-only", "-q", "--portafaas-target", "local,aws")
    lines = [line.partition("::")[2] for line in collected.stdout.lines if "::" in line]
    assert sorted(lines) == [
        "test_both[local-1]",
        "test_both[local-2]",
        "test_local_only[local]",
        "test_one[aws]",
        "test_one[local]",
        "test_two[aws]",
        "test_two[local]",
    ]
    # Of one target after the other, so that no more than one has processes.
    assert [line.endswith("[aws]") for line in lines] == [False] * 5 + [True] * 2
    plain = demo.runpytest_inprocess("--collect-only", "-q")
    assert "test_both[gcp-1]" in plain.stdout.str()
    assert "test_one[local]" in plain.stdout.str()
    assert "test_one[aws]" not in plain.stdout.str()
    everywhere = demo.runpytest_inprocess("--collect-only", "-q", "--portafaas-target", "all")
    for name in ("local", "aws", "azure", "gcp"):
        assert f"test_one[{name}]" in everywhere.stdout.str()


def test_the_ini_file_has_the_defaults(demo: pytest.Pytester) -> None:
    demo.makeini(
        "[pytest]\nportafaas_targets = local\nportafaas_stage = de\n"
        "portafaas_manifest = service/portafaas.yaml\naddopts = -p no:cacheprovider\n"
    )
    service = demo.mkdir("service")
    for name in ("portafaas.yaml", "handlers.py", "greetings.py"):
        (demo.path / name).rename(service / name)
    demo.makepyfile(
        """
        import pytest

        def test_stage(app):
            assert app.stage == "de"
            assert app.get("/hello/Ada").json() == {"said": "Hallo, Ada!"}

        @pytest.mark.portafaas(manifest="service/portafaas.yaml", processes=True)
        def test_processes(app):
            import os
            app.get("/hello/Ada")
            app.settle()
            assert app.table("done").get("Ada")["attempt"] == 1
        """
    )
    demo.runpytest_inprocess().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "marker, said",
    [
        ("manifest='nowhere.yaml'", "PF8070: there is no manifest *nowhere.yaml*"),
        ("targets=['mars']", "*no adapter for target 'mars'*installed: aws, azure, gcp*"),
        ("stage='no'", "*no app on target 'local'*stage*'no'*"),
        ("target='aws'", "*has no target; it has targets, stage, manifest and processes*"),
    ],
)
def test_what_cannot_run_is_an_error_with_the_reason(
    demo: pytest.Pytester, marker: str, said: str
) -> None:
    demo.makepyfile(
        f"import pytest\n@pytest.mark.portafaas({marker})\ndef test_it(app):\n    pass\n"
    )
    result = demo.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{said}"])
    assert "Traceback" not in result.stdout.str()


def test_a_manifest_that_is_not_valid_says_where(demo: pytest.Pytester) -> None:
    text = (demo.path / "portafaas.yaml").read_text()
    (demo.path / "portafaas.yaml").write_text(text.replace("handlers:work", "handlers:wrok"))
    demo.makepyfile("def test_it(app):\n    pass\n")
    result = demo.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*portafaas.yaml:9:14: PF2005*wrok*"])


def test_tests_share_nothing_but_modules(passes) -> None:
    passes(
        """
        import handlers

        def test_one(app):
            handlers.seen = True
            app.get("/hello/Ada")
            app.config(greeting="Moin")
            app.fail("work")
            app.clock.advance("1h")

        def test_two(app, tmp_path):
            assert handlers.seen
            assert app.messages("jobs") == [] and app.invocations() == []
            assert app.table("done").get("Ada") is None
            assert app.get("/hello/Bo").json()["said"] == "Hello, Bo!"
            app.settle()
            app.assert_settled()
            assert tmp_path in app.folder.parents

        def test_a_reset_is_a_new_test(app):
            app.get("/hello/Ada")
            app.reset()
            assert app.messages("jobs") == []
            app.settle()
            assert not app.invocations()
        """
    )


def test_handlers_can_be_patched_and_covered(passes, demo) -> None:
    (demo.mkdir("tests") / "conftest.py").write_text("import greetings\n")
    (demo.path / "tests" / "test_more.py").write_text("def test_more(app):\n    pass\n")
    passes(
        """
        import greetings

        def test_patched(app, monkeypatch, caplog):
            monkeypatch.setattr(greetings, "greet", lambda word, who: "patched")
            assert app.get("/hello/Ada").json() == {"said": "patched"}
            with caplog.at_level("INFO"):
                app.settle()
            assert "working on Ada" in caplog.text

        def test_a_traced_handler_is_seen(app):
            import sys
            seen = []
            def trace(frame, event, argument):
                seen.append(frame.f_code.co_name)
            sys.settrace(trace)
            try:
                app.get("/hello/Ada")
            finally:
                sys.settrace(None)
            assert "greet" in seen and "hello" in seen

        def test_within_a_loop(app):
            import asyncio
            async def test():
                return app.get("/hello/Ada").status
            assert asyncio.run(test()) == 200
            app.settle()
            assert app.logs("tell").one().message == "done: Ada"

        def test_the_alarm_of_another_plugin_stays(app):
            import signal
            before = signal.signal(signal.SIGALRM, lambda *given: None)
            try:
                signal.setitimer(signal.ITIMER_REAL, 100)
                mine = signal.getsignal(signal.SIGALRM)
                assert app.get("/hello/Ada").ok
                assert signal.getsignal(signal.SIGALRM) is mine
                assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
        """,
        count=5,
    )


def test_two_projects_have_modules_of_one_name(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\n")
    for name in ("one", "two"):
        folder = pytester.mkdir(name)
        (folder / "portafaas.yaml").write_text(
            f"portafaas: 1\nname: {name}\nfunctions:\n"
            "  hello: {handler: 'handlers:hello', trigger: {http: {path: /}}}\n"
        )
        (folder / "handlers.py").write_text(f"def hello(request, context):\n    return '{name}'\n")
        for number in "12":
            (folder / f"test_{name}{number}.py").write_text(
                f"import handlers\n\ndef test_it(app, monkeypatch):\n"
                f"    assert app.get('/').text == '{name}'\n"
                "    monkeypatch.setattr(handlers, 'hello', lambda request, context: 'x')\n"
                "    app.reset()\n    assert app.get('/').text == 'x'\n"
            )
    pytester.runpytest_inprocess().assert_outcomes(passed=4)


def test_a_failure_tells_what_the_application_did(demo: pytest.Pytester) -> None:
    demo.makepyfile(
        """
        def test_it(app):
            app.fail("work", times=3)
            app.get("/hello/Ada")
            app.drain()
            app.assert_settled()
        """
    )
    result = demo.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E  *AssertionError: not all is done:",
            "E  *dead letter of 'jobs': <Dead attempts after 3 attempts of work: Retryable: *",
            "*invocations on local*",
            "<hello attempt 1 ok>",
            "<work attempt 1 error: Retryable: the test wants it to fail, again in 10 s>",
        ]
    )


def test_a_runtime_that_cannot_be_installed_is_no_skip(
    demo: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def made(self: Session, setting: Setting) -> None:
        asked.append(setting.target)
        raise VendorRuntimeError("PF6001", "awslambdaric: no such package", hint="be online")

    monkeypatch.setattr(Session, "_made", made)
    demo.makepyfile("def test_one(app):\n    pass\n\ndef test_two(app):\n    pass\n")
    result = demo.runpytest_inprocess("--portafaas-target", "aws")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*no app on target 'aws': PF6001: awslambdaric: no such package*", "be online"]
    )
    # The second one does not wait for the same once more.
    assert asked == ["aws"]
