"""What of the installed dependencies is not shipped.

Dropped: type stubs, scripts (their first line names this machine's interpreter), bytecode of other
interpreters, what installers note for themselves, and folders called ``test`` or ``tests`` that
nothing names. ``METADATA``, entry points and licences stay: programs read the first two, and the
last must travel with the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

#: Files of ``*.dist-info`` that only an installer needs; some differ from machine to machine.
_INSTALLER = frozenset(
    ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
)
_TESTS = ("test", "tests")
# A pattern that begins with letters is searched for as fast as plain bytes are; what may precede
# a match is looked at afterwards.
_TEST = re.compile(rb"tests?(?![A-Za-z0-9_])")
_FROM = re.compile(rb"from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n]*)")
_DOTTED = re.compile(rb"(?:[A-Za-z_]\w*\.)+tests?")
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_PATH = _WORD | frozenset(b".")


def is_noise(name: str) -> bool:
    """Tell whether no program reads the file *name* of an installed tree."""
    folder, _, base = name.rpartition("/")
    if base.endswith((".pyi", ".pyc", ".pyo")) or name.startswith("bin/") or name == ".lock":
        return True
    return folder.endswith(".dist-info") and base in _INSTALLER


def mentions(sources: Iterable[tuple[str, bytes]]) -> set[str]:
    """Return the dotted names ending in ``test`` or ``tests`` that *sources* may import.

    *sources* are ``(name with /, content)``. Text is looked at, not syntax, so that names built
    for ``import_module`` count, and a comment too: what is kept in vain does no harm.
    """
    found: set[str] = set()

    def add(dotted: str) -> None:
        parts = dotted.split(".")
        found.update(".".join(parts[: at + 1]) for at, part in enumerate(parts) if part in _TESTS)

    for name, data in sources:
        package = name.split("/")[:-1]
        # A relative import may name the test package that it is in.
        hit = any(part in _TESTS for part in package)
        for match in _TEST.finditer(data):
            start = match.start()
            if start and data[start - 1] in _WORD:
                continue
            hit = True
            begin = start
            while begin and data[begin - 1] in _PATH:
                begin -= 1
            token = data[begin : match.end()]
            if begin == start:
                if data[data.rfind(b"\n", 0, start) + 1 : start].split() == [b"import"]:
                    found.update(_TESTS)
            elif _DOTTED.fullmatch(token):
                add(token.decode())
            elif token[:1] == b"." and begin and data[begin - 1] in b"\"'":
                add(_absolute(token.decode(), package))
        if not hit:
            continue
        for match in _FROM.finditer(data):
            if match.start() and data[match.start() - 1] in _WORD:
                continue
            base = _absolute(match[1].decode(), package)
            add(base)
            for imported in re.findall(rb"\btests?\b", match[2]):
                add(f"{base}.{imported.decode()}".lstrip("."))
    return found


def _absolute(module: str, package: list[str]) -> str:
    dots = len(module) - len(module.lstrip("."))
    if not dots:
        return module
    base = package[: len(package) - dots + 1]
    return ".".join([*base, *filter(None, [module[dots:]])])


def test_folder(name: str) -> str | None:
    """Return the outermost folder of *name* that is called ``test`` or ``tests``, dotted."""
    parts = name.split("/")[:-1]
    for at, part in enumerate(parts):
        if part in _TESTS:
            return ".".join(parts[: at + 1])
    return None


def certain(name: str, keep: Callable[[str], bool]) -> bool:
    """Tell whether *name* is shipped whatever other files say."""
    return keep(name) or (not is_noise(name) and test_folder(name) is None)


def kept(
    names: Sequence[str],
    read: Callable[[str], bytes],
    keep: Callable[[str], bool],
    mentioned: Iterable[str],
) -> list[str]:
    """Return those of *names* that are shipped.

    *keep* tells of ``dependencies.keep``; *mentioned* are the test packages that the project's own
    sources name. A kept test package may need another, so this repeats until nothing is added.
    """
    shipped: list[str] = []
    aside: dict[str, list[str]] = {}
    for name in names:
        folder = test_folder(name)
        if certain(name, keep):
            shipped.append(name)
        elif folder is not None and not is_noise(name):
            aside.setdefault(folder, []).append(name)
    wanted = set(mentioned)
    fresh = list(shipped)
    more = bool(aside)
    while more:
        texts = [name for name in fresh if name.endswith((".py", "entry_points.txt"))]
        wanted |= mentions((name, read(name)) for name in texts)
        fresh = []
        for folder in [folder for folder in aside if folder in wanted]:
            fresh += aside.pop(folder)
        shipped += fresh
        more = bool(fresh)
    return sorted(shipped)

