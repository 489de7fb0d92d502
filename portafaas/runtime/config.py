"""The manifest's settings, as ``context.config`` has them. Ships; loaded at first use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: Variable that holds all settings as one JSON object; ``portafaas.plan.config`` writes it.
VARIABLE = "PORTAFAAS_CONFIG"

_settings: Config | None = None


class Config:
    """Settings by name: a read-only mapping; values have the types that the manifest declares."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(sorted(self._values)) or "none"
            raise KeyError(
                f"no setting is called {name!r}; portafaas.yaml has under config: {known}"
            ) from None

    def get(self, name: str, default: Any = None) -> Any:
        """Return the setting, or *default* when there is none of that name."""
        return self._values.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> Any:
        """Return the names."""
        return self._values.keys()

    def values(self) -> Any:
        """Return the values."""
        return self._values.values()

    def items(self) -> Any:
        """Return (name, value) pairs."""
        return self._values.items()

    def __repr__(self) -> str:
        return f"Config({self._values!r})"


def settings() -> Config:
    """Return the settings, parsed once a process; raises ValueError when that cannot be done."""
    global _settings
    if _settings is None:
        import json
        from os import environ

        values = json.loads(environ.get(VARIABLE) or "{}")
        if not isinstance(values, dict):
            raise ValueError(f"{VARIABLE} is not a JSON object")
        _settings = Config(values)
    return _settings
