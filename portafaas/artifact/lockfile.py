"""The lock: every distribution with its hashes, for one Python and platform, committed by the user.

``requirements.3.12-x86_64-manylinux_2_28.lock`` beside ``requirements.txt``; targets with the same
platform share it, unless an adapter adds requirements of its own; then the target is in the name,
and ``portafaas`` stands for a project without a file. It is used unchanged while the hash of its
inputs, kept in a comment, fits, and is otherwise brought up to date with as few changes as
possible. It names no index.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH118, PTH120, PTH123
from __future__ import annotations

import os
from collections.abc import Sequence

from portafaas.artifact.cache import read, write_atomically
from portafaas.errors import DependencyError, Diagnostic

#: Minor versions of glibc to lock for. Nearly all wheels are for these two, and with two instead of
#: uv's twelve, targets share locks and trees. PEP 600 makes the older platform part of the newer.
_GLIBC = (17, 28)
_MARK = "# inputs: sha256:"


class Lock:
    """A lock in force. ``text`` as uv takes it; ``note`` when it could not be kept."""

    __slots__ = ("note", "path", "resolved", "text")

    def __init__(self, path: str, text: str, resolved: bool, note: Diagnostic | None) -> None:
        self.path = path
        self.text = text
        #: True when it was made just now.
        self.resolved = resolved
        self.note = note


def platform_tag(glibc: str, architecture: str) -> str:
    """Return uv's platform for wheels that *glibc* (``2.34``) runs: manylinux 2.17 or 2.28."""
    minor = int(glibc.split(".")[1])
    fits = [known for known in _GLIBC if known <= minor] or [_GLIBC[0]]
    return f"{architecture}-manylinux_2_{fits[-1]}"


def lock_name(file: str, python: str, platform: str, target: str = "") -> str:
    """Return the lock's path for the input *file*, both relative to the project.

    *target* is set for the lock of one target alone; without a *file* it has requirements that the
    adapter adds and no others.
    """
    folder, slash, base = (file or "portafaas.in").rpartition("/")
    of = f".{target}" if target else ""
    return f"{folder}{slash}{base.rpartition('.')[0] or base}.{python}-{platform}{of}.lock"


def inputs_of(root: str, file: str) -> list[tuple[str, bytes]]:
    """Return ``(path relative to root, content)`` of *file* and of its ``-r`` and ``-c`` files.

    Raises DependencyError (PF5101) for one that cannot be read.
    """
    found: dict[str, bytes] = {}
    missing: list[Diagnostic] = []
    waiting: list[tuple[str, str | None]] = [(os.path.normpath(file), None)]
    while waiting:
        name, by = waiting.pop(0)
        if name in found:
            continue
        data = read(os.path.join(root, name))
        if data is None:
            path = None if by else "$.dependencies.file"
            missing.append(Diagnostic("PF5101", f"{name} cannot be read", path=path, file=by))
            continue
        found[name] = data
        if name.endswith(".toml"):
            continue
        for line in data.decode(errors="replace").splitlines():
            option, _, rest = line.strip().replace("=", " ", 1).partition(" ")
            if option in ("-r", "-c", "--requirement", "--constraint") and "://" not in rest:
                included = os.path.join(os.path.dirname(name), rest.split(" #")[0].strip())
                waiting.append((os.path.normpath(included), name))
    if missing:
        raise DependencyError("dependencies cannot be read", missing)
    return list(found.items())


def ensure(
    root: str,
    file: str,
    python: str,
    platform: str,
    allow_sdist: Sequence[str],
    scratch: str,
    added: Sequence[str] = (),
    target: str = "",
) -> Lock:
    """Return the project's lock, resolved anew when it is missing or out of date.

    *added* are requirements besides those in *file*, which *target* alone has.

    Raises DependencyError (PF5101 to PF5105).
    """
    inputs = inputs_of(root, file) if file else []
    if added:
        inputs.append(("", "\n".join(added).encode()))
    expected = _inputs_hash(inputs, allow_sdist)
    path = os.path.join(root, lock_name(file, python, platform, target if added else ""))
    old = (read(path) or b"").decode(errors="replace").replace("\r\n", "\n")
    if f"{_MARK}{expected}\n" in old:
        return Lock(path, old, False, None)
    files = [file] if file else []
    if added:
        files.append(os.path.join(os.path.abspath(scratch), "added.txt"))
        write_atomically(files[-1], "\n".join(added).encode())
    text = _resolve(root, files, bool(added), python, platform, allow_sdist, scratch, old)
    text = (
        f"# Locked by portafaas for Python {python} on {platform}; commit this file.\n"
        f"{_MARK}{expected}\n{text}"
    )
    note = None
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        note = Diagnostic(
            "PF5109",
            f"the lock cannot be written: {error.strerror}",
            file=os.path.relpath(path, root),
            hint="without it the next build may get other versions",
            severity="warning",
        )
    return Lock(path, text, True, note)


def _inputs_hash(inputs: Sequence[tuple[str, bytes]], allow_sdist: Sequence[str]) -> str:
    from hashlib import sha256

    state = sha256()
    for name, data in inputs:
        text = data.replace(b"\r\n", b"\n")
        if name.endswith(".toml"):
            text = _relevant(name, text)
        state.update(f"{name}\0{len(text)}\0".encode())
        state.update(text)
    state.update(repr(sorted(allow_sdist)).encode())
    return state.hexdigest()


def _relevant(name: str, data: bytes) -> bytes:
    # The rest of a pyproject.toml configures tools: no reason to resolve again.
    import tomllib

    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DependencyError(
            "dependencies cannot be read", [Diagnostic("PF5101", str(error), file=name)]
        ) from error
    project = document.get("project")
    if not isinstance(project, dict) or "dependencies" in project.get("dynamic", ()):
        raise DependencyError(
            "dependencies cannot be read",
            [
                Diagnostic(
                    "PF5101",
                    "has no [project] table with static dependencies",
                    file=name,
                    hint="list them under project.dependencies, or use a requirements.txt",
                )
            ],
        )
    kept = (
        project.get("dependencies", []),
        project.get("requires-python", ""),
        document.get("tool", {}).get("uv", {}),
    )
    return repr(kept).encode()


def _resolve(
    root: str,
    files: Sequence[str],
    added: bool,
    python: str,
    platform: str,
    allow_sdist: Sequence[str],
    scratch: str,
    old: str,
) -> str:
    from portafaas.artifact import uvtool

    output = os.path.join(os.path.abspath(scratch), "resolved.txt")
    # uv keeps the versions of an existing output where it can.
    with open(output, "w", encoding="utf-8") as handle:
        handle.write(old)
    code, said = uvtool.run(
        [
            *("pip", "compile", *files, "--output-file", output, "--quiet", "--no-header"),
            # The comments would name the scratch folder.
            *(("--no-annotate",) if added else ()),
            *("--generate-hashes", "--no-emit-package", "portafaas"),
            *uvtool.platform_options(python, platform, allow_sdist),
        ],
        root,
        scratch,
        "resolve",
    )
    if code:
        raise DependencyError(
            "dependencies cannot be resolved",
            uvtool.explain(said, files[0], f"Python {python} on {platform}"),
        )
    with open(output, encoding="utf-8") as handle:
        return handle.read()
