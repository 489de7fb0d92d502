"""The pytest plugin: options, the marker, and the fixtures where there is a manifest.

Loaded by every pytest of an environment that has portafaas, so it imports nothing: all else is in
``portafaas.testing.fixtures``, registered when a test module is found below a ``portafaas.yaml``.
A project without one gets no fixture, no parametrisation and no hook of a test.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    import pytest

#: Name of the manifest, unless the ini option says another.
MANIFEST = "portafaas.yaml"
_FIXTURES = "portafaas-fixtures"
_MARKER = (
    "portafaas(targets=None, stage=None, manifest=None, processes=None): what the fixture 'app' "
    "runs, and where (docs/testing.md)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("portafaas")
    group.addoption(
        "--portafaas-target",
        action="append",
        default=[],
        metavar="TARGETS",
        help="run tests with the fixture 'app' on these targets: local,aws,azure,gcp; 'all' is "
        "every one that is installed  [default: ini option portafaas_targets, else local]",
    )
    group.addoption(
        "--portafaas-processes",
        action="store_true",
        default=None,
        help="on 'local', run each function in a process of its own instead of the test's",
    )
    parser.addini("portafaas_targets", "targets of tests with the fixture 'app'", "args", [])
    parser.addini("portafaas_stage", "stage of the manifest", default="")
    parser.addini("portafaas_manifest", "the manifest, relative to the ini file", default="")
    parser.addini("portafaas_processes", "as --portafaas-processes", "bool", False)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", _MARKER)


def manifest_of(config: pytest.Config, folder: Path) -> str | None:
    """Return the manifest of tests in *folder*: the ini option's, or the nearest one above."""
    named = config.getini("portafaas_manifest")
    if named:
        base = config.inipath.parent if config.inipath else config.rootpath
        return str(base / named)
    top = str(config.rootpath)
    place = str(folder)
    while True:
        file = os.path.join(place, MANIFEST)  # noqa: PTH118 (no Path for what is asked often)
        if os.path.isfile(file):  # noqa: PTH113
            return file
        if not place.startswith(top + os.sep):
            return None
        place = os.path.dirname(place)  # noqa: PTH120


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Let conftests of a project import its modules, too."""
    manifest = manifest_of(early_config, early_config.invocation_params.dir)
    if manifest is not None:
        from portafaas.testing.modules import enter

        enter(os.path.dirname(manifest))  # noqa: PTH120


def _has_app(parent: pytest.Collector) -> bool:
    """Tell whether the project, or another plugin, has a fixture ``app`` of its own."""
    try:
        found = parent.session._fixturemanager.getfixturedefs("app", parent)
    except (AttributeError, TypeError):
        # Internal, though stable since pytest 8.1; those nearer to a test come first anyway.
        return False
    return bool(found)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> None:
    """Offer the fixtures to tests below a manifest, and its handlers to ``import``."""
    config = parent.config
    manifest = manifest_of(config, module_path.parent)
    if manifest is None and not config.getoption("portafaas_target"):
        return
    if not config.pluginmanager.has_plugin(_FIXTURES):
        from portafaas.testing import fixtures

        config.pluginmanager.register(fixtures, _FIXTURES)
        if not _has_app(parent):
            from portafaas.testing import short

            config.pluginmanager.register(short)
    if manifest is not None:
        from portafaas.testing.modules import enter

        mode = config.getoption("importmode", "")
        enter(os.path.dirname(manifest), mode == "importlib")  # noqa: PTH120
