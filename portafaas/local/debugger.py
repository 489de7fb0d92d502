"""Lets a debugger attach to this process; loaded only by processes that are to be debugged."""

from __future__ import annotations

import os
import sys

#: Variables with the port, and whether to wait for the debugger.
PORT, WAIT = "PORTAFAAS_DEBUG_PORT", "PORTAFAAS_DEBUG_WAIT"


def listen() -> None:
    """Have a debugger attach at the port that the environment names, if it names one."""
    port = os.environ.get(PORT)
    if not port:
        return
    # It warns of modules of Python itself that are not read from files; nobody debugs those.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    import debugpy

    try:
        debugpy.listen(("127.0.0.1", int(port)))
    except Exception as exc:
        sys.stderr.write(f"portafaas: no debugger can attach at port {port}: {exc}\n")
        return
    if os.environ.get(WAIT):
        debugpy.wait_for_client()
