"""Checks of a finished list of members: names, collisions, sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from portafaas.artifact.member import Member
from portafaas.errors import Diagnostic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.adapter.contract import Limits

_WHO = {
    "user": "the project's file",
    "generated": "a generated file",
    "runtime": "a file of the shipped runtime",
    "dependency": "a dependency's file",
}


def unsafe(name: str) -> str | None:
    """Return why *name* cannot be the name of a member, or None."""
    if not name or name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "is not a relative path"
    if "\\" in name:
        return "contains a backslash"
    if not name.isprintable():
        return "contains control characters or is not UTF-8"
    if {"", ".", ".."} & set(name.split("/")):
        return "contains an empty, '.' or '..' segment"
    return None


def names(members: Iterable[Member], reserved: Iterable[str]) -> Iterator[Diagnostic]:
    """Yield PF5001 (unsafe name), PF5003 (same but for case) and PF5005 (collision).

    *reserved* are the import packages of the shipped runtime, which a project must not extend.
    """
    packages = frozenset(reserved)
    by_fold: dict[str, Member] = {}
    folders: dict[str, Member] = {}
    for member in members:
        name = member.name
        reason = unsafe(name)
        if reason:
            yield Diagnostic("PF5001", f"{_WHO[member.origin]} {name!r} {reason}")
            continue
        top = name.partition("/")[0].removesuffix(".py")
        if member.origin == "user" and top in packages:
            yield Diagnostic(
                "PF5005",
                f"{name} would hide or extend the shipped package {top!r}",
                file=name,
                hint=f"rename it; {', '.join(sorted(packages))} belong to portafaas",
            )
            continue
        fold = _fold(name)
        other = by_fold.setdefault(fold, member)
        if other is not member:
            yield _clash(member, other)
        if "/" in name:
            folders.setdefault(fold.rpartition("/")[0], member)
    yield from _files_as_folders(by_fold, folders)


def _fold(name: str) -> str:
    # macOS and Windows, where packages get unpacked too, ignore case and Unicode composition.
    if name.isascii():
        return name.lower()
    import unicodedata

    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _clash(member: Member, other: Member) -> Diagnostic:
    first, second = sorted((member, other), key=lambda one: (one.origin != "user", one.name))
    who = f"{_WHO[second.origin]} {second.name}"
    if first.name == second.name:
        hint = "rename yours" if first.origin == "user" else None
        return Diagnostic(
            "PF5005", f"{first.name} collides with {who}", file=first.name, hint=hint
        )
    return Diagnostic(
        "PF5003",
        f"{first.name} differs from {who} in case only",
        file=first.name,
        hint="rename one: they are one file where case does not count",
    )


def _files_as_folders(
    by_fold: dict[str, Member], folders: dict[str, Member]
) -> Iterator[Diagnostic]:
    for folder, inside in folders.items():
        while folder:
            file = by_fold.get(folder)
            if file is not None:
                yield Diagnostic(
                    "PF5005",
                    f"{file.name} is a file, but {inside.name} needs it to be a folder",
                    file=file.name,
                )
                break
            folder = folder.rpartition("/")[0]


def sizes(members: list[Member], zipped: int, limits: Limits, target: str) -> Iterator[Diagnostic]:
    """Yield PF5020 where the package exceeds a limit of the target, which is in bytes."""
    unzipped = sum(member.size for member in members)
    for what, size, limit in (
        ("zipped", zipped, limits.zipped),
        ("unzipped", unzipped, limits.unzipped),
    ):
        if limit and size > limit:
            yield Diagnostic(
                "PF5020",
                f"the package is {megabytes(size)} {what}, {target} allows {megabytes(limit)} "
                f"({limits.source})",
                hint=f"largest: {_largest(members)}",
            )


def _largest(members: list[Member]) -> str:
    totals: dict[str, int] = {}
    for member in members:
        parts = member.name.removeprefix(".python_packages/lib/site-packages/").partition("/")
        totals[parts[0]] = totals.get(parts[0], 0) + member.size
    top = sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:3]
    return ", ".join(f"{name} {megabytes(size)}" for name, size in top)


def megabytes(size: int) -> str:
    """Return ``1.5 MB``; a megabyte is 1,000,000 bytes."""
    return f"{size / 1_000_000:,.1f} MB" if size >= 50_000 else f"{size:,} bytes"
