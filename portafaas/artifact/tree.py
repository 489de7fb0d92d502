"""Folders of files that are compiled and compressed once, and then shipped as they are.

In a tree's folder: ``files`` (as they are shipped, for the import check), ``blob`` (the compressed
members, back to back) and ``index``.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH104, PTH106, PTH108, PTH114, PTH116, PTH118
from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence

from portafaas.artifact.bytecode import pyc_name
from portafaas.artifact.cache import read
from portafaas.artifact.interpreter import Interpreter
from portafaas.artifact.member import Member, Packed
from portafaas.artifact.worker import Compilation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.artifact.blob import Blob


class Tree:
    """A tree in the cache; ``native`` when it holds extension modules."""

    __slots__ = ("folder", "native", "reused", "rows", "size")

    def __init__(self, folder: str, size: int, rows: list[list[str]], reused: bool) -> None:
        self.folder = folder
        #: Bytes of the blob.
        self.size = size
        self.rows = rows
        self.reused = reused
        self.native = any(row[0].endswith(".so") or ".so." in row[0] for row in rows)

    @property
    def files(self) -> str:
        """Folder with the files as they are shipped."""
        return os.path.join(self.folder, "files")

    def members(self, prefix: str, origin: str) -> list[Member]:
        """Return the files as members below *prefix*, ``""`` for the root of the package.

        Raises OSError when somebody cleared the cache this moment.
        """
        blob = memoryview(read(os.path.join(self.folder, "blob")) or b"")
        if len(blob) != self.size:
            raise OSError(f"{self.folder} is gone")
        start = f"{prefix.strip('/')}/" if prefix else ""
        found = []
        for name, mode, sha256, crc, size, method, offset, length in self.rows:
            at = int(offset)
            data = blob[at : at + int(length)]
            packed = Packed(int(crc), int(size), int(method), data)
            found.append(
                Member(start + name, int(mode, 8), b"", origin, packed=packed, sha256=sha256)
            )
        return found


def open_tree(folder: str, *, reused: bool) -> Tree | None:
    """Return the tree in *folder* when it is there, and whole."""
    head, *lines = (read(os.path.join(folder, "index")) or b"").decode().split("\n")
    try:
        if os.stat(os.path.join(folder, "blob")).st_size != int(head):
            return None
    except (OSError, ValueError):
        return None
    return Tree(folder, int(head), [line.split("\0") for line in lines if line], reused)


def ensure_tree(folder: str, make: Callable[[str], None]) -> Tree:
    """Return the tree in *folder*; where there is none, *make* fills an empty folder first."""
    tree = open_tree(folder, reused=True)
    if tree is not None:
        return tree
    fresh = f"{folder}.{os.getpid()}.new"
    remove(fresh)
    os.makedirs(os.path.join(fresh, "files"))  # noqa: PTH103
    try:
        make(fresh)
        try:
            os.rename(fresh, folder)
        except OSError:
            tree = open_tree(folder, reused=True)
            if tree is not None:
                # Another build was faster: its tree has the same content, and may be in use.
                remove(fresh)
                return tree
            remove(folder)  # what cannot be opened is broken
            os.rename(fresh, folder)
    except BaseException:
        remove(fresh)
        raise
    tree = open_tree(folder, reused=False)
    assert tree is not None
    return tree


def compile_tree(
    files: str, names: Sequence[str], interpreter: Interpreter | None, scratch: str, label: str
) -> list[Compilation]:
    """Start compiling those of *names* that are modules, into their place below *files*."""
    if interpreter is None:
        return []
    jobs = [
        (os.path.join(files, name), name, os.path.join(files, pyc_name(name, interpreter.tag)))
        for name in names
        if name.endswith(".py")
    ]
    if not jobs:
        return []
    # Largest first, dealt out in turn: all children end at about the same time.
    jobs.sort(key=lambda job: (-os.stat(job[0]).st_size, job[1]))
    count = min(os.cpu_count() or 1, 4, max(1, len(jobs) // 20))
    return [
        Compilation(interpreter, jobs[at::count], scratch, f"{label}-{at}") for at in range(count)
    ]


def pack_tree(
    folder: str, names: Sequence[str], jobs: Sequence[Compilation], interpreter: Interpreter | None
) -> Blob:
    """Compress *names* below ``files``, and the bytecode that *jobs* make of them, into ``blob``.

    What does not compile stays without: templates, or code for other versions of Python.
    """
    from portafaas.artifact.blob import Blob

    writer = Blob(os.path.join(folder, "blob"), os.path.join(folder, "files"))
    writer.add(names)
    failed = {name for job in jobs for name, _, _ in job.failures()}
    if interpreter is not None:
        modules = [name for name in names if name.endswith(".py") and name not in failed]
        writer.add([pyc_name(name, interpreter.tag) for name in modules])
    return writer


def listing(folder: str, prefix: str = "") -> Iterator[str]:
    """Yield the files below *folder* relative to it, with ``/``."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from listing(entry.path, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name


def remove(folder: str) -> None:
    """Delete *folder* with everything in it, if it is there, as far as that is possible.

    Not with ``shutil``, which imports every compressor there is.
    """
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in files:
            with contextlib.suppress(OSError):
                os.unlink(f"{parent}/{name}")
        for name in folders:
            with contextlib.suppress(OSError):
                (os.unlink if os.path.islink(f"{parent}/{name}") else os.rmdir)(f"{parent}/{name}")
    with contextlib.suppress(OSError):
        os.rmdir(folder)
