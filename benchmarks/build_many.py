"""Build a service of 100 functions in 100 modules, against the floor of writing the same zip.

    python benchmarks/build_many.py [--functions 100] [--rounds 5] [--target aws]

Floor: a bare interpreter that walks the project and writes its modules with ``zipfile``. Prints
milliseconds of whole processes (median, min and max) and ratios paired by round, for the first
build (nothing cached), one module changed, and nothing changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FLOOR = """
import os, sys, zipfile
root, out = sys.argv[1:]
names = sorted(os.path.join(folder, name) for folder, _, files in os.walk(root) for name in files)
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
    for name in names:
        if name.endswith(".py"):
            entry = zipfile.ZipInfo(os.path.relpath(name, root))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with open(name, "rb") as file:
                archive.writestr(entry, file.read())
"""
MODULE = '''"""Module {at}."""

import json


def validate(body):
    """Return the order in *body*, or raise."""
    order = json.loads(body or "{{}}")
    if not isinstance(order, dict) or "item" not in order:
        raise ValueError("no item")
    return order


def handle(request):
    """Serve route {at}."""
    order = validate(request.body)
    return {{"route": {at}, "item": order["item"], "count": order.get("count", 1)}}
'''


def write_project(root: Path, functions: int) -> None:
    (root / "app").mkdir(parents=True)
    (root / "app/__init__.py").write_text("")
    info = sys.version_info
    lines = [
        "portafaas: 1",
        "name: many",
        f"python: '{info[0]}.{info[1]}'",
        "architecture: x86_64",
        "functions:",
    ]
    for at in range(functions):
        (root / f"app/m{at:03}.py").write_text(MODULE.format(at=at))
        lines += [
            f"  f{at:03}:",
            f"    handler: app.m{at:03}:handle",
            "    trigger:",
            f"      http: {{method: POST, path: /r{at}}}",
        ]
    (root / "portafaas.yaml").write_text("\n".join(lines) + "\n")


def timed(command: list[str], folder: Path, variables: dict[str, str]) -> float:
    start = time.perf_counter()
    ran = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    took = (time.perf_counter() - start) * 1000
    if ran.returncode:
        raise SystemExit(f"{command} failed:\n{ran.stdout}{ran.stderr}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--functions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--target", default="aws")
    options = parser.parse_args()
    script = Path(sys.executable).with_name("portafaas")
    build = [str(script), "build", "--target", options.target]
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        template = Path(scratch) / "template"
        write_project(template, options.functions)
        # Once before counting: the tool's own bytecode.
        shutil.copytree(template, Path(scratch) / "warm")
        timed(build, Path(scratch) / "warm", variables)
        for turn in range(options.rounds):
            root = Path(scratch) / f"round{turn}"
            shutil.copytree(template, root)
            floor = [sys.executable, "-c", FLOOR, str(root), f"{scratch}/floor.zip"]
            taken.setdefault("floor", []).append(timed(floor, root, variables))
            taken.setdefault("first build", []).append(timed(build, root, variables))
            with (root / "app/m000.py").open("a") as module:
                module.write(f"TURN = {turn}\n")
            taken.setdefault("one module changed", []).append(timed(build, root, variables))
            taken.setdefault("nothing changed", []).append(timed(build, root, variables))
    print(f"{options.functions} functions, {options.rounds} rounds, target {options.target}")
    for label, values in taken.items():
        ratios = [value / base for value, base in zip(values, taken["floor"], strict=True)]
        print(
            f"{label:20} {statistics.median(values):7.0f} ms "
            f"({min(values):.0f}..{max(values):.0f})  {statistics.median(ratios):5.2f} x floor"
        )


if __name__ == "__main__":
    main()
