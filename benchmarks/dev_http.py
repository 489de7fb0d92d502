"""The hello route of ``portafaas dev`` against uvicorn with a bare ASGI app, and other servers.

All run at once on 127.0.0.1, answer ``GET /hello`` with the same JSON, and are asked in turn, round
by round, over kept-alive connections: by wrk if it is there, else by a client of this script (which
takes more of the machine than wrk does: the ratios are then nearer to 1). Printed: the median of
requests a second, the median of each round's ratio to uvicorn's, and what processor time a request
took, of all processes of the server: that depends less on what else the machine does. Then each is
started and asked until it answers, in turn: seconds to the first response, and the median of each
round's ratio.

    python benchmarks/dev_http.py [--peers FOLDER] [--rounds 5] [--seconds 3] [--starts 7] [--check]

uvicorn runs with uvloop and httptools, one process, no access log. ``--peers`` has chalice and
serverless-offline installed into FOLDER, with uv and npm, if they are not there;
functions-framework is used where it can be imported. ``--check`` fails when a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

#: Goals: share of uvicorn's requests, and how many times its start.
RATE, START = 0.5, 2.0
BODY = {"hello": "world"}

_MANIFEST = """\
portafaas: 1
name: hello
python: "3.11"
functions:
  hello: {handler: "hello:hello", trigger: {http: {method: GET, path: /hello}}}
"""
_HANDLER = """\
def hello(request, context):
    return {"hello": "world"}
