"""The compressed members of a dependency tree in one file, with an index."""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH118, PTH123
from __future__ import annotations

import os
from collections.abc import Sequence

from portafaas.artifact.zipper import compressor, pack


class Blob:
    """Compresses files into one file, and keeps the index of it."""

    def __init__(self, path: str, files: str) -> None:
        self.hashes: dict[str, str] = {}
        self._files = files
        self._rows: list[str] = []
        self._offset = 0
        self._squeeze = compressor()[1]
        self._out = open(path, "wb")

    def add(self, names: Sequence[str]) -> None:
        """Append the files called *names*."""
        from hashlib import sha256

        for name in names:
            path = os.path.join(self._files, name)
            with open(path, "rb") as file:
                data = file.read()
                mode = 0o755 if os.fstat(file.fileno()).st_mode & 0o100 else 0o644
            if name.endswith(".pyc"):
                mode = 0o644
            packed = pack(data, self._squeeze)
            digest = self.hashes[name] = sha256(data).hexdigest()
            self._out.write(packed.data)
            length = len(packed.data)
            row = (name, f"{mode:o}", digest, packed.crc, packed.size, packed.method)
            self._rows.append("\0".join(map(str, (*row, self._offset, length))))
            self._offset += length

    def close(self) -> bytes:
        """Finish the blob and return the index: its length, then a line for each file."""
        self._out.close()
        return "\n".join([str(self._offset), *self._rows]).encode()
