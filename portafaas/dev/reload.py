"""Watches a project's files, and says which have changed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

#: Folders in which nothing is the project's source.
IGNORED = frozenset(
    (".git", ".hg", ".svn", ".portafaas", ".venv", "venv", "env", "node_modules", "__pycache__",
     ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".idea", ".vscode", ".tox",
     ".nox", "site-packages", "out")
)  # fmt: skip
#: What handlers are made of. Not whatever there is: what a handler writes must not restart it.
SUFFIXES = frozenset(
    (".py", ".yaml", ".yml", ".json", ".toml", ".html", ".j2", ".jinja", ".jinja2", ".sql")
)
#: Milliseconds without another change after which the changes are told, and at most.
_STEP, _DEBOUNCE = 10, 60


def wanted(root: Path, path: Path, manifest: Path) -> bool:
    """Tell whether a change of *path* means anything."""
    if path == manifest:
        return True
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        return False
    if any(part in IGNORED or part.startswith(".") for part in parts):
        return False
    return path.suffix in SUFFIXES


def forget(paths: Iterable[Path]) -> None:
    """Remove the bytecode of changed modules.

    It is taken for fresh when time in seconds and size are the same
    (https://docs.python.org/3/reference/import.html#cached-bytecode-invalidation), as they are when
    a digit is changed twice in a second.
    """
    for path in paths:
        if path.suffix == ".py":
            for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
                with contextlib.suppress(OSError):
                    cached.unlink()


class Watcher:
    """Calls *changed* with the files that have; in threads of its own.

    The project's folder is watched without its folders, and those each, but for ignored ones: a
    virtual environment may have more files than the system watches.
    """

    def __init__(self, root: Path, manifest: Path, changed: Callable[[set[Path]], None]) -> None:
        # Some systems tell where a file really is, whatever links led to the folder.
        self._root = root.resolve()
        self._manifest = self._root / manifest.name
        self._given = manifest
        self._changed = changed
        self._stop = threading.Event()
        self._folders_changed = threading.Event()
        self._folders: list[Path] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to watch."""
        for target in (self._watch_top, self._watch_folders):
            thread = threading.Thread(target=target, name="reload", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End; changes of this moment may still be told."""
        self._stop.set()
        self._folders_changed.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5)

    def _tell(self, changes: Iterable[tuple[object, str]]) -> None:
        paths = {Path(path) for _, path in changes}
        found = {path for path in paths if wanted(self._root, path, self._manifest)}
        if found and not self._stop.is_set():
            self._changed({self._given if path == self._manifest else path for path in found})

    def _subfolders(self) -> list[Path]:
        return sorted(
            path
            for path in self._root.iterdir()
            if path.is_dir() and path.name not in IGNORED and not path.name.startswith(".")
        )

    def _watch_top(self) -> None:
        from watchfiles import watch

        for changes in watch(
            self._root, recursive=False, watch_filter=None, stop_event=self._stop, step=_STEP,
            debounce=_DEBOUNCE, rust_timeout=1000, raise_interrupt=False,
        ):  # fmt: skip
            if self._subfolders() != self._folders:
                self._folders_changed.set()
            self._tell(changes)

    def _watch_folders(self) -> None:
        from watchfiles import watch

        while not self._stop.is_set():
            self._folders_changed.clear()
            self._folders = self._subfolders()
            if not self._folders:
                self._folders_changed.wait(1.0)
                continue
            for changes in watch(
                *self._folders, watch_filter=None, stop_event=self._folders_changed, step=_STEP,
                debounce=_DEBOUNCE, rust_timeout=1000, raise_interrupt=False,
            ):  # fmt: skip
                self._tell(changes)
