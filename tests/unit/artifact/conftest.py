"""A small project on disk, and a package of it."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import contract
from portafaas.artifact import Package, PackageRequest, assemble
from portafaas.plan.model import BuildPlan, Dependencies, FunctionPlan, HttpTrigger

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
HANDLER = "def handle(request, context):\n    return None\n"


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for tests that do not mind what others left in it."""
    return tmp_path_factory.mktemp("cache")


class Project:
    """A project folder, and what its plan says; ``build`` makes the package."""

    def __init__(self, root: Path, scratch: Path, cache: Path) -> None:
        self.root = root
        self.scratch = scratch
        self.cache = cache
        self.layout = contract.Layout(
            dependencies="",
            runtime_package="acme_faas.runtime",
            limits=contract.Limits(0, 0, "https://example.com/limits"),
            pythons=(PYTHON,),
            glibc={PYTHON: "2.28"},
        )
        self.plan = BuildPlan(
            service="shop",
            stage="dev",
            python=PYTHON,
            architecture="x86_64",
            functions=(
                FunctionPlan("create", "app.orders", "handle", HttpTrigger(("POST",), "/orders")),
            ),
        )
        self.generated: dict[str, bytes] = {"_portafaas.py": b"SERVICE = 'shop'\n"}

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def change(self, **fields: Any) -> None:
        self.plan = replace(self.plan, **fields)

    def depend(self, text: str, **fields: Any) -> None:
        self.write({"requirements.txt": text})
        self.change(dependencies=Dependencies("requirements.txt", **fields))

    def request(self) -> PackageRequest:
        return PackageRequest(self.root, self.plan, "acme", self.layout, self.generated, "out")

    def build(self) -> Package:
        self.scratch.mkdir(exist_ok=True)
        return assemble(self.request(), self.scratch, self.cache)


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install an adapter's runtime package for the time of a test."""
    site = tmp_path / "site"
    for name, text in {
        "acme_faas/__init__.py": '"""Acme."""\n',
        "acme_faas/adapter.py": "raise RuntimeError('build-time code')\n",
        "acme_faas/runtime/__init__.py": "",
        "acme_faas/runtime/http.py": "def bind(function):\n    return function\n",
    }.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.fixture
def project(tmp_path: Path, acme: Path, session_cache: Path) -> Project:
    """A project with one handler, ``app/orders.py``."""
    made = Project(tmp_path / "project", tmp_path / "scratch", session_cache)
    made.write({"portafaas.yaml": "", "app/__init__.py": "", "app/orders.py": HANDLER})
    return made


@pytest.fixture
def names() -> Callable[[Package], list[str]]:
    """Return the names in a package, without bytecode."""

    def listed(package: Package) -> list[str]:
        with zipfile.ZipFile(package.file) as archive:
            return [name for name in archive.namelist() if not name.endswith(".pyc")]

    return listed


class Wheelhouse:
    """A folder of hand-made distributions that stands in for the package index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def wheel(
        self,
        name: str,
        version: str,
        files: Mapping[str, str],
        *,
        tag: str = "py3-none-any",
        metadata: str = "",
        pure: bool = True,
    ) -> None:
        info = f"{name}-{version}.dist-info"
        content = {
            **files,
            f"{info}/METADATA": f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
            + metadata,
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\n"
            f"Root-Is-Purelib: {str(pure).lower()}\nTag: {tag}\n",
        }
        record = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
        with zipfile.ZipFile(self.folder / f"{name}-{version}-{tag}.whl", "w") as wheel:
            for path, text in {**content, f"{info}/RECORD": record}.items():
                wheel.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)

    def sdist(self, name: str, version: str) -> None:
        """Add a source distribution that no test may build."""
        import io
        import tarfile

        with tarfile.open(self.folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
            for path, text in {
                "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
                "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'none'\n",
            }.items():
                entry = tarfile.TarInfo(f"{name}-{version}/{path}")
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheelhouse:
    """An empty wheelhouse, the only place where uv looks."""
    house = Wheelhouse(tmp_path / "wheelhouse")
    config = tmp_path / "uv.toml"
    config.write_text(f"no-index = true\nfind-links = ['{house.folder}']\n")
    monkeypatch.setenv("UV_CONFIG_FILE", str(config))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    return house
