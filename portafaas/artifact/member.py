"""One file of a package, with its content or with its place in a compressed dependency tree."""

from __future__ import annotations


class Packed:
    """Content already compressed: ``data`` as it goes into the zip."""

    __slots__ = ("crc", "data", "method", "size")

    def __init__(self, crc: int, size: int, method: int, data: bytes | memoryview) -> None:
        self.crc = crc
        self.size = size
        #: 0 stored, 8 deflated.
        self.method = method
        self.data = data


class Member:
    """A file: ``name`` inside the package, ``mode`` 0o644 or 0o755, and its SHA-256 in hex.

    ``origin`` is ``user``, ``generated``, ``runtime`` or ``dependency``. ``data`` is empty when
    it was made ``packed``; ``path`` is the file it was read from, or empty.
    """

    __slots__ = ("data", "mode", "name", "origin", "packed", "path", "sha256", "size")

    def __init__(
        self,
        name: str,
        mode: int,
        data: bytes,
        origin: str,
        *,
        packed: Packed | None = None,
        sha256: str = "",
        path: str = "",
    ) -> None:
        self.name = name
        self.mode = mode
        self.data = data
        self.origin = origin
        self.packed = packed
        self.path = path
        self.size = len(data) if packed is None else packed.size
        if not sha256:
            from hashlib import sha256 as digest

            sha256 = digest(data).hexdigest()
        self.sha256 = sha256


def content_digest(members: list[Member]) -> str:
    """Return ``sha256:<hex>`` over the sorted lines ``name NUL mode NUL sha256`` of *members*."""
    from hashlib import sha256

    lines = sorted(f"{member.name}\0{member.mode:o}\0{member.sha256}\n" for member in members)
    return "sha256:" + sha256("".join(lines).encode()).hexdigest()
