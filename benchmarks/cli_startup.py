"""Start-up of ``portafaas --help`` against a bare click group's ``--help`` in the same run.

Goal: at most 1.5x. Prints the ratio of medians over interleaved processes, with bytecode cached.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_BARE = """\
import click

@click.group()
@click.version_option("0")
def cli():
    "A group."

for name in "build check completion events init invoke plan schema targets".split():
    cli.add_command(click.Command(name, help="A command."))

cli()
"""


def _once(command: list[str], env: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, env=env, check=True)
    return time.perf_counter() - start


def main(rounds: int = 40) -> float:
    """Print and return the ratio."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(_BARE)
        ours = Path(folder) / "ours.py"
        ours.write_text("from portafaas.cli import main\nmain()\n")
        commands = {
            name: [sys.executable, str(f), "--help"]
            for name, f in (("click", bare), ("portafaas", ours))
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 3):
            for name, command in commands.items():
                taken = _once(command, env)
                if number >= 3:
                    times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:<10} {value * 1000:6.1f} ms   (min {min(times[name]) * 1000:.1f})")
    ratio = medians["portafaas"] / medians["click"]
    print(f"ratio      {ratio:6.2f}      goal <= 1.5")
    return ratio


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
