"""Results of targets as plain values, and the matrix that is printed of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.faults.check import told
from tests.faults.run import Outcome
from tests.faults.scenario import FAULTS, PATTERNS

TARGETS = ("aws", "azure", "gcp", "local")
_ROOT = Path(__file__).parents[2]

Result = dict[str, Any]

#: What the columns of a cell are, in this order.
COLUMNS = ("messages", "redeliveries", "duplicates", "letters", "bystanders", "redriven")


def result_of(outcome: Outcome, messages: int, seed: int) -> Result:
    """Return *outcome* as JSON values; ``broken`` holds the first violations, with histories."""
    cells = []
    broken = []
    for (pattern, fault), cell in outcome.cells.items():
        cells.append(
            {
                "pattern": pattern,
                "fault": fault,
                "violations": len(cell.violations),
                **{name: getattr(cell, name) for name in COLUMNS},
            }
        )
        if cell.violations:
            broken.append(told(outcome.evidence[pattern], cell.violations[0]))
    return {
        "target": outcome.target,
        "seconds": round(outcome.seconds, 1),
        "messages": messages,
        "seed": seed,
        "cells": cells,
        "broken": broken,
        "rules": sorted({v.rule for cell in outcome.cells.values() for v in cell.violations}),
        "problems": outcome.problems,
        "without": outcome.without,
    }


def execute_all(
    targets: Sequence[str],
    messages: Mapping[str, int],
    seed: int,
    rare: int,
    at_once: int,
    extra: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Result]:
    """Run *targets* in processes of their own, *at_once* at a time.

    *extra* are more arguments by target; a target may be given as ``name/what`` several times.

    A result that could not be had has its reason under ``error`` (and ``skipped`` when something is
    not installed).
    """
    results: dict[str, Result] = {}
    waiting = list(targets)
    running: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        while waiting or running:
            while waiting and len(running) < at_once:
                name = waiting.pop(0)
                out = Path(folder) / f"{name.replace('/', '-')}.json"
                target = name.partition("/")[0]
                command = [sys.executable, "-m", "tests.faults", "--one", target, "--out", str(out)]
                command += ["--messages", str(messages[name]), "--seed", str(seed)]
                command += ["--rare", str(rare), *(extra or {}).get(name, ())]
                with out.with_suffix(".log").open("wb") as log:
                    running[name] = (
                        subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=subprocess.STDOUT),
                        out,
                    )
            for name, (process, out) in list(running.items()):
                status = process.poll()
                if status is None:
                    continue
                del running[name]
                if out.exists():
                    results[name] = json.loads(out.read_text())
                else:
                    log_text = out.with_suffix(".log").read_text(errors="replace")
                    results[name] = {"target": name, "error": f"status {status}\n{log_text}"}
            time.sleep(0.1)
    return results


def table(results: Mapping[str, Result]) -> str:
    """Return the matrix in Markdown: a row a pattern and fault, a column a target.

    A cell says ``ok`` or how many promises were broken, and redeliveries / repeated side effects /
    dead letters.
    """
    names = [name for name in TARGETS if name in results and "cells" in results[name]]
    cells = {
        (name, cell["pattern"], cell["fault"]): cell
        for name in names
        for cell in results[name]["cells"]
    }
    lines = [
        "| pattern | fault | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for pattern in PATTERNS:
        for fault in FAULTS:
            found = [cells.get((name, pattern.name, fault.name)) for name in names]
            if not any(found):
                continue
            row = " | ".join(_cell(cell) for cell in found)
            lines.append(f"| {pattern.name} | {fault.name} | {row} |")
    return "\n".join(lines)


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "-"
    verdict = "ok" if not cell["violations"] else f"**{cell['violations']} BROKEN**"
    facts = f"{cell['messages']}: {cell['redeliveries']}/{cell['duplicates']}/{cell['letters']}"
    if cell["bystanders"]:
        facts += f" ({cell['bystanders']})"
    return f"{verdict} {facts}"


def summary(results: Mapping[str, Result]) -> str:
    """Return one row a target: what was sent, what came of it, and how long it took."""
    head = ("target", "messages", "redeliveries", "repeated effects", "dead letters", "bystanders",
            "redriven", "broken", "seconds")  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, result in results.items():
        if "cells" not in result:
            reason = str(result.get("skipped") or result.get("error"))
            lines.append(f"| {name} | {reason.splitlines()[-1] if reason else ''} |")
            continue
        sums = [sum(cell[column] for cell in result["cells"]) for column in COLUMNS]
        broken = sum(cell["violations"] for cell in result["cells"])
        row = [name, *map(str, sums), str(broken), str(result["seconds"])]
        lines.append(f"| {' | '.join(row)} |")
    for name, result in results.items():
        for pattern, why in result.get("without", {}).items():
            lines.append(f"\n{name} has not run {pattern}: {why}")
    return "\n".join(lines)
