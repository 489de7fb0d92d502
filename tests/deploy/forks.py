"""Runs commands in processes that are forked of one which has imported what they need.

``python forks.py MODULE...`` reads lines of JSON, ``{"words", "stdin", "out", "err"}`` (the last
three are files), and answers each with the exit status. A command is a process with an environment
of its own all the same; what is saved is the second of imports.
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def command(words: list[str]) -> int:
    """Run one command line in this process; return its exit status."""
    import runpy

    sys.argv = ["portafaas", *words]
    try:
        runpy.run_module("portafaas", run_name="__main__")
    except SystemExit as exc:
        if exc.code is None or isinstance(exc.code, int):
            return exc.code or 0
        print(exc.code, file=sys.stderr)
        return 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if not child:
            new = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            for number, (name, mode) in enumerate((("stdin", os.O_RDONLY), ("out", new), ("err", new))):
                os.dup2(os.open(asked[name], mode, 0o600), number)
            sys.stdin = open(0)
            status = command(asked["words"])
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, code = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(code), flush=True)


if __name__ == "__main__":
    main()
