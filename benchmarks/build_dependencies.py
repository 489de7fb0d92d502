"""Build with requests, pydantic and cryptography, against ``uv pip install`` and ``zip -r``.

    python benchmarks/build_dependencies.py [--rounds 3] [--target aws] [REQUIREMENT ...]

Both start without a lock and without results of their own, and share uv's download cache, which a
first run fills. The peer does not compile, check or prune. Prints seconds of whole processes
(median, min and max) and ratios paired by round.
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

REQUIREMENTS = ("requests", "pydantic", "cryptography")
ZIP = "import shutil, sys; shutil.make_archive(sys.argv[1], 'zip', sys.argv[2])"


def write_project(root: Path, requirements: list[str]) -> None:
    root.mkdir()
    info = sys.version_info
    (root / "requirements.txt").write_text("\n".join(requirements) + "\n")
    imports = "".join(f"import {name}\n" for name in requirements if name.isidentifier())
    (root / "app.py").write_text(f"{imports}\n\ndef handle(request):\n    return {{}}\n")
    (root / "portafaas.yaml").write_text(
        f"portafaas: 1\nname: deps\npython: '{info[0]}.{info[1]}'\narchitecture: x86_64\n"
        "dependencies: {file: requirements.txt}\nfunctions:\n  one:\n    handler: app:handle\n"
        "    trigger:\n      http: {method: GET, path: /}\n"
    )


def timed(command: list[str], folder: Path, variables: dict[str, str]) -> float:
    start = time.perf_counter()
    ran = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    took = time.perf_counter() - start
    if ran.returncode:
        raise SystemExit(f"{command} failed:\n{ran.stdout}{ran.stderr}")
    return took


def peer(folder: Path, variables: dict[str, str]) -> float:
    import uv

    info = sys.version_info
    install = [
        *(uv.find_uv_bin(), "pip", "install", "--quiet", "--requirements", "requirements.txt"),
        *("--python", sys.executable, "--python-version", f"{info[0]}.{info[1]}"),
        *("--python-platform", "x86_64-manylinux_2_28", "--only-binary", ":all:"),
        *("--target", "tree"),
    ]
    pack = ["zip", "-q", "-r", "../peer.zip", "."]
    if shutil.which("zip") is None:
        pack = [sys.executable, "-c", ZIP, "../peer", "."]
    return timed(install, folder, variables) + timed(pack, folder / "tree", variables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("requirements", nargs="*", default=list(REQUIREMENTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--target", default="aws")
    options = parser.parse_args()
    script = Path(sys.executable).with_name("portafaas")
    build = [str(script), "build", "--target", options.target]
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        for turn in range(options.rounds + 1):
            root, other = Path(scratch) / f"ours{turn}", Path(scratch) / f"peer{turn}"
            write_project(root, options.requirements)
            write_project(other, options.requirements)
            row = {
                "uv pip install, zip": peer(other, variables),
                "first build": timed(build, root, variables),
            }
            with (root / "app.py").open("a") as module:
                module.write(f"TURN = {turn}\n")
            row["one line changed"] = timed(build, root, variables)
            row["nothing changed"] = timed(build, root, variables)
            if turn:  # the first only fills uv's cache
                for label, value in row.items():
                    taken.setdefault(label, []).append(value)
    base = taken["uv pip install, zip"]
    print(f"{' '.join(options.requirements)}, {options.rounds} rounds, target {options.target}")
    for label, values in taken.items():
        ratios = [value / floor for value, floor in zip(values, base, strict=True)]
        print(
            f"{label:20} {statistics.median(values):6.2f} s "
            f"({min(values):.2f}..{max(values):.2f})  {statistics.median(ratios):5.2f} x peer"
        )


if __name__ == "__main__":
    main()
