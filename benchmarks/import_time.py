"""How long the shipped AWS runtime takes to load, beyond ``json``, before any user code.

Each process imports, from compiled bytecode, what the generated entry of an http function imports
and builds the ``Function``; a process that imports only ``json`` is the yardstick. Processes of the
two kinds alternate, and the fastest of each counts: all else is other programs' noise.

    python benchmarks/import_time.py [--runs N] [--check MILLISECONDS]
"""

from __future__ import annotations

import argparse
import compileall
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("dataclasses", "re", "typing", "http", "urllib", "email", "asyncio", "logging", "socket")

_TIMED = """
import sys
from time import perf_counter
{before}
start = perf_counter()
{code}
took = perf_counter() - start
print(took * 1000, *({modules}))
"""
_LOAD = """
from portafaas.runtime.function import Function
from portafaas_aws.runtime.http import bind
Function({"name": "f", "service": "s", "kind": "http", "handler": "m:f", "timeout": 29,
          "memory": 256, "source": "/s/functions/f", "trigger": {"methods": [], "path": "/"}})
"""


def package(folder: Path) -> Path:
    """Write the shipped part of core and adapter to *folder*, with bytecode."""
    for source, name in ((ROOT, "portafaas"), (ROOT / "adapters", "portafaas_aws")):
        (folder / name).mkdir()
        shutil.copy(source / name / "__init__.py", folder / name)
        shutil.copytree(
            source / name / "runtime",
            folder / name / "runtime",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    mode = compileall.py_compile.PycInvalidationMode.UNCHECKED_HASH  # type: ignore[attr-defined]
    compileall.compile_dir(folder, quiet=1, invalidation_mode=mode)
    return folder


def run(script: str) -> list[str]:
    """Return the words a new, isolated process prints."""
    command = [sys.executable, "-I", "-S", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--check", type=float, help="fail above this many milliseconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portafaas-bench-") as folder:
        path = f"sys.path.insert(0, {str(package(Path(folder)))!r})"
        loaded = "sorted(sys.modules)"
        alone = _TIMED.format(before=path, code=_LOAD, modules=loaded)
        after = _TIMED.format(before=f"{path}\nimport json", code=_LOAD, modules="()")
        json = _TIMED.format(before=path, code="import json", modules="()")
        modules = set(run(alone)[1:])
        times: dict[str, list[float]] = {"json": [], "after": [], "alone": []}
        for _ in range(options.runs):
            for name, script in (("json", json), ("after", after), ("alone", alone)):
                times[name].append(float(run(script)[0]))
    heavy = sorted(modules & set(HEAVY))
    own = sorted(name for name in modules if name.startswith("portafaas"))
    beyond = min(times["after"])
    print(f"Python {sys.version.split()[0]}, fastest of {options.runs} processes each")
    print(f"  import json                       {min(times['json']):6.2f} ms")
    print(f"  AWS http runtime, json loaded     {beyond:6.2f} ms")
    print(f"  AWS http runtime, nothing loaded  {min(times['alone']):6.2f} ms")
    print(f"  own modules: {len(own)}; of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}")
    if heavy:
        return 1
    if options.check is not None and beyond > options.check:
        print(f"the runtime takes {beyond:.2f} ms beyond json; at most {options.check:.2f} ms")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
