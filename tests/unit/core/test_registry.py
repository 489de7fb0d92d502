from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from portafaas import registry
from portafaas.adapter import Capability, Support
from portafaas.errors import AdapterLoadError, AdapterNotFoundError


def install(monkeypatch: pytest.MonkeyPatch, adapter: Any, *names: str) -> None:
    module = type(sys)("fake_adapter")
    module.ADAPTER = adapter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_adapter", module)
    points = [registry.Point(name, "fake_adapter:ADAPTER") for name in names]
    monkeypatch.setattr(registry, "_points", lambda: points)


@pytest.fixture
def gcp() -> Any:
    return registry.get_adapter("gcp")


def test_the_three_targets_are_installed_and_speak_for_everything() -> None:
    assert list(registry.installed_targets()) == ["aws", "azure", "gcp"]
    for name in registry.installed_targets():
        assert set(registry.get_adapter(name).capabilities) == set(Capability)


def test_listing_targets_imports_no_adapter() -> None:
    code = (
        "import sys; from portafaas.registry import installed_targets; installed_targets();"
        "sys.exit(any(m.startswith('portafaas_') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_target_names_the_installed_ones() -> None:
    with pytest.raises(AdapterNotFoundError, match="installed: aws, azure, gcp"):
        registry.get_adapter("oracle")


def test_silence_about_a_capability_is_refused(monkeypatch: pytest.MonkeyPatch, gcp: Any) -> None:
    quiet = type(
        "Quiet",
        (type(gcp),),
        {
            "target": "quiet",
            "capabilities": {c: s for c, s in gcp.capabilities.items() if c != "http.cors"},
        },
    )()
    install(monkeypatch, quiet, "quiet")
    with pytest.raises(AdapterLoadError, match=r"no position on: http\.cors"):
        registry.get_adapter("quiet")


def test_another_contract_version_is_refused(monkeypatch: pytest.MonkeyPatch, gcp: Any) -> None:
    install(monkeypatch, type("Old", (type(gcp),), {"target": "old", "api_version": 0})(), "old")
    with pytest.raises(AdapterLoadError, match="speaks adapter API 0"):
        registry.get_adapter("old")


def test_a_wrong_name_is_refused(monkeypatch: pytest.MonkeyPatch, gcp: Any) -> None:
    install(monkeypatch, gcp, "other")
    with pytest.raises(AdapterLoadError, match="calls itself 'gcp'"):
        registry.get_adapter("other")


def test_something_that_is_no_adapter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, object(), "thing")
    with pytest.raises(AdapterLoadError, match="not an Adapter"):
        registry.get_adapter("thing")


def test_a_broken_import_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [registry.Point("gone", "no_such_module:ADAPTER")]
    monkeypatch.setattr(registry, "_points", lambda: points)
    with pytest.raises(AdapterLoadError, match="cannot be imported"):
        registry.get_adapter("gone")


def test_two_claims_to_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [registry.Point("x", f"{m}:ADAPTER") for m in ("one", "two")]
    monkeypatch.setattr(registry, "_points", lambda: points)
    with pytest.raises(AdapterLoadError, match="claimed by"):
        registry.installed_targets()


def test_support_has_no_silent_level() -> None:
    assert set(Support) == {"full", "not-implemented", "unsupported"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def distribution(site: Path, name: str, text: str) -> None:
    (site / name).mkdir()
    (site / name / "entry_points.txt").write_text(text)


def test_entry_points_are_read_as_the_standard_library_reads_them(site: Path) -> None:
    distribution(
        site,
        "acme_faas-1.0.dist-info",
        "[console_scripts]\nacme = acme:main\n\n[portafaas.adapters]\n# a comment\n"
        " acme = acme_faas.adapter:ADAPTER [extra]\nother=acme_faas:OTHER\n[more]\nx = y:z\n",
    )
    found = {name: point.value for name, point in registry.installed_targets().items()}
    assert found["acme"] == "acme_faas.adapter:ADAPTER" and found["other"] == "acme_faas:OTHER"
    known = {point.name: (point.module, point.attr) for point in entry_points(group=registry.GROUP)}
    assert {name: tuple(value.split(":")) for name, value in found.items()} == known


def test_an_earlier_folder_hides_the_same_distribution_in_a_later_one(site: Path) -> None:
    # Not the same version and not spelt the same: a distribution has one name however written.
    distribution(site, "Portafaas-99.dist-info", "[portafaas.adapters]\nnew = one:A\n")
    assert list(registry.installed_targets()) == ["new"]


def test_what_is_installed_meanwhile_is_found(site: Path) -> None:
    before = list(registry.installed_targets())
    distribution(site, "late-1.dist-info", "[portafaas.adapters]\nlate = one:A\n")
    assert sorted([*before, "late"]) == list(registry.installed_targets())


def test_a_zip_on_the_path_is_read_too(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    with zipfile.ZipFile(site / "all.zip", "w") as archive:
        text = "[portafaas.adapters]\nzipped = one:A\n"
        archive.writestr("zipped-1.dist-info/entry_points.txt", text)
        archive.writestr("zipped-1.dist-info/METADATA", "Name: zipped\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(site / "all.zip"))
    assert "zipped" in registry.installed_targets()
