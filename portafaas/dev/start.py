"""What has to be there before an application starts."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portafaas.errors import DeploymentError, Diagnostic
from portafaas.plan import BuildPlan, HttpTrigger


def needed(debug: bool, reload: bool) -> None:
    """Raise DeploymentError PF8053 for packages that are not installed."""
    from importlib.util import find_spec

    names = ["uvicorn", *(["watchfiles"] if reload else []), *(["debugpy"] if debug else [])]
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise DeploymentError(
            "the application is not started:",
            [
                Diagnostic(
                    "PF8053",
                    f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not installed",
                    hint="type: pip install 'portafaas[dev]'",
                )
            ],
        )


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises DeploymentError PF8050 or PF8051."""
    import ipaddress

    summary = "the application is not started:"
    name = "127.0.0.1" if host == "localhost" else host
    try:
        loopback = ipaddress.ip_address(name).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        text = f"{host!r} is not an address of this machine alone"
        hint = "say 127.0.0.1 or ::1; what serves others is for 'portafaas deploy'"
        raise DeploymentError(summary, [Diagnostic("PF8051", text, hint=hint)])
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((name, port))
        made.listen(1024)
    except OSError as exc:
        made.close()
        text = f"port {port} of {host} cannot be used: {exc.strerror}"
        hint = "end what uses it, or choose another: --port 0 takes any that is free"
        raise DeploymentError(summary, [Diagnostic("PF8050", text, hint=hint)]) from exc
    return made


def inherited(given: Mapping[str, str], target: str | None) -> dict[str, str]:
    """Return what all functions have of variables: in a vendor's runtime only what is *given*."""
    return {**({} if target else os.environ), **given}


def keyless(plan: BuildPlan, given: Mapping[str, str]) -> list[str]:
    """Return what is said of routes with ``auth: key`` when no key is known, in lines.

    *given* is the environment of all functions.
    """
    from hashlib import sha256

    missing = dict.fromkeys(
        str(function.trigger.auth.keys)
        for function in plan.functions
        if isinstance(function.trigger, HttpTrigger)
        and function.trigger.auth is not None
        and function.trigger.auth.scheme == "key"
        and function.trigger.auth.keys not in {**given, **function.environment}
    )
    digest = sha256(b"dev-key").hexdigest()
    return [
        f"routes with (key) answer 500 as long as {name} is not set; with --env "
        f"{name}=dev={digest} they take the header 'x-api-key: dev-key'"
        for name in missing
    ]


def valueless(plan: BuildPlan, root: Path) -> list[str]:
    """Return what is said of declared secrets without a value on this machine, in lines."""
    from portafaas.local.secrets import LocalSecrets

    stage = f" --stage {plan.stage}" if plan.stage else ""
    return [
        f"secret {each.name} has no value: portafaas secrets set {each.name}{stage}"
        for each in LocalSecrets(root, plan).list()
        if not each.changed
    ]


def loop_factory() -> Any:
    """Return what makes the event loop: uvloop where it is installed, None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Lock:
    """Keeps other ``dev`` from the store in *folder*; its file says where this one serves.

    Raises DeploymentError PF8052 when another has it, PF8018 when the store cannot be used.
    """

    def __init__(self, folder: Path, url: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "dev.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            text = f"{folder}: {exc}"
            raise DeploymentError(
                "the store on this machine cannot be used:", [Diagnostic("PF8018", text)]
            ) from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            other = os.read(lock, 200).decode("utf-8", "replace").strip()
            os.close(lock)
            where = f", at {other}" if other else ""
            raise DeploymentError(
                "the application is not started:",
                [
                    Diagnostic(
                        "PF8052",
                        f"another 'portafaas dev' runs this project and stage{where}",
                        hint="end it, or give this one another --stage",
                    )
                ],
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, url.encode())
        self._lock: int | None = lock

    def drop(self) -> None:
        """Let others have it."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(lock, 0)
            os.close(lock)
