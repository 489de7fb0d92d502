"""Deterministic packages: the same project gives the same content, byte for byte, everywhere.

``assemble`` is the way in. Names are loaded on first use, so that who needs only one of them
(``unpack``) does not pay for the rest. ``docs/spec/packages.md`` has the rules.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.artifact.assembly import Assembly, assemble
    from portafaas.artifact.model import Package, PackageRequest
    from portafaas.artifact.zipper import unpack

__all__ = [
    "Assembly",
    "Package",
    "PackageRequest",
    "assemble",
    "unpack",
]

_HOMES = {
    "Assembly": "assembly",
    "Package": "model",
    "PackageRequest": "model",
    "assemble": "assembly",
    "unpack": "zipper",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
