"""What every vendor runtime must do alike: the contract of ``portafaas.vendor``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portafaas.vendor import VendorRuntimeError

pytestmark = pytest.mark.vendor

RUNTIMES = [
    (target, version)
    for target, versions in {
        "aws": ("3.11", "3.12"),
        "azure": ("3.11", "3.12", "3.13"),
        "gcp": ("3.11", "3.12"),
    }.items()
    for version in versions
]


@pytest.fixture(params=RUNTIMES, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    value: tuple[str, str] = request.param
    return value


@pytest.fixture
def kit(pair: tuple[str, str], target_of: Any) -> Any:
    return target_of(pair[0])


@pytest.fixture
def session(pair: tuple[str, str], open_session: Any) -> Any:
    return open_session(*pair)


def test_value_and_state_of_one_process(session: Any, kit: Any, pair: tuple[str, str]) -> None:
    first = kit.read(session.invoke(kit.request(value="\u00e9 \u2603 &=%")))
    assert first["value"] == "\u00e9 \u2603 &=%"
    assert first["python"] == pair[1]
    second = kit.read(session.invoke(kit.request()))
    assert (second["count"], second["pid"]) == (first["count"] + 1, first["pid"])


@pytest.mark.parametrize("target", ["aws", "azure", "gcp"])
@pytest.mark.parametrize("version", ["3.10", "3.13"])
def test_oldest_and_newest_python(
    open_session: Any, target_of: Any, target: str, version: str
) -> None:
    session, kit = open_session(target, version), target_of(target)
    assert kit.read(session.invoke(kit.request()))["python"] == version
    assert session.invoke(kit.request("exit", "1")).error.kind == "exit"
    assert session.invoke(kit.request()).ok


def test_handler_error_leaves_the_process_warm(session: Any, kit: Any) -> None:
    before = kit.read(session.invoke(kit.request()))
    result = session.invoke(kit.request("fail", "no: luck"))
    assert not result.ok
    assert (result.error.kind, result.error.type, result.error.message) == (
        "handler",
        "ValueError",
        "no: luck",
    )
    assert "behaviour.py" in result.error.stack
    after = kit.read(session.invoke(kit.request()))
    assert (after["count"], after["pid"]) == (before["count"] + 2, before["pid"])


def test_init_error_is_reported_until_it_is_gone(
    open_session: Any, kit: Any, pair: tuple[str, str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    session = open_session(*pair, env={"BROKEN": str(broken)})
    for _ in range(2):
        result = session.invoke(kit.request())
        assert not result.ok
        assert (result.error.kind, result.error.type) == ("init", "RuntimeError")
        assert result.error.message == "broken: on purpose"
    broken.unlink()
    assert kit.read(session.invoke(kit.request()))["count"] == 1


def test_timeout_kills_and_the_next_start_is_cold(
    session: Any, kit: Any, has_ended: Any
) -> None:
    before = kit.read(session.invoke(kit.request()))
    result = session.invoke(kit.request("sleep", "60"), timeout=0.25)
    assert not result.ok
    assert result.error.kind == "timeout"
    assert 250 <= result.duration_ms < 2000
    assert has_ended(before["pid"])
    after = kit.read(session.invoke(kit.request()))
    assert after["count"] == 1
    assert after["pid"] != before["pid"]
    assert session.describe()["cold_starts"] == 2


# 3 is what gunicorn takes for a failure to boot, upon which its master ends too.
@pytest.mark.parametrize("status", ["3", "7"])
def test_exit_of_the_process_fails_one_invocation(session: Any, kit: Any, status: str) -> None:
    result = session.invoke(kit.request("exit", status))
    assert not result.ok
    assert result.error.kind == "exit"
    for count in (1, 2):
        assert kit.read(session.invoke(kit.request()))["count"] == count


def test_logs_belong_to_their_invocation(session: Any, kit: Any) -> None:
    session.invoke(kit.request("log", "one"))
    logs = session.invoke(kit.request("log", "tw\u00f6")).logs
    for origin in ("stdout", "stderr", "logging"):
        assert f"to {origin}: tw\u00f6" in logs
    assert "one" not in logs
    assert session.invoke(kit.request()).logs == ""
    assert "ValueError" in session.invoke(kit.request("fail")).logs or kit.name == "azure"


def test_invoke_many_keeps_the_order(session: Any, kit: Any) -> None:
    requests = [kit.request("fail" if n == 2 else "echo", str(n)) for n in range(5)]
    results = session.invoke_many(requests)
    assert [result.ok for result in results] == [True, True, False, True, True]
    values = [kit.read(result)["value"] for result in results if result.ok]
    assert values == ["0", "1", "3", "4"]
    assert session.invoke_many([]) == ()


def test_a_session_serves_hundreds(session: Any, kit: Any) -> None:
    request = kit.request()
    durations = sorted(session.invoke(request).duration_ms for _ in range(300))
    assert kit.read(session.invoke(request))["count"] == 301
    # Delayed acknowledgements, of 40 ms, would show here; a busy machine does not.
    assert durations[100] < 20


def test_close_leaves_no_process(
    session: Any, kit: Any, is_running: Any, has_ended: Any, tmp_path: Path
) -> None:
    own = kit.read(session.invoke(kit.request()))["pid"]
    child = kit.read(session.invoke(kit.request("spawn")))["value"]
    assert is_running(own)
    assert is_running(child)
    session.close()
    assert has_ended(own)
    assert has_ended(child)
    session.close()
    # Nor a trace in the package: it is read-only on the platform.
    assert not list((tmp_path / kit.name).rglob("__pycache__"))


def test_nothing_of_the_callers_environment(
    open_session: Any, kit: Any, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKED", "1")
    session = open_session(*pair, env={"GIVEN": "2"})
    environment = kit.read(session.invoke(kit.request("environment")))["value"]
    assert "LEAKED" not in environment
    assert environment["GIVEN"] == "2"


def test_package_comes_first_or_last_as_on_the_platform(
    session: Any, kit: Any, tmp_path: Path
) -> None:
    path = kit.read(session.invoke(kit.request("path")))["value"]
    place = {"aws": 0, "azure": -1, "gcp": -1}[kit.name]
    assert path[place] == str(tmp_path / kit.name)
    assert path.count(path[place]) == 1


def test_unknown_function_is_refused(session: Any, kit: Any) -> None:
    with pytest.raises(VendorRuntimeError, match="PF6004"):
        session.invoke(kit.request(), function="other")
    assert session.invoke(kit.request()).ok


def test_describe_names_the_pinned_version(session: Any, kit: Any, pair: tuple[str, str]) -> None:
    facts = session.describe()
    needs = kit.runtime().requirements(pair[1])
    assert f"{facts['runtime']}=={facts['version']}" in (*needs.pinned, *needs.forced)
    assert facts["cold_starts"] == 1
    assert 0 < facts["init_ms"] < 10_000
