"""Find adapters through the ``portafaas.adapters`` entry-point group, loading none until asked.

``importlib.metadata`` is asked only where a folder listing cannot tell: importing it takes longer
than all that a build without changes has to do.
"""

# Plain strings instead of pathlib, for the same reason.
# ruff: noqa: PTH116, PTH123, PTH208
from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from portafaas.errors import AdapterLoadError, AdapterNotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.adapter import Adapter

GROUP = "portafaas.adapters"


class Point:
    """An entry point: ``value`` is ``module:attribute``."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value

    def load(self) -> object:
        """Import it; raises ImportError or AttributeError."""
        from importlib import import_module

        module, _, attribute = self.value.partition(":")
        found: object = import_module(module)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
        return found


def installed_targets() -> dict[str, Point]:
    """Map target name to entry point, sorted, without importing any adapter.

    Raises AdapterLoadError when two distributions claim one name.
    """
    found: dict[str, Point] = {}
    for point in _points():
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise AdapterLoadError(
                f"target {point.name!r} is claimed by {other.value} and {point.value}",
                hint="uninstall one of the two distributions",
            )
        found[point.name] = point
    return dict(sorted(found.items()))


def _points() -> Sequence[Point]:
    """Return the entry points of the group, of each distribution the first on the path."""
    global _known
    # Who installs something changes the folder that it goes to.
    stamp = tuple((folder, _time(folder)) for folder in sys.path)
    if _known is None or _known[0] != stamp:
        _known = stamp, tuple(_read())
    return _known[1]


_known: tuple[tuple[tuple[str, int], ...], tuple[Point, ...]] | None = None


def _time(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def _read() -> Iterator[Point]:
    seen: set[str] = set()
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except FileNotFoundError:
            continue
        except OSError:  # a zip, or what only some import hook can read
            yield from _asked()
            return
        for name in names:
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            try:
                with open(f"{folder or '.'}/{name}/entry_points.txt", encoding="utf-8") as file:
                    text = file.read()
            except OSError:
                text = ""  # it counts all the same: it hides those that come after it
            # PEP 503 and 440: 'a_b-1.0.dist-info' and 'A.b-2.dist-info' are of one distribution.
            key = name.rpartition(".")[0].partition("-")[0].replace(".", "_").lower()
            if key not in seen:
                seen.add(key)
                if GROUP in text:
                    yield from _parsed(text)


def _parsed(text: str) -> Iterator[Point]:
    """Read https://packaging.python.org/specifications/entry-points/#file-format."""
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield Point(name.strip(), value.partition("[")[0].strip())


def _asked() -> Iterator[Point]:
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        yield Point(point.name, point.value.partition("[")[0].strip())


def get_adapter(target: str) -> Adapter:
    """Load the adapter for *target*; raises AdapterNotFoundError or AdapterLoadError."""
    from portafaas.adapter import API_VERSION, Adapter, Capability

    points = installed_targets()
    if target not in points:
        raise AdapterNotFoundError(target, points)
    point = points[target]
    try:
        adapter = point.load()
    except (ImportError, AttributeError) as exc:
        raise AdapterLoadError(
            f"adapter {point.value} is installed but cannot be imported: {exc}"
        ) from exc
    if not isinstance(adapter, Adapter):
        raise AdapterLoadError(f"{point.value} is not an Adapter instance")
    if adapter.target != target:
        raise AdapterLoadError(f"{point.value} calls itself {adapter.target!r}, not {target!r}")
    if adapter.api_version != API_VERSION:
        raise AdapterLoadError(
            f"{point.value} speaks adapter API {adapter.api_version}; this portafaas speaks "
            f"{API_VERSION}",
            hint="install matching versions",
        )
    silent = [str(c) for c in Capability if c not in adapter.capabilities]
    if silent:
        raise AdapterLoadError(
            f"{point.value} takes no position on: {', '.join(silent)}",
            hint="declare full, not-implemented or unsupported for each",
        )
    return adapter
