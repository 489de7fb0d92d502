"""Writing and reading zips whose bytes depend on nothing but their members.

Sorted names, the date 1980-01-01, unix modes and no extra fields, as
https://reproducible-builds.org/docs/archives/ advises. The container is
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT without ZIP64: every target's limit is
far below 4 GiB. Two versions of the compressor may give other bytes: compare packages by
``Package.digest``.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH118, PTH123
from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from portafaas.artifact.member import Member, Packed

#: ISA-L's level: about 8 times as fast as zlib's level 6, for 12 % more bytes.
_ISAL_LEVEL = 2
_ZLIB_LEVEL = 6
_DATE = 0x0021  # 1980-01-01 in DOS form; the time is 0
_MADE_BY = (3 << 8) | 20  # unix, so that the modes count
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
#: Above this many bytes a member's compressed form is worth a file in the cache.
_WORTH_CACHING = 65_536


class TooLargeError(ValueError):
    """The archive would need ZIP64."""


def compressor() -> tuple[str, Callable[[bytes], bytes]]:
    """Return a name for cache keys and a function from bytes to raw deflate."""
    try:
        import isal
        from isal import isal_zlib
    except ImportError:

        def squeeze(data: bytes) -> bytes:
            engine = zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, -15)
            return engine.compress(data) + engine.flush()

        return f"zlib-{zlib.ZLIB_RUNTIME_VERSION}-{_ZLIB_LEVEL}", squeeze

    def squeeze_fast(data: bytes) -> bytes:
        engine = isal_zlib.compressobj(_ISAL_LEVEL, isal_zlib.DEFLATED, -15)
        packed: bytes = engine.compress(data) + engine.flush()
        return packed

    return f"isal-{isal.__version__}-{_ISAL_LEVEL}", squeeze_fast


def pack(data: bytes, squeeze: Callable[[bytes], bytes]) -> Packed:
    """Return *data* compressed, or stored where that is not smaller."""
    crc = zlib.crc32(data)
    small = squeeze(data) if data else b""
    if len(small) >= len(data):
        return Packed(crc, len(data), 0, data)
    return Packed(crc, len(data), 8, small)


def write(path: str, members: list[Member], cache: str) -> int:
    """Write *members*, sorted by name, to *path* and return the number of bytes.

    Raises TooLargeError beyond 65,535 files or 4 GiB.
    """
    name, squeeze = compressor()
    folder = os.path.join(cache, "members", name)
    chunks: list[bytes | memoryview] = []
    central: list[bytes] = []
    offset = 0
    for member in sorted(members, key=lambda member: member.name):
        packed = member.packed = member.packed or _packed(member, squeeze, folder)
        encoded = member.name.encode()
        flags = 0 if member.name.isascii() else 0x800
        size = len(packed.data)
        common = (20, flags, packed.method, 0, _DATE, packed.crc, size, packed.size, len(encoded))
        chunks += (_LOCAL.pack(b"PK\3\4", *common, 0), encoded, packed.data)
        if offset > 0xFFFFFFFF or packed.size > 0xFFFFFFFF:
            raise TooLargeError("more than 4 GiB")
        attributes = (0o100000 | member.mode) << 16
        central += (
            _CENTRAL.pack(b"PK\1\2", _MADE_BY, *common, 0, 0, 0, 0, attributes, offset),
            encoded,
        )
        offset += _LOCAL.size + len(encoded) + size
    count = len(members)
    directory = b"".join(central)
    if count > 0xFFFF or offset + len(directory) > 0xFFFFFFFF:
        raise TooLargeError("more than 65,535 files or 4 GiB")
    end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), offset, 0)
    with open(path, "wb") as archive:
        archive.write(b"".join(chunks))
        archive.write(directory)
        archive.write(end)
    return offset + len(directory) + len(end)


def _packed(member: Member, squeeze: Callable[[bytes], bytes], folder: str) -> Packed:
    if member.size < _WORTH_CACHING:
        return pack(member.data, squeeze)
    from portafaas.artifact.cache import read, write_atomically

    path = os.path.join(folder, member.sha256[:2], member.sha256)
    small = read(path)
    if small is None:
        packed = pack(member.data, squeeze)
        write_atomically(path, bytes(packed.data) if packed.method else b"")
        return packed
    crc = zlib.crc32(member.data)
    if not small:
        return Packed(crc, member.size, 0, member.data)
    return Packed(crc, member.size, 8, small)


def unpack(zip: Path, folder: Path) -> None:
    """Extract a package into *folder*, which is made, with its files' modes.

    Raises ValueError for a name that would leave *folder*; overwrites nothing.
    """
    import zipfile

    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(zip) as archive:
        for entry in archive.infolist():
            parts = entry.filename.split("/")
            if not entry.filename or {"", ".", ".."} & set(parts) or "\\" in entry.filename:
                raise ValueError(f"{zip}: unsafe name {entry.filename!r}")
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.write(archive.read(entry))
            target.chmod(0o755 if (entry.external_attr >> 16) & 0o100 else 0o644)
