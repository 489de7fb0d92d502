"""The first import out of an unpacked package, with its bytecode against without.

    python benchmarks/cold_import.py [--rounds 9] [--target aws] [boto3 fastapi ...]

For each requirement: build a package that imports it, unpack it twice, remove the bytecode from one
copy, and import the handler's module in new processes that cannot write bytecode, as on a platform
whose package is read-only. Prints milliseconds (median, min and max) and the ratio paired by round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from build_dependencies import timed, write_project

from portafaas.artifact import unpack


def imported(folder: Path, variables: dict[str, str]) -> float:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import app"
    command = [sys.executable, "-I", "-S", "-B", "-c", code, str(folder)]
    start = time.perf_counter()
    subprocess.run(command, env=variables, check=True)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("requirements", nargs="*", default=["boto3", "fastapi"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--target", default="aws")
    options = parser.parse_args()
    script = Path(sys.executable).with_name("portafaas")
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for requirement in options.requirements:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch) / "project"
            write_project(root, [requirement])
            timed([str(script), "build", "--target", options.target], root, variables)
            (package,) = [path for path in root.rglob("*.zip") if ".portafaas" not in path.parts]
            full, bare = Path(scratch) / "full", Path(scratch) / "bare"
            unpack(package, full)
            unpack(package, bare)
            for path in bare.rglob("*.pyc"):
                path.unlink()
            for folder in (full, bare):
                imported(folder, variables)
            rows = [
                (imported(full, variables), imported(bare, variables))
                for _ in range(options.rounds)
            ]
        for at, label in enumerate(("with bytecode", "without")):
            values = [row[at] for row in rows]
            print(
                f"{requirement:10} {label:14} {statistics.median(values):7.0f} ms "
                f"({min(values):.0f}..{max(values):.0f})"
            )
        ratio = statistics.median(one / other for one, other in rows)
        print(f"{requirement:10} ratio          {ratio:7.2f}")


if __name__ == "__main__":
    main()
