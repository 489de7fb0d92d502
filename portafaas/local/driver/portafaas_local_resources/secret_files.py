"""Secrets: files."""

# ruff: noqa: PTH119, PTH120, PTH123 (plain strings: pathlib costs the handler time)
from __future__ import annotations

import os

from portafaas.runtime.resources import NotFound, ResourceError


def secret(address: str) -> bytes:
    """Return a secret's value; raises NotFound when there is no file."""
    name = os.path.basename(address)
    try:
        with open(address, "rb") as file:
            return file.read()
    except FileNotFoundError:
        kept, stage = os.path.split(os.path.dirname(address))
        known = os.path.basename(kept) == "secrets" and stage != "-"
        more = f" --stage {stage}" if known else ""
        raise NotFound(
            f"secret {name!r} has no value here: portafaas secrets set {name}{more}"
        ) from None
    except OSError as exc:
        raise ResourceError(f"secret {name!r} cannot be read: {exc.strerror}") from None
