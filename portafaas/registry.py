"""Find adapters through the ``portafaas.adapters`` entry-point group, loading none until asked."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from portafaas.errors import AdapterLoadError, AdapterNotFoundError

if TYPE_CHECKING:
    from portafaas.adapter import Adapter

GROUP = "portafaas.adapters"


def installed_targets() -> dict[str, EntryPoint]:
    """Map target name to entry point, sorted, without importing any adapter.

    Raises AdapterLoadError when two distributions claim one name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise AdapterLoadError(
                f"target {point.name!r} is claimed by {other.value} and {point.value}",
                hint="uninstall one of the two distributions",
            )
        found[point.name] = point
    return dict(sorted(found.items()))


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
