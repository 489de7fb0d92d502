"""Build a service of 100 functions in 100 modules, against the floor of writing the same zip.

    python benchmarks/build_many.py [--functions 100] [--rounds 5] [--target aws]

Two floors, both a bare interpreter that walks a folder and writes its files with ``zipfile``, at
its default level: "sources" writes the project's modules alone, which is the least anybody can
ship; "same zip" writes the very members of our package, runtime and bytecode included, from an
unpacked copy, so that it only copies what we have to make. Neither compiles, checks or plans.

Prints milliseconds of whole processes (median, min and max), and ratios to both floors paired by
round, for the first build of a project (nothing of it cached), one module changed, and nothing
changed. Packages alone, but for "first, with infra", which makes and checks the infrastructure,
too. "first on machine" has an empty user's cache too: it compiles the shipped runtime, which
is kept per user and version of portafaas.
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

from portafaas.artifact import unpack

FLOOR = """
import os, sys, zipfile
root, out = sys.argv[1:3]
names = sorted(os.path.join(folder, name) for folder, _, files in os.walk(root) for name in files)
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
    for name in names:
        if name.endswith((".py", *sys.argv[3:])):
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
        # More than one CloudFormation template or ARM deployment holds.
        "targets: {aws: {stacks: 2}, azure: {apps: grouped}}",
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
    whole = [str(script), "build", "--target", options.target]
    build = [*whole, "--no-infrastructure"]
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        template = Path(scratch) / "template"
        write_project(template, options.functions)
        # Once before counting: the tool's own bytecode.
        warm = Path(scratch) / "warm"
        shutil.copytree(template, warm)
        timed(build, warm, variables)
        members = Path(scratch) / "members"
        unpack(warm / f"out/{options.target}/many.zip", members)
        for turn in range(options.rounds):
            root = Path(scratch) / f"round{turn}"
            shutil.copytree(template, root)
            floor = [sys.executable, "-c", FLOOR, str(root), f"{scratch}/floor.zip"]
            taken.setdefault("floor: sources", []).append(timed(floor, root, variables))
            same = [sys.executable, "-c", FLOOR, str(members), f"{scratch}/same.zip", ""]
            taken.setdefault("floor: same zip", []).append(timed(same, root, variables))
            empty = variables | {"PORTAFAAS_HOME": f"{scratch}/home{turn}"}
            taken.setdefault("first on machine", []).append(timed(build, root, empty))
            for folder in ("out", ".portafaas"):
                shutil.rmtree(root / folder)
            taken.setdefault("first build", []).append(timed(build, root, variables))
            for folder in ("out", ".portafaas"):
                shutil.rmtree(root / folder)
            taken.setdefault("first, with infra", []).append(timed(whole, root, variables))
            timed(build, root, variables)
            with (root / "app/m000.py").open("a") as module:
                module.write(f"TURN = {turn}\n")
            taken.setdefault("one module changed", []).append(timed(build, root, variables))
            taken.setdefault("nothing changed", []).append(timed(build, root, variables))
    print(f"{options.functions} functions, {options.rounds} rounds, target {options.target}")
    print(f"{'':20} {'ms':>7} {'(min..max)':>14} {'x sources':>10} {'x same zip':>10}")
    for label, values in taken.items():
        against = [
            statistics.median(a / b for a, b in zip(values, taken[floor], strict=True))
            for floor in ("floor: sources", "floor: same zip")
        ]
        span = f"({min(values):.0f}..{max(values):.0f})"
        print(
            f"{label:20} {statistics.median(values):7.0f} {span:>14} "
            f"{against[0]:10.2f} {against[1]:10.2f}"
        )


if __name__ == "__main__":
    main()