"""
_ASGI = """\
import json

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = json.dumps({"hello": "world"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
_FRAMEWORK = """\
import functions_framework

@functions_framework.http
def hello(request):
    return {"hello": "world"}
"""
_CHALICE = """\
from chalice import Chalice

app = Chalice(app_name="hello")

@app.route("/hello")
def hello():
    return {"hello": "world"}
"""
_SERVERLESS = """\
service: hello
provider: {name: aws, runtime: python3.11}
plugins: [serverless-offline]
functions:
  hello: {handler: handler.hello, events: [{httpApi: "GET /hello"}]}
"""
_LAMBDA = """\
import json

def hello(event, context):
    return {
        "statusCode": 200, "headers": {"content-type": "application/json"},
        "body": json.dumps({"hello": "world"}),
    }
"""


class Peer:
    """One server: how it is started in *folder* at a port."""

    def __init__(
        self,
        name: str,
        folder: Path,
        files: Mapping[str, str],
        command: Callable[[int], list[str]],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.folder = folder / name
        for file, text in files.items():
            path = self.folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.command = command
        self.environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            **(environment or {}),
        }
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; return the seconds until it has answered."""
        self.port = free_port()
        begin = perf_counter()
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command(self.port), cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        while True:
            if self.process.poll() is not None or perf_counter() - begin > 60:
                self.stop()
                raise RuntimeError((self.folder / "log").read_text()[-500:] or "no answer in 60 s")
            with contextlib.suppress(OSError):
                if asked(self.port):
                    return perf_counter() - begin
            time.sleep(0.002)

    def processor(self) -> float:
        """Return the seconds of processor that its processes have taken; 0 where it is not told."""
        assert self.process is not None
        known: dict[int, tuple[int, float]] = {}
        for entry in Path("/proc").iterdir() if Path("/proc/self/stat").exists() else ():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    facts = (entry / "stat").read_text().rpartition(")")[2].split()
                    ticks = int(facts[11]) + int(facts[12])
                    known[int(entry.name)] = (int(facts[1]), ticks / os.sysconf("SC_CLK_TCK"))
        total = 0.0
        for pid, (_, seconds) in known.items():
            while pid not in (0, self.process.pid) and pid in known:
                pid = known[pid][0]
            total += seconds if pid == self.process.pid else 0.0
        return total

    def stop(self) -> None:
        """End it, and all it has started."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def asked(port: int) -> bool:
    """Ask once; tell whether the answer is what it should be. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), 10) as made:
        made.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        data = b""
        while part := made.recv(65536):
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return False
    if b"chunked" in head.lower():
        body = body.partition(b"\r\n")[2].partition(b"\r\n")[0]
    return bool(json.loads(body) == BODY)


def rate(port: int, connections: int, seconds: float) -> tuple[float, str]:
    """Return requests a second, and what went wrong."""
    if shutil.which("wrk") is None:
        return asyncio.run(_rate(port, connections, seconds)), ""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s"]
    command.append(f"http://127.0.0.1:{port}/hello")
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    wrong = re.search(r"Socket errors:.*|Non-2xx.*", done.stdout)
    if found is None:
        return 0.0, (done.stdout + done.stderr).strip()
    return float(found.group(1)), wrong.group(0) if wrong else ""


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    ASK = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def __init__(self, end: float) -> None:
        self.count = 0
        self.over = asyncio.get_running_loop().create_future()
        self._end = end
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self.ASK)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        done = len(body) >= int(length.group(1)) if length else body.endswith(b"0\r\n\r\n")
        if not done:
            return
        self._data = b""
        self.count += 1
        if perf_counter() < self._end:
            self._transport.write(self.ASK)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def _rate(port: int, connections: int, seconds: float) -> float:
    loop, begin = asyncio.get_running_loop(), perf_counter()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: _Client(begin + seconds), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.wait_for(asyncio.gather(*(client.over for client in clients)), seconds + 30)
    return sum(client.count for client in clients) / (perf_counter() - begin)


def peers(folder: Path, installed: Path | None) -> tuple[list[Peer], dict[str, str]]:
    """Return the servers that can be run here, uvicorn and ours first; why not of the others."""
    python, manifest = sys.executable, "portafaas.yaml"
    found = [
        Peer(
            "uvicorn", folder, {"app.py": _ASGI},
            lambda port: [
                python, "-m", "uvicorn", "app:app", "--port", str(port), "--no-access-log",
                "--log-level", "warning", "--loop", "uvloop", "--http", "httptools",
            ],
        ),
        Peer(
            "portafaas", folder, {manifest: _MANIFEST, "hello.py": _HANDLER},
            lambda port: [python, "-m", "portafaas", "dev", "--port", str(port)],
        ),
    ]  # fmt: skip
    without: dict[str, str] = {}
    if importlib.util.find_spec("functions_framework"):
        found.append(
            Peer(
                "functions-framework", folder, {"main.py": _FRAMEWORK},
                lambda port: [
                    str(Path(python).parent / "functions-framework"), "--target", "hello",
                    "--host", "127.0.0.1", "--port", str(port),
                ],
            )
        )  # fmt: skip
    else:
        without["functions-framework"] = "it cannot be imported"
    if installed is None:
        return found, without | dict.fromkeys(("chalice", "serverless-offline"), "no --peers")
    try:
        program = chalice_in(installed)
        found.append(
            Peer(
                "chalice", folder,
                {
                    "app.py": _CHALICE,
                    "requirements.txt": "",
                    ".chalice/config.json": '{"version": "2.0", "app_name": "hello"}',
                },
                lambda port: [str(program), "local", "--port", str(port)],
                {"AWS_DEFAULT_REGION": "eu-central-1"},
            )
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as exc:
        without["chalice"] = str(exc)
    try:
        modules = serverless_in(installed)
        peer = Peer(
            "serverless-offline", folder,
            {"serverless.yml": _SERVERLESS, "handler.py": _LAMBDA, "package.json": "{}"},
            lambda port: [
                "node", str(modules / "serverless" / "bin" / "serverless.js"), "offline",
                "--httpPort", str(port), "--lambdaPort", str(free_port()), "--host", "127.0.0.1",
                "--noTimeout",
            ],
            {
                "SLS_TELEMETRY_DISABLED": "1", "SLS_NOTIFICATIONS_MODE": "off", "CI": "1",
                "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            },
        )  # fmt: skip
        (peer.folder / "node_modules").symlink_to(modules)
        found.append(peer)
    except (OSError, subprocess.CalledProcessError) as exc:
        without["serverless-offline"] = str(exc)
    return found, without


def chalice_in(folder: Path) -> Path:
    """Return chalice's program, installed when it is not there."""
    place = folder.absolute() / "chalice"
    program = place / "bin" / "chalice"
    if not program.exists():
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(place)], check=True)
        # It needs setuptools, and does not say so.
        subprocess.run(
            ["uv", "pip", "install", "-q", "--python", str(place), "chalice", "setuptools<81"],
            check=True,
        )
    return program


