"""Every deliberate error of portafaas, and the diagnostic that carries its facts.

Library code raises these with facts only; ``portafaas.cli`` turns them into text, an exit code and
advice. Anything that is not a :class:`PortafaasError` is a bug and keeps its traceback.

Code ranges: PF10 manifest syntax and shape, PF20 plan (references, handlers, sources), PF30
capabilities and limits of a target, PF40 adapters, PF50 packages, PF51 dependencies, PF52
bytecode, PF53 import check, PF60 vendor runtimes, PF70 invocation, PF80 deployment.
``docs/diagnostics.md`` has all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Diagnostic:
    """One problem: what is wrong, where, and what to do about it.

    ``code`` is stable (``PF1001``); ``path`` is a JSON path into the manifest
    (``$.functions.a.trigger``); ``line`` and ``column`` count from 1; ``severity`` is ``error``,
    ``warning`` or ``note``, and only errors stop a build.
    """

    __slots__ = ("code", "column", "file", "hint", "line", "message", "path", "severity")

    def __init__(
        self,
        code: str,
        message: str,
        *,
        path: str | None = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
        severity: str = "error",
    ) -> None:
        self.code = code
        self.message = message
        self.path = path
        self.file = file
        self.line = line
        self.column = column
        self.hint = hint
        self.severity = severity

    def __str__(self) -> str:
        """Render as ``file:line:column: PF1001 $.path: message``."""
        where = ""
        if self.file is not None:
            where = self.file
            if self.line is not None:
                where += f":{self.line}"
                if self.column is not None:
                    where += f":{self.column}"
            where += ": "
        path = f" {self.path}" if self.path else ""
        text = f"{where}{self.code}{path}: {self.message}"
        return f"{text}; {self.hint}" if self.hint else text

    def __repr__(self) -> str:
        return (
            f"Diagnostic({self.code!r}, {self.message!r}, path={self.path!r}, line={self.line!r})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Diagnostic) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.code, self.message, self.path, self.file, self.line, self.column))

    def as_dict(self) -> dict[str, object]:
        """Return the set fields as a JSON-ready dict."""
        fields = ((name, getattr(self, name)) for name in sorted(self.__slots__))
        return {name: value for name, value in fields if value is not None}


class PortafaasError(Exception):
    """Root of every deliberate error.

    ``exit_code`` is what the command line exits with; ``code`` is set where no diagnostics are.
    """

    exit_code = 1
    code = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DiagnosticsError(PortafaasError):
    """Several problems of one stage, all at once."""

    exit_code = 2

    def __init__(self, summary: str, diagnostics: Iterable[Diagnostic]) -> None:
        super().__init__(summary)
        self.diagnostics: Sequence[Diagnostic] = tuple(diagnostics)

    def __str__(self) -> str:
        """List the summary and every diagnostic, one a line."""
        return "\n".join([self.message, *(f"  {d}" for d in self.diagnostics)])


class ManifestError(DiagnosticsError):
    """The manifest is not well-formed or does not fit its schema (PF10xx)."""


class PlanError(DiagnosticsError):
    """The manifest is well-formed but does not describe a buildable service (PF20xx)."""


class UnsupportedCapabilityError(DiagnosticsError):
    """A target lacks, or limits, something that the plan needs (PF30xx)."""


class AdapterError(DiagnosticsError):
    """An adapter refused its own options (PF40xx)."""


class ArtifactError(DiagnosticsError):
    """A package could not be made (PF50xx, PF52xx, PF53xx)."""


class DependencyError(DiagnosticsError):
    """Dependencies could not be resolved or installed for the target (PF51xx)."""


class DeploymentError(DiagnosticsError):
    """The platform or its engine refused or failed (PF80xx); the summary says what is left."""

    exit_code = 1


class MachineError(PortafaasError):
    """This machine takes no more: the disk is full, a folder is read-only."""

    code = "PF6005"


class AdapterNotFoundError(PortafaasError):
    """No installed distribution offers the target."""

    exit_code = 2
    code = "PF4002"

    def __init__(self, target: str, installed: Iterable[str]) -> None:
        installed = sorted(installed)
        names = ", ".join(installed) or "none"
        super().__init__(
            f"no adapter for target {target!r}; installed: {names}",
            hint=guess(target.lower(), installed) or f"try: pip install portafaas-{target}",
        )
        self.target = target


class AdapterLoadError(PortafaasError):
    """An adapter is installed but cannot be used."""

    code = "PF4003"


class InvocationError(PortafaasError):
    """PF7001: an unreadable event. PF7002: no such function. PF7003: its process ended."""

    code = "PF7001"

    def __init__(
        self, message: str, *, hint: str | None = None, code: str = "PF7001", exit_code: int = 2
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.exit_code = exit_code


def nearest(value: str, allowed: Iterable[str]) -> str | None:
    """Return the entry of *allowed* that *value* was probably meant to be, or None."""
    import difflib

    found = difflib.get_close_matches(value, list(allowed), n=1, cutoff=0.6)
    return found[0] if found else None


def guess(value: str, allowed: Iterable[str]) -> str | None:
    """Return the hint ``did you mean 'x'?`` for a near miss, else None."""
    near = nearest(value, allowed)
    return f"did you mean {near!r}?" if near else None
