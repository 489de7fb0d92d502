"""What an adapter's vendor runtime must offer, and the shapes that go in and come out.

Requests are plain JSON values, so that one can be kept in a file and replayed:

* AWS: the Lambda event itself.
* Azure: ``{"trigger": data, "metadata": {name: data}}``, what the Functions host sends the worker.
  ``data`` is ``{"type": kind, "value": value}``; kinds are ``string``, ``json`` (the value itself,
  not its text), ``bytes`` (base64), ``int``, ``double``, ``collection_string``,
  ``collection_bytes`` (base64), ``collection_double``, ``collection_sint64``, and ``http`` with
  ``{"method", "url", "headers": {}, "params": {}, "query": {}, "body": base64 | None}``. Optional:
  ``"trace": {"parent": str, "state": str}`` and ``"retry": {"count": int, "max": int}``.
* GCP: ``{"method", "path", "headers": [[name, value]], "body": base64 | None}``; ``path`` includes
  the query string.

Values that come out:

* AWS: the JSON returned, or the error document of a failed invocation.
* Azure: ``{"status", "headers": [[name, value]], "cookies": [Set-Cookie], "body": base64}`` for
  HTTP, else ``{"type": kind, "value": value}`` as above, or None.
* GCP: ``{"status", "headers": [[name, value]], "body": base64}``, also of a failed invocation if
  there was a response. A status that the function chose is no failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from portafaas.errors import PortafaasError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

#: ``handler``: the function raised; ``init``: it could not be loaded; ``timeout``: it did not end
#: in time and was killed; ``exit``: its process ended.
ErrorKind = Literal["handler", "init", "timeout", "exit"]


class VendorRuntimeError(PortafaasError):
    """A vendor runtime could not be installed, started or addressed (PF60xx).

    PF6001: its packages cannot be installed. PF6002: no such Python. PF6003: a process cannot be
    started. PF6004: the request does not fit the session.
    """

    exit_code = 2

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code

    def __str__(self) -> str:
        """Render as ``PF6001: message``."""
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a vendor runtime needs installed: PEP 508 strings with exact versions.

    ``forced`` are pure-Python packages installed without their dependencies and as if the
    interpreter were ``forced_python``, because their Requires-Python excludes it.
    """

    pinned: tuple[str, ...]
    forced: tuple[str, ...] = ()
    forced_python: str = ""


@dataclass(frozen=True, slots=True)
class NativeError:
    """Why an invocation gave no proper result; ``type`` is the platform's or exception's name."""

    kind: ErrorKind
    type: str
    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True)
class NativeResult:
    """What the platform saw: see the module for ``value``.

    ``outputs`` holds Azure output bindings by name. ``logs`` is all that the process wrote from
    the sending of the request until this result.
    """

    ok: bool
    value: Any
    error: NativeError | None
    duration_ms: float
    logs: str
    outputs: Mapping[str, Any] = field(default_factory=dict)


class VendorSession(Protocol):
    """A running package. A context manager; ``close`` leaves no process, socket or file.

    A session survives whatever a handler does: after a timeout or an exit the next invocation
    starts cold. A package that cannot be loaded fails one invocation with an ``init`` error, and
    the next one tries again. Use a session from one thread at a time.
    """

    def invoke(
        self,
        request: Mapping[str, Any],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> NativeResult:
        """Deliver *request* and wait, at most *timeout* seconds (default: the session's).

        *function* picks one where a session serves several (Azure). Raises
        :class:`VendorRuntimeError` (PF6004) when the session does not serve it.
        """
        ...

    def invoke_many(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        function: str | None = None,
        timeout: float | None = None,
    ) -> tuple[NativeResult, ...]:
        """Deliver all *requests* without waiting in between; results in their order.

        AWS runs them one after another, as one execution environment does; GCP sends no more at a
        time than the setting ``concurrency``. *timeout* is for each of these, and for all of Azure.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return ``{"runtime", "version", "python"}`` and what the runtime says of the package.

        Azure adds ``"functions": {name: {"id", "bindings": [raw binding]}}``.
        """
        ...

    def close(self) -> None:
        """Kill the processes and free everything; may be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class VendorRuntime(Protocol):
    """Starts packages of one target inside the vendor's runtime."""

    def requirements(self, python: str) -> Requirements:
        """Return what to install for Python *python* (``3.11``)."""
        ...

    def start(
        self,
        package: Path,
        *,
        entry: str,
        function: str,
        python: Path,
        env: Mapping[str, str],
        timeout: float,
        memory: int,
        settings: Mapping[str, Any],
    ) -> VendorSession:
        """Start the unpacked *package* and wait until it is ready or has failed to load.

        *entry* is what the platform is told to call, *function* its deployed name. *python* is an
        interpreter that has :meth:`requirements`. *timeout* is in seconds, *memory* in MB.
        *settings* common to all: ``init_timeout`` in seconds. A package that cannot be loaded is
        no error here: the first invocation reports it.
        """
        ...
