"""Cached virtual environments that hold a vendor's runtime, one per requirements and Python.

They live in ``$PORTAFAAS_HOME/vendor``, or in ``~/.cache/portafaas/vendor``, and can be deleted at
any time. Nothing is ever downloaded but packages, and those once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from portafaas.vendor.contract import Requirements, VendorRuntime, VendorRuntimeError

_MARKER = "portafaas.json"


def cache_folder() -> Path:
    """Return the folder that holds the environments."""
    home = os.environ.get("PORTAFAAS_HOME")
    if home:
        return Path(home).expanduser().absolute() / "vendor"
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "portafaas" / "vendor"


def prepare(name: str, runtime: VendorRuntime, version: str) -> Path:
    """Return an interpreter of Python *version* (``3.11``) that has *runtime*'s requirements.

    Raises PF6002 when no such Python is installed and PF6001 when packages cannot be.
    """
    python = find_interpreter(version)
    if python is None:
        raise VendorRuntimeError(
            "PF6002",
            f"no Python {version} found to run the {name} runtime",
            hint=f"install Python {version}, or put python{version} on PATH",
        )
    return ensure_environment(name, runtime.requirements(version), python)


def find_interpreter(version: str) -> Path | None:
    """Return an installed interpreter of Python *version* (``3.11``), or None; never download.

    Looks at the running interpreter, then ``PATH``, pyenv's versions, and what uv knows of.
    """
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return Path(sys.executable)
    for candidate in _candidates(version):
        facts = _probe(candidate)
        if facts is not None and facts[0].startswith(f"{version}."):
            return candidate
    return None


def _candidates(version: str) -> Iterator[Path]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = versions.glob(f"{version}.*/bin/python")
    yield from sorted(found, key=_patch_number, reverse=True)
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        output = subprocess.run(
            [*_uv(), "python", "find", "--no-python-downloads", "--no-project", version],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
        if output:
            yield Path(output)


def _patch_number(python: Path) -> int:
    patch = python.parent.parent.name.split(".")[2]
    return int(patch) if patch.isdigit() else -1


@functools.cache
def _probe(python: Path) -> tuple[str, str] | None:
    """Return ``(version, tag)`` of a working interpreter, else None; a pyenv shim may not work."""
    code = (
        "import platform,sys,sysconfig;"
        "print(platform.python_version(), sys.implementation.cache_tag, sysconfig.get_platform())"
    )
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-c", code],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        version, *tag = done.stdout.split()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return version, "-".join(tag)


def ensure_environment(name: str, requirements: Requirements, python: Path) -> Path:
    """Return the interpreter of a virtual environment of *python* that has *requirements*.

    Built once and shared by all processes; rebuilt when parts are missing. *name* only makes the
    folder's name readable. Raises PF6001 when packages cannot be installed, PF6002 when *python*
    does not run.
    """
    facts = _probe(python)
    if facts is None:
        raise VendorRuntimeError("PF6002", f"{python} is not a working Python interpreter")
    version, tag = facts
    wanted: list[object] = [
        requirements.pinned,
        requirements.forced,
        requirements.forced_python,
        version,
        tag,
        platform.libc_ver(),
    ]
    digest = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]
    cache = cache_folder()
    folder = cache / f"{name}-{version}-{digest}"
    if not _is_complete(folder):
        _make_folder(cache)
        with _locked(cache / f"{folder.name}.lock"):
            if not _is_complete(folder):
                _build(folder, requirements, python)
    return _interpreter(folder)


def python_version(python: Path) -> str:
    """Return the version of the interpreter *python* as ``3.11``, or raise PF6002."""
    facts = _probe(python)
    if facts is None:
        raise VendorRuntimeError("PF6002", f"{python} is not a working Python interpreter")
    return ".".join(facts[0].split(".")[:2])


def installed_version(python: Path, distribution: str) -> str:
    """Return the version of *distribution* in the environment of *python*, or ``unknown``."""
    folders = [str(path) for path in _site_packages(python.parent.parent)]
    for found in metadata.distributions(name=distribution, path=folders):
        return found.version
    return "unknown"


def _interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def _site_packages(folder: Path) -> list[Path]:
    return sorted(folder.glob("lib/python*/site-packages"))


def _listing(folder: Path) -> list[str]:
    return sorted(item.name for site in _site_packages(folder) for item in site.iterdir())


def _is_complete(folder: Path) -> bool:
    try:
        expected = json.loads((folder / _MARKER).read_text(encoding="utf-8"))["site-packages"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return os.access(_interpreter(folder), os.X_OK) and set(expected) <= set(_listing(folder))


def _make_folder(cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise VendorRuntimeError(
            "PF6001",
            f"cannot create the cache folder {cache}: {exc.strerror}",
            hint="set PORTAFAAS_HOME to a folder that can be written",
        ) from exc


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, requirements: Requirements, python: Path) -> None:
    # Renamed into place when complete, so that a reader without the lock never sees half of it.
    # Scripts in bin/ keep the old path: run modules, never scripts.
    with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as scratch:
        new = Path(scratch) / folder.name
        _run_uv("venv", "--quiet", "--no-project", "--python", python, new)
        install = ["pip", "install", "--quiet", "--compile-bytecode", "--only-binary", ":all:"]
        install += ["--python", str(_interpreter(new))]
        if requirements.pinned:
            _run_uv(*install, *requirements.pinned)
        if requirements.forced:
            as_if = ("--no-deps", "--python-version", requirements.forced_python)
            _run_uv(*install, *as_if, *requirements.forced)
        marker = {"site-packages": _listing(new)}
        (new / _MARKER).write_text(json.dumps(marker), encoding="utf-8")
        if folder.exists():
            folder.rename(Path(scratch) / "broken")
        new.rename(folder)


def _uv() -> list[str]:
    return [sys.executable, "-m", "uv"]


def _run_uv(*arguments: str | Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    env["UV_PYTHON_DOWNLOADS"] = "never"
    command = [*_uv(), *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise VendorRuntimeError(
            "PF6001",
            f"cannot install the vendor runtime: {reason}",
            hint=f"connect to a package index once, or set PORTAFAAS_HOME to a folder that "
            f"already has it; the cache is {cache_folder()}",
        )
