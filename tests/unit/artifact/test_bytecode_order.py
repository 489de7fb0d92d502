"""Bytecode depends on the interpreter and the source, not on what was compiled before."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import portafaas.artifact
from portafaas.vendor.environment import find_interpreter

CHILD = Path(portafaas.artifact.__file__).with_name("worker_child.py")
SCRIPT = """
import glob, os, random, sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("child", sys.argv[1])
child = module_from_spec(spec)
spec.loader.exec_module(child)
files = sorted(glob.glob(os.path.dirname(os.__file__) + "/*.py"))
random.Random(int(sys.argv[2])).shuffle(files)
compiled = {}
for file in files:
    with open(file, "rb") as source:
        try:
            compiled[file] = child.compile_one(source.read(), os.path.basename(file))
        except SyntaxError:
            pass
sys.stdout.buffer.write(b"".join(compiled[file] for file in sorted(compiled)))
"""


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_order_of_modules_does_not_show(version: str) -> None:
    python = find_interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    outputs = {
        subprocess.run(
            [python, "-S", "-c", SCRIPT, CHILD, str(seed)],
            env={"PYTHONHASHSEED": "0"}, capture_output=True, check=True,
        ).stdout
        for seed in (2, 8)
    }  # fmt: skip
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1_000_000
