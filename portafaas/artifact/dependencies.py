"""Installed, pruned, compiled and compressed dependency trees, one in the cache per content.

A tree is keyed by its lock, Python, platform, what to keep and the compiling interpreter, never by
project or target: three targets with one platform share one. In ``trees/<key>``: ``files`` (for the
import check), ``blob`` (the compressed members, back to back), ``index`` and ``components.json``.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH100, PTH108, PTH118, PTH120
from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from portafaas.artifact import uvtool
from portafaas.artifact.cache import FORMAT, read, write_atomically
from portafaas.artifact.interpreter import Interpreter
from portafaas.artifact.lockfile import Lock
from portafaas.artifact.tree import Tree, compile_tree, ensure_tree, listing, pack_tree
from portafaas.artifact.zipper import compressor
from portafaas.errors import DependencyError, Diagnostic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.plan import BuildPlan


def ensure(
    plan: BuildPlan,
    lock: Lock,
    platform: str,
    interpreter: Interpreter | None,
    mentioned: Collection[str],
    cache: str,
    scratch: str,
) -> Tree:
    """Return the tree of *lock*, from the cache or made now.

    *mentioned* are test packages that the project's sources name (``prune.mentions``). Raises
    DependencyError (PF5102 to PF5108).
    """
    folder = os.path.join(cache, "trees", _key(plan, lock, platform, interpreter, mentioned))

    def make(fresh: str) -> None:
        _install(plan, lock, platform, os.path.join(fresh, "files"), scratch)
        _finish(plan, fresh, interpreter, mentioned, scratch)

    return ensure_tree(folder, make)


def components(tree: Tree) -> list[dict[str, Any]]:
    """Return the distributions of *tree* as CycloneDX components."""
    import json

    text = read(os.path.join(tree.folder, "components.json")) or b"[]"
    found: list[dict[str, Any]] = json.loads(text)
    return found


def _key(
    plan: BuildPlan,
    lock: Lock,
    platform: str,
    interpreter: Interpreter | None,
    mentioned: Collection[str],
) -> str:
    from hashlib import sha256

    pins = [line for line in lock.text.split("\n") if line and not line.lstrip().startswith("#")]
    facts = (
        FORMAT,
        plan.python,
        platform,
        interpreter.identity if interpreter else "",
        compressor()[0],
        sorted(plan.dependencies.keep),
        sorted(plan.dependencies.allow_sdist),
        sorted(mentioned),
        pins,
    )
    return sha256(repr(facts).encode()).hexdigest()[:32]


def _install(plan: BuildPlan, lock: Lock, platform: str, files: str, scratch: str) -> None:
    pins = os.path.join(os.path.abspath(scratch), "locked.txt")
    write_atomically(pins, lock.text.encode())
    wanted = plan.dependencies
    command = [
        *("pip", "install", "--quiet", "--requirements", pins, "--target", files),
        *("--no-deps", "--require-hashes"),
        *uvtool.platform_options(plan.python, platform, wanted.allow_sdist),
    ]
    folder = os.path.dirname(os.path.abspath(lock.path))
    # What was just resolved, or installed once, is in uv's cache: asking the index again whether
    # it still is there takes three times as long as installing. uv installs all or nothing.
    code, said = uvtool.run([*command, "--offline"], folder, scratch, "install")
    if code:
        code, said = uvtool.run(command, folder, scratch, "install")
    if code:
        problems = uvtool.explain(said, wanted.file, f"Python {plan.python} on {platform}")
        raise DependencyError("dependencies cannot be installed", problems)


def _finish(
    plan: BuildPlan,
    folder: str,
    interpreter: Interpreter | None,
    mentioned: Collection[str],
    scratch: str,
) -> None:
    """Prune, compile and compress the tree in *folder*."""
    from portafaas.artifact.distributions import installed
    from portafaas.artifact.globs import matcher
    from portafaas.artifact.prune import certain, kept

    files = os.path.join(folder, "files")
    distributions = installed(files)
    _refuse_impure(plan, distributions)
    everything = sorted(listing(files))
    keep = matcher(plan.dependencies.keep)
    # Compiling takes longest: it starts while what tests to keep is still being found out.
    sure = [name for name in everything if certain(name, keep)]
    compilations = compile_tree(files, sure, interpreter, scratch, "tree")
    try:
        names = kept(
            everything, lambda name: read(os.path.join(files, name)) or b"", keep, mentioned
        )
        late = sorted(set(names) - set(sure))
        compilations += compile_tree(files, late, interpreter, scratch, "late")
        for name in set(everything) - set(names):
            os.unlink(os.path.join(files, name))
        writer = pack_tree(folder, names, compilations, interpreter)
    finally:
        for job in compilations:
            job.stop()
    import json

    from portafaas.artifact.sbom import library

    components = [library(one, writer.hashes) for one in distributions]
    write_atomically(
        os.path.join(folder, "components.json"), json.dumps(components).encode()
    )
    write_atomically(os.path.join(folder, "index"), writer.close())


def _refuse_impure(plan: BuildPlan, distributions: Sequence[Any]) -> None:
    from portafaas.artifact.distributions import normalise

    allowed = {normalise(name) for name in plan.dependencies.allow_sdist}
    problems = [
        Diagnostic(
            "PF5107",
            f"{one.name} was built from source for this machine, not for the target",
            path="$.dependencies.allow-sdist",
            hint="only pure Python can be built from source; choose a version with a wheel",
        )
        for one in distributions
        if normalise(one.name) in allowed and not one.pure
    ]
    if problems:
        raise DependencyError("dependencies cannot be installed", problems)
