"""The child process, started from processes that have done things of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: gRPC, among others, has such a hook, and it may end the process.
SCRIPT = """
import os, sys
from pathlib import Path
from portafaas.local.process import Child

os.register_at_fork(after_in_child=os.abort)
child = Child(Path(sys.argv[1]), {})
spec = {"name": "f", "service": "s", "kind": "queue", "handler": "app:work", "timeout": 5,
        "memory": 128, "source": "/s", "trigger": {"queue": "q", "batch": 1}}
event = {"queue": {"messages": [{"id": "m", "body": "{}"}]}}
print(child.ask({"spec": spec, "event": event}), child.close())
"""


def test_no_hook_of_a_fork_runs(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def work(message, context): print('here')\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "here\n{'delivered': True, 'failed': []} 0\n", done.stderr
