"""Frozen dataclasses that cost almost nothing to define.

The standard decorator writes and compiles six methods for every class, 0.3 ms each; the classes of
the plan and of the adapter contract took longer to define than a package of 100 functions takes to
compress. This one gives every class the same few methods. Type checkers see the standard one, and
``dataclasses.fields``, ``replace``, ``asdict`` and ``astuple`` work. Only what portafaas needs:
``@dataclass(frozen=True, slots=True)``, no inheritance, no ``__post_init__``.
"""

from __future__ import annotations

TYPE_CHECKING = False


class _Field:
    """A field's default and whether ``repr`` shows it."""

    __slots__ = ("default_factory", "repr")

    def __init__(self, **given: Any) -> None:
        self.default_factory = given.pop("default_factory", None)
        self.repr = given.pop("repr", True)
        if given:
            raise TypeError(f"field() knows no {', '.join(given)}")


if TYPE_CHECKING:
    from dataclasses import dataclass, field
    from typing import Any
else:
    field = _Field

    def dataclass(*, frozen, slots):
        """Return the decorator; both settings must be true."""
        if not (frozen and slots):
            raise TypeError("records are frozen and have slots")
        return _made


__all__ = ["dataclass", "field"]


class _Fields:
    """``__dataclass_fields__``, made by the standard library when somebody asks."""

    __slots__ = ("_annotations", "_factories", "_found", "_values")

    def __init__(
        self,
        annotations: dict[str, str],
        values: dict[str, Any],
        factories: dict[str, Any],
    ) -> None:
        self._annotations = annotations
        self._values = values
        self._factories = factories
        self._found: dict[str, Any] | None = None

    def __get__(self, instance: object, owner: type) -> dict[str, Any]:
        if self._found is None:
            import dataclasses

            defaults = {
                name: dataclasses.field(default_factory=make)
                for name, make in self._factories.items()
            }
            namespace = {**self._values, **defaults, "__annotations__": self._annotations}
            twin: Any = dataclasses.dataclass(type(owner.__name__, (), namespace))
            self._found = twin.__dataclass_fields__
        return self._found


def _made(cls: type) -> type:
    annotations: dict[str, str] = dict(cls.__annotations__)
    namespace = dict(cls.__dict__)
    names = tuple(annotations)
    values: dict[str, Any] = {}
    factories: dict[str, Any] = {}
    hidden = set()
    for name in names:
        if name in namespace:
            value = namespace.pop(name)
            if not isinstance(value, _Field):
                values[name] = value
                continue
            if value.default_factory is not None:
                factories[name] = value.default_factory
            if not value.repr:
                hidden.add(name)
    for name in ("__dict__", "__weakref__"):
        namespace.pop(name, None)
    namespace |= _METHODS
    namespace |= {
        "__qualname__": cls.__qualname__,
        "__slots__": names,
        "__match_args__": names,
        "__dataclass_fields__": _Fields(annotations, values, factories),
        "_defaults": (values, factories),
        "_shown": tuple(name for name in names if name not in hidden),
    }
    return type(cls)(cls.__name__, cls.__bases__, namespace)


def _init(self: Any, *args: Any, **given: Any) -> None:
    cls = type(self)
    names = cls.__slots__
    values, factories = cls._defaults
    put = object.__setattr__
    if len(args) > len(names):
        raise TypeError(f"{cls.__name__}() takes {len(names)} values, not {len(args)}")
    for name, value in zip(names, args):  # noqa: B905 - fewer values than names is usual
        put(self, name, value)
    for name in names[len(args) :]:
        if name in given:
            put(self, name, given.pop(name))
        elif name in values:
            put(self, name, values[name])
        elif name in factories:
            put(self, name, factories[name]())
        else:
            raise TypeError(f"{cls.__name__}() misses a value: {name!r}")
    if given:
        wrong = ", ".join(map(repr, given))
        raise TypeError(f"{cls.__name__}() has no field, or two values, for {wrong}")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in type(self).__slots__])


def _repr(self: Any) -> str:
    cls = type(self)
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in cls._shown)
    return f"{cls.__qualname__}({shown})"


def _eq(self: Any, other: object) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    return _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash(_values(self))


def _frozen(self: Any, name: str, *value: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change field {name!r}")


def _reduce(self: Any) -> tuple[type, tuple[Any, ...]]:
    return type(self), _values(self)


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _frozen,
    "__delattr__": _frozen,
    "__reduce__": _reduce,
}
