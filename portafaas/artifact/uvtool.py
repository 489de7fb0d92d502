"""Running uv, and telling what its errors mean in terms of the manifest (PF51xx)."""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH118
from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from portafaas.artifact.child import Child
from portafaas.errors import DependencyError, Diagnostic

#: Names of distributions as uv prints them.
_NAME = r"`?([A-Za-z0-9][A-Za-z0-9._-]*)`?"
_NETWORK = ("error sending request", "Failed to fetch", "dns error", "Could not connect")


def run(arguments: Sequence[str], folder: str, scratch: str, label: str) -> tuple[int, str]:
    """Run uv in *folder* and return its exit code and output; what it starts is killed with us."""
    dropped = ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_TARGET")
    variables = {key: value for key, value in os.environ.items() if key not in dropped}
    variables |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
    command = [_uv(), "--directory", folder, *arguments]
    child = Child(command, variables, os.path.join(scratch, f"{label}.log"))
    try:
        code = child.wait()
    finally:
        child.stop()
    assert code is not None
    return code, child.output()


def _uv() -> str:
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        import shutil

        found = shutil.which("uv")
        if found is None:
            raise DependencyError(
                "dependencies cannot be installed",
                [Diagnostic("PF5108", "uv is not installed", hint="pip install uv")],
            ) from None
        return found


def platform_options(python: str, platform: str, allow_sdist: Sequence[str]) -> list[str]:
    """Return uv's options for a target; wheels only but for *allow_sdist*.

    uv evaluates environment markers for the target, which pip's ``--python-version`` does not.
    """
    options = ["--python", sys.executable, "--python-version", python]
    options += ["--python-platform", platform, "--only-binary", ":all:"]
    for name in allow_sdist:
        options += ["--no-binary", name]
    return options


def explain(output: str, file: str, target: str) -> list[Diagnostic]:
    """Return what uv's errors mean; *target* is ``Python 3.12 on x86_64-manylinux_2_28``."""
    import re

    text = " ".join(output.split())
    text = text.removeprefix("error: ")
    found: list[Diagnostic] = []

    def note(code: str, pattern: str, message: str, hint: str, path: str | None = None) -> None:
        for name in dict.fromkeys(re.findall(pattern, text)):
            if not any(name in known.message.split() for known in found):
                said = message.format(name=name, target=target)
                found.append(
                    Diagnostic(code, said, path=path, file=file, hint=hint.format(name=name))
                )

    if any(sign in text for sign in _NETWORK):
        return [
            Diagnostic(
                "PF5105",
                "the package index cannot be reached",
                file=file,
                hint="connect once; what is in the cache needs no network",
            )
        ]
    note(
        "PF5106",
        rf"[Hh]ash mismatch for {_NAME}",
        "{name} is not what was locked: its hash differs",
        "delete the lock file only if you know why",
    )
    note(
        "PF5104",
        rf"{_NAME}(?:[=<>!~]=?[^\s,`]+)? has no wheels with a matching",
        "{name} has no wheel for {target}",
        "choose a version that has one, another Python version or architecture",
    )
    for pattern in (
        rf"Wheels are required for {_NAME}",
        rf"{_NAME}(?:[=<>!~]=?[^\s,`]+)? ha(?:ve|s) no usable wheels",
    ):
        note(
            "PF5102",
            pattern,
            "{name} has no wheel for {target}, only source",
            "name {name} in dependencies.allow-sdist, if it is pure Python",
            "$.dependencies.allow-sdist",
        )
    note(
        "PF5103",
        rf"(?:Because |because |and )?{_NAME} was not found in the",
        "{name} is not in the package index",
        "check its spelling",
    )
    note(
        "PF5103",
        rf"there (?:is|are) no versions? of {_NAME}",
        "no version of {name} fits for {target}",
        "relax its version, or choose another Python version",
    )
    return found or [Diagnostic("PF5103", f"cannot be resolved: {text[-1500:]}", file=file)]
