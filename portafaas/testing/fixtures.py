"""The fixtures ``portafaas_app`` and ``portafaas_target``; see ``portafaas.testing.plugin``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.errors import PortafaasError
from portafaas.testing.app import App
from portafaas.testing.plugin import manifest_of
from portafaas.testing.session import LOCAL, Session, Setting

_SESSION = pytest.StashKey[Session]()
#: Invocations that are told of when a test has failed.
_TOLD = 40
_NO_MANIFEST = "PF8070"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with the fixture once on each target."""
    if "portafaas_target" in metafunc.fixturenames:
        targets = _targets(metafunc.config, metafunc.definition)
        # In this scope tests of one target follow one another, and share its processes.
        metafunc.parametrize("portafaas_target", targets, indirect=True, scope="session")


def _targets(config: pytest.Config, item: pytest.Item) -> list[Any]:
    given = config.getoption("portafaas_target") or []
    asked = [name for text in given for name in text.replace(",", " ").split()]
    if "all" in asked:
        from portafaas.registry import installed_targets

        asked = [LOCAL, *installed_targets()]
    marked = _marked(item, "targets")
    if isinstance(marked, str):
        marked = marked.replace(",", " ").split()
    if marked and asked:
        # The option chooses among what the test is for.
        chosen = [name for name in marked if name in asked]
        if not chosen:
            reason = f"is for {', '.join(marked)} only"
            return [pytest.param(marked[0], marks=pytest.mark.skip(reason=reason))]
        asked = chosen
    found = asked or marked or config.getini("portafaas_targets") or [LOCAL]
    return list(dict.fromkeys(found))


def _marked(item: pytest.Item, name: str) -> Any:
    """Return what the nearest marker says of *name*; None when none does."""
    for marker in item.iter_markers("portafaas"):
        if marker.args:
            raise pytest.UsageError("@pytest.mark.portafaas takes its arguments by name")
        unknown = set(marker.kwargs) - {"targets", "stage", "manifest", "processes"}
        if unknown:
            raise pytest.UsageError(
                f"@pytest.mark.portafaas has no {', '.join(sorted(unknown))}; it has targets, "
                "stage, manifest and processes"
            )
        if marker.kwargs.get(name) is not None:
            return marker.kwargs[name]
    return None


@pytest.fixture(scope="session")
def portafaas_target(request: pytest.FixtureRequest) -> str:
    """Name of the target that the test runs on: ``local``, ``aws``, ``azure``, ``gcp``."""
    return str(getattr(request, "param", LOCAL))


@pytest.fixture
def portafaas_app(
    request: pytest.FixtureRequest, portafaas_target: str, tmp_path: Path
) -> Iterator[App]:
    """The application: ``app`` under a name that a project's own fixtures do not have."""
    item: pytest.Item = request.node
    config = request.config
    problem = ""
    try:
        executor = _session(request).executor(_setting(config, item, portafaas_target))
    except PortafaasError as exc:
        problem = f"{exc}\n{exc.hint}" if exc.hint else str(exc)
    if problem:
        pytest.fail(f"no app on target {portafaas_target!r}: {problem}", pytrace=False)
    made = App(executor, tmp_path, portafaas_target)
    try:
        yield made
    finally:
        made.close()


def _session(request: pytest.FixtureRequest) -> Session:
    found = request.config.stash.get(_SESSION, None)
    if found is None:
        factory = request.getfixturevalue("tmp_path_factory")
        found = request.config.stash[_SESSION] = Session(factory.mktemp("portafaas"))
    return found


def _setting(config: pytest.Config, item: pytest.Item, target: str) -> Setting:
    named = _marked(item, "manifest")
    if named is not None:
        manifest: Path | None = item.path.parent / named
    else:
        found = manifest_of(config, item.path.parent)
        manifest = Path(found) if found is not None else None
    if manifest is None or not manifest.is_file():
        where = str(manifest) if manifest is not None else f"portafaas.yaml above {item.path}"
        pytest.fail(
            f"{_NO_MANIFEST}: there is no manifest {where}; name one with "
            "@pytest.mark.portafaas(manifest=...) or the ini option portafaas_manifest",
            pytrace=False,
        )
    stage = _marked(item, "stage") or config.getini("portafaas_stage") or None
    processes = _marked(item, "processes")
    if processes is None:
        processes = config.getoption("portafaas_processes")
    if processes is None:
        processes = config.getini("portafaas_processes")
    return Setting(manifest.resolve(), stage, target, bool(processes) and target == LOCAL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Tell what the application did when its test has failed."""
    report = yield
    made = getattr(item, "funcargs", {}).get("portafaas_app")
    if isinstance(made, App) and report.when == "call" and report.failed:
        done = made.invocations()
        lines = [repr(each) for each in done[-_TOLD:]]
        if len(done) > len(lines):
            lines.insert(0, f"... {len(done) - len(lines)} before")
        report.sections.append((f"invocations on {made.target}", "\n".join(lines) or "none"))
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """End all processes."""
    found = config.stash.get(_SESSION, None)
    if found is not None:
        found.close()
