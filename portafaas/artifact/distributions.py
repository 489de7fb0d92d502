"""What is installed in a folder: name, version, licences and files of each distribution.

https://packaging.python.org/specifications/core-metadata/ and
https://packaging.python.org/specifications/recording-installed-packages/.
"""

# Plain strings instead of pathlib: it would cost more than the work itself.
# ruff: noqa: PTH118, PTH123, PTH208
from __future__ import annotations

import os
import re


class Distribution:
    """One installed distribution; ``files`` are relative to the folder, with ``/``."""

    __slots__ = ("files", "folder", "licences", "name", "pure", "version")

    def __init__(
        self,
        folder: str,
        name: str,
        version: str,
        licences: list[tuple[str, str]],
        files: list[str],
        pure: bool,
    ) -> None:
        self.folder = folder
        self.name = name
        self.version = version
        #: ``("expression", SPDX expression)`` once, or ``("name", free text)`` several times.
        self.licences = licences
        self.files = files
        self.pure = pure


def normalise(name: str) -> str:
    """Return *name* as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(folder: str) -> list[Distribution]:
    """Return the distributions below *folder*, sorted by name."""
    found = []
    for entry in sorted(os.listdir(folder)):
        if entry.endswith(".dist-info"):
            found.append(read_distribution(folder, entry))
    return sorted(found, key=lambda one: normalise(one.name))


def read_distribution(folder: str, info: str) -> Distribution:
    """Return the distribution whose ``.dist-info`` is called *info*."""

    def text(name: str) -> str:
        try:
            with open(os.path.join(folder, info, name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    fields = _headers(text("METADATA"))
    guess_name, _, guess_version = info.removesuffix(".dist-info").partition("-")
    record = [line for line in text("RECORD").splitlines() if line]
    return Distribution(
        info,
        fields.get("name", [guess_name])[0],
        fields.get("version", [guess_version])[0],
        _licences(fields),
        [line.rsplit(",", 2)[0].strip('"') for line in record],
        "root-is-purelib: true" in text("WHEEL").lower(),
    )


def _headers(text: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    last: list[str] = []
    for line in text.splitlines():
        if not line:
            break
        if line[0] in " \t":
            if last:
                last[-1] += "\n" + line.strip()
            continue
        name, _, value = line.partition(":")
        last = fields.setdefault(name.lower(), [])
        last.append(value.strip())
    return fields


def _licences(fields: dict[str, list[str]]) -> list[tuple[str, str]]:
    expression = fields.get("license-expression")
    if expression and expression[0]:
        return [("expression", expression[0])]
    names = [
        value.rpartition("::")[2].strip()
        for value in fields.get("classifier", ())
        if value.startswith("License ::")
    ]
    names = [name for name in names if name != "OSI Approved"]
    if not names:
        # Some put the whole text of their licence into this field.
        names = [text for text in fields.get("license", ()) if text and len(text) < 100]
        names = [name.replace("\n", " ") for name in names if name != "UNKNOWN"]
    return [("name", name) for name in sorted(set(names))]
