"""The part of portafaas, and of an adapter, that ships in every package."""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH110, PTH112, PTH118
from __future__ import annotations

import os
from collections.abc import Iterator


def runtime_files(package: str) -> list[tuple[str, str]]:
    """Return ``(name in the zip, path)`` of the files of an import package, sorted.

    ``portafaas_aws.runtime`` means ``portafaas_aws/__init__.py`` and everything below
    ``portafaas_aws/runtime``: the rest of an adapter is build-time code. Raises
    ModuleNotFoundError when it is not installed.
    """
    top, *rest = package.split(".")
    base = _folder_of(top)
    found: list[tuple[str, str]] = []
    folder, prefix = base, f"{top}/"
    for part in rest:
        init = os.path.join(folder, "__init__.py")
        if os.path.exists(init):
            found.append((f"{prefix}__init__.py", init))
        folder, prefix = os.path.join(folder, part), f"{prefix}{part}/"
    if not os.path.isdir(folder):
        raise ModuleNotFoundError(f"no package {package!r} is installed", name=package)
    found += _walk(folder, prefix)
    return sorted(found)


def _folder_of(top: str) -> str:
    import importlib.util

    spec = importlib.util.find_spec(top)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise ModuleNotFoundError(f"no package {top!r} is installed", name=top)
    return places[0]


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif not entry.name.endswith((".pyc", ".pyi", ".so")):
                yield prefix + entry.name, entry.path
