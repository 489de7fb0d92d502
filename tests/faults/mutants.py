"""Products that break a promise: the suite has to say so of each.

Those of a package are edits of what was built, the others of what the local dispatcher does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Mutant:
    """``pattern`` on ``target`` shows it: one of ``rules`` is broken.

    ``edits`` are texts of the package's files, by file, and what stands there instead.
    """

    target: str
    pattern: str
    rules: frozenset[str]
    edits: Mapping[str, tuple[str, str]] | None = None


MUTANTS: dict[str, Mutant] = {
    # Packages, on Azure: the quickest of the vendors' runtimes.
    "acknowledges before it buries": Mutant(
        "azure", "queue", frozenset(("lost",)),
        {"portafaas/runtime/recovery.py": (
            '_try(context, "dead letters were not kept: %r", settlement.bury, dead)',
            "{item.id for item, _ in dead}",
        )},
    ),
    "the bridge drops pf-id": Mutant(
        "azure", "queue", frozenset(("id",)),
        {"portafaas/runtime/message.py": ('control.get("pf-id", id)', "'m-' + id")},
    ),
    # The dispatcher, locally.
    "letters are lost": Mutant("local", "queue", frozenset(("lost",))),
    "retries come at once": Mutant("local", "queue", frozenset(("delay",))),
    "no order of a key": Mutant("local", "ordered", frozenset(("order",))),
    "no idempotency": Mutant("local", "idempotent", frozenset(("twice",))),
    "the relay of the outbox is never called": Mutant("local", "outbox", frozenset(("lost",))),
}  # fmt: skip


def edit(mutant: Mutant, package: Path) -> None:
    """Make the edits in the unpacked *package*; each text has to be there."""
    for name, (old, new) in (mutant.edits or {}).items():
        file = package / name
        text = file.read_text()
        assert old in text, (name, old)
        file.write_text(text.replace(old, new))
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            compiled.unlink()
        file.with_suffix(".pyc").unlink(missing_ok=True)


def edit_manifest(name: str, manifest: Path) -> None:
    """Change the project, where that is the mutant."""
    if name == "no idempotency":
        text = manifest.read_text()
        assert "idempotency:" in text
        lines = text.splitlines()
        place = next(n for n, line in enumerate(lines) if "idempotency:" in line)
        del lines[place : place + 2]
        manifest.write_text("\n".join(lines) + "\n")


def change_dispatcher(name: str, broker: Any, hooks: Any) -> None:
    """Change what the local dispatcher does, in its process."""
    from portafaas.local.deliveries import Settled

    answered: Callable[..., Any] = hooks.answered

    def changed(lease: Any, settled: Any) -> Any:
        found = answered(lease, settled)
        again, dead = dict(found.again), dict(found.dead)
        if name == "letters are lost":
            dead = {}
        if name == "retries come at once":
            again = dict.fromkeys(again, 0.0)
        return Settled(again, dead, found.untried, found.alone)

    hooks.answered = changed
    if name == "no order of a key":
        broker.boxes.order = lambda function: "none"
    if name == "the relay of the outbox is never called":
        broker.intake.subscriptions = [s for s in broker.intake.subscriptions if s.kind != "table"]
