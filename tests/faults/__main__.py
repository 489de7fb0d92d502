"""Runs the fault matrix: ``python -m tests.faults [--messages 10000] [--targets aws,local]``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.faults.matrix import TARGETS, execute_all, result_of, summary, table
from tests.faults.mutants import MUTANTS, edit
from tests.faults.run import execute
from tests.faults.scenario import PATTERNS

#: Targets whose brokers are not made for many messages: at most so many of a pattern.
SLOW = {"azure": 1000, "gcp": 1000}
#: Seconds: some mutants would go on for ever.
LIMIT_OF_MUTANTS = 20.0


def one(
    name: str, messages: int, seed: int, rare: int, patterns: str, mutant: str, out: Path
) -> None:
    """Run one target, or a *mutant* on it, and write its result to *out*."""
    module = importlib.import_module(f"tests.faults.{name}")
    kind = getattr(module, name.title())
    if mutant:
        os.environ["FAULTS_MUTANT"] = mutant
    with tempfile.TemporaryDirectory(prefix=f"faults-{name}-") as folder:
        try:
            target = kind(Path(folder))
        except RuntimeError as exc:
            out.write_text(json.dumps({"target": name, "skipped": str(exc)}))
            return
        with target:
            if mutant and MUTANTS[mutant].edits:
                edit(MUTANTS[mutant], target.package)
            chosen = [p for p in PATTERNS if not patterns or p.name in patterns.split(",")]
            limit = LIMIT_OF_MUTANTS if mutant else 3600.0
            outcome = execute(target, messages, seed, rare, chosen, limit=limit, say=print)
    out.write_text(json.dumps(result_of(outcome, messages, seed)))


def main() -> int:
    """Print the matrix; 1 when a promise was broken or a target could not be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=300, help="of each pattern")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--patterns", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rare", type=int, default=0, help="messages of each costly fault")
    parser.add_argument("--at-once", type=int, default=2, help="targets that run together")
    parser.add_argument("--mutant", default="", help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    rare = options.rare or max(1, min(2, options.messages // 200))
    if options.one:
        facts = (options.messages, options.seed, rare, options.patterns, options.mutant)
        one(options.one, *facts, options.out)
        return 0
    names = options.targets.split(",")
    messages = {name: min(options.messages, SLOW.get(name, options.messages)) for name in names}
    more = ["--patterns", options.patterns] if options.patterns else []
    more += ["--mutant", options.mutant] if options.mutant else []
    extra = dict.fromkeys(names, more)
    results = execute_all(names, messages, options.seed, rare, options.at_once, extra)
    print(table(results))
    print()
    print(summary(results))
    bad = False
    for name, result in results.items():
        for text in (*result.get("broken", ()), *result.get("problems", ())):
            print(f"\n{name}: {text}")
            bad = True
        if "cells" not in result:
            print(f"\n{name}: {result.get('skipped') or result.get('error')}")
            bad = True
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
