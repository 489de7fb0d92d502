"""From saving a file to the first answer of new code: ``portafaas dev``, and ``uvicorn --reload``.

A client asks all the time while a handler's module, and then the manifest (another route), are
saved again and again; each time is from the end of the write to the first answer that shows it. No
request may fail meanwhile. The project has 1 function, then 20 that have all been called, of which
the one that was called last changes. The goal is 300 ms. ``uvicorn --reload`` watches with
watchfiles, too; what it refuses while it starts again is not counted against it.

    python benchmarks/dev_reload.py [--rounds 15] [--check]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import perf_counter

from dev_http import Peer

GOAL = 0.3

_ASGI = """\
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b'{{"hello": "world"}}' if scope["path"] == "/hello" else b"{0}"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})
"""
_HANDLER = """\
def hello(request, context):
    return {{"hello": "world"}}

def value(request, context):
    return "{0}"
"""


def manifest(functions: int, route: str = "/value") -> str:
    """Return a manifest of *functions*, the last at *route*."""
    lines = [
        f'  f{n}: {{handler: "hello:hello", trigger: {{http: {{method: GET, path: /f{n}}}}}}}'
        for n in range(functions - 1)
    ]
    text = "portafaas: 1\nname: reload\npython: '3.11'\nfunctions:\n"
    text += '  hello: {handler: "hello:hello", trigger: {http: {method: GET, path: /hello}}}\n'
    text += f'  value: {{handler: "hello:value", trigger: {{http: {{path: "{route}"}}}}}}\n'
    return text + "\n".join(lines) + "\n"


def ask(port: int, path: str) -> tuple[int, bytes]:
    """Ask once, over a connection of its own; 0 when nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def measured(save: Callable[[int], None], seen: Callable[[int], bool], rounds: int) -> list[float]:
    """Return the seconds of each round."""
    times = []
    for number in range(1, rounds + 1):
        # As fast as a person saves, and not in step with what looks at intervals.
        time.sleep(1.5 + 0.01 * (number * 7 % 10))
        save(number)
        start = perf_counter()
        while not seen(number):
            if perf_counter() - start > 30:
                raise SystemExit("no new code after 30 s")
            time.sleep(0.002)
        times.append(perf_counter() - start)
    return times


def told(name: str, times: list[float], failed: int, base: list[float] | None) -> None:
    """Print a line."""
    late = sorted(times)[int(len(times) * 0.9)]
    line = (
        f"{name:22} {statistics.median(times) * 1000:5.0f} ms (median), "
        f"{late * 1000:5.0f} ms (90 %), {max(times) * 1000:5.0f} ms at most"
    )
    if base:
        line += f", {statistics.median(times) / statistics.median(base):.2f}x of uvicorn --reload"
    print(f"{line}, {failed} requests failed")


def main() -> int:
    """Print all; 1 when the goal is missed and that is asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}")
    rounds, slow = options.rounds, []
    with tempfile.TemporaryDirectory(prefix="dev-reload-") as folder:
        python = sys.executable
        uvicorn = Peer(
            "uvicorn", Path(folder), {"app.py": _ASGI.format(0)},
            lambda port: [
                python, "-m", "uvicorn", "app:app", "--port", str(port), "--reload",
                "--log-level", "warning",
            ],
        )  # fmt: skip
        base: list[float] = []
        for functions in (0, 1, 20):
            failed = [0]
            if functions:
                peer = Peer(
                    f"portafaas-{functions}", Path(folder),
                    {"portafaas.yaml": manifest(functions), "hello.py": _HANDLER.format(0)},
                    lambda port: [python, "-m", "portafaas", "dev", "--port", str(port)],
                )  # fmt: skip
            else:
                peer = uvicorn
            peer.start()
            file = peer.folder / ("hello.py" if functions else "app.py")
            text = _HANDLER if functions else _ASGI

            def save(number: int, file: Path = file, text: str = text) -> None:
                file.write_text(text.format(number))

            def seen(number: int, peer: Peer = peer, failed: list[int] = failed) -> bool:
                status, body = ask(peer.port, "/value")
                failed[0] += status != 200
                return status == 200 and body.decode().strip('"') == str(number)

            for n in range(functions - 1):
                assert ask(peer.port, f"/f{n}")[0] == 200
            ask(peer.port, "/value")
            time.sleep(2)
            try:
                times = measured(save, seen, rounds)
                if not functions:
                    base = times
                    told("uvicorn --reload", times, failed[0], None)
                    continue
                told(f"a handler, of {functions}", times, failed[0], base)
                slow += [statistics.median(times)]

                def save_routes(number: int, peer: Peer = peer, count: int = functions) -> None:
                    (peer.folder / "portafaas.yaml").write_text(manifest(count, f"/new{number}"))

                def seen_route(number: int, peer: Peer = peer) -> bool:
                    return ask(peer.port, f"/new{number}")[0] == 200

                times = measured(save_routes, seen_route, rounds)
                told(f"the manifest, of {functions}", times, 0, None)
                slow += [statistics.median(times)]
            finally:
                peer.stop()
    missed = max(slow) > GOAL
    print(f"goal: {GOAL * 1000:.0f} ms: {'missed' if missed else 'kept'}")
    return int(missed and options.check)


if __name__ == "__main__":
    sys.exit(main())