def serverless_in(folder: Path) -> Path:
    """Return the folder of node's modules, serverless-offline installed when it is not there."""
    place = folder.absolute() / "serverless"
    if not (place / "node_modules" / "serverless-offline").exists():
        place.mkdir(parents=True, exist_ok=True)
        # Version 4 asks for an account.
        subprocess.run(
            ["npm", "install", "--silent", "serverless@3", "serverless-offline@13"],
            cwd=place, check=True,
        )  # fmt: skip
    return place / "node_modules"


def main() -> int:
    """Print all; 1 when a goal is missed and that is asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    client = "wrk" if shutil.which("wrk") else "this script's client"
    print(f"load {os.getloadavg()[0]:.1f}, {client}")
    missed = []
    with tempfile.TemporaryDirectory(prefix="dev-http-") as folder:
        servers, without = peers(Path(folder), options.peers)
        running: list[Peer] = []
        try:
            for server in servers:
                try:
                    server.start()
                    running.append(server)
                except RuntimeError as exc:
                    without[server.name] = f"it does not start: {exc}"
            for count in options.connections:
                rates: dict[str, list[float]] = {server.name: [] for server in running}
                costs: dict[str, list[float]] = {server.name: [] for server in running}
                wrong: dict[str, str] = {}
                # One connection measures a round trip; the goal is what a crowd gets.
                for number in range(options.rounds + 1):
                    for server in running:
                        before = server.processor()
                        seconds = options.seconds if number else 1
                        found, why = rate(server.port, count, seconds)
                        if why:
                            wrong[server.name] = why
                        if number:
                            rates[server.name].append(found)
                            taken = max(0.0, server.processor() - before)
                            costs[server.name].append(taken / max(1.0, found * seconds))
                print(f"\n{count} connection{'s' * (count > 1)}")
                for name, values in rates.items():
                    pairs = zip(values, rates["uvicorn"], strict=True)
                    shares = [value / base for value, base in pairs]
                    print(
                        f"  {name:20} {statistics.median(values):7.0f} /s  "
                        f"{statistics.median(shares):5.2f}x of uvicorn "
                        f"({min(shares):.2f} to {max(shares):.2f})  "
                        f"{statistics.median(costs[name]) * 1e6:5.0f} us  {wrong.get(name, '')}"
                    )
                    if name == "portafaas" and name in wrong:
                        missed.append(wrong[name])
                    if name == "portafaas" and count > 1 and statistics.median(shares) < RATE:
                        missed.append(f"{count} connections: {statistics.median(shares):.2f}x")
        finally:
            for server in running:
                server.stop()
        starts: dict[str, list[float]] = {server.name: [] for server in running}
        for number in range(options.starts + 1):
            for server in running:
                if number > 3 and server.name == "serverless-offline":
                    continue
                taken = server.start()
                server.stop()
                if number:
                    starts[server.name].append(taken)
        print("\nstart to first response")
        for name, values in starts.items():
            times = [taken / base for taken, base in zip(values, starts["uvicorn"], strict=False)]
            print(
                f"  {name:20} {statistics.median(values) * 1000:7.0f} ms  "
                f"{statistics.median(times):5.2f}x of uvicorn "
                f"({min(times):.2f} to {max(times):.2f})"
            )
            if name == "portafaas" and statistics.median(times) > START:
                missed.append(f"start: {statistics.median(times):.2f}x")
    for name, why in without.items():
        print(f"  {name}: not measured: {why}")
    if missed:
        print("missed: " + "; ".join(missed))
    return int(bool(missed) and options.check)


if __name__ == "__main__":
    sys.exit(main())
