"""Kinds of values that a provider's resources take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Text(NamedTuple):
    """A string: one of ``choices`` where there are any, else all of it like ``pattern``."""

    pattern: str = ""
    choices: tuple[str, ...] = ()


class Number(NamedTuple):
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int


class Amount(NamedTuple):
    """A number that need not be whole, from ``low``."""

    low: float


class Flag(NamedTuple):
    """True or false."""


class Texts(NamedTuple):
    """A list of strings."""

    of: Text


class Map(NamedTuple):
    """Strings by string."""


class Block(NamedTuple):
    """A nested block; ``many`` are a list of them."""

    of: Mapping[str, Any]
    many: bool = False


class Resource(NamedTuple):
    """Arguments, and the attributes that others may refer to beside them."""

    arguments: Mapping[str, Any]
    attributes: tuple[str, ...] = ("id",)
