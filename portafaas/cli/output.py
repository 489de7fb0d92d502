"""What commands print: results to stdout, progress and problems to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import click

from portafaas.errors import Diagnostic, DiagnosticsError, PortafaasError
from portafaas.printable import UNSAFE
from portafaas.printable import plain as plain

#: What is left of control characters in texts of several lines.
LINES = "\t\n"
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def wants_json() -> bool:
    """Tell whether the running command was asked for ``--format json``."""
    from portafaas.cli.options import JSON

    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(JSON))


def json_text(value: Any, indent: int | None = None) -> str:
    """Return the JSON text of *value*, which a terminal only shows."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return UNSAFE.sub(
        lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text
    )


def print_json(value: Any) -> None:
    """Print *value* as JSON to stdout, indented for people when it is a terminal."""
    click.echo(json_text(value, 2))


def show(diagnostics: Iterable[Diagnostic], alike: int | None = None) -> None:
    """Print diagnostics to stderr, one a line; of notes with one code at most *alike*."""
    counts: dict[str, int] = {}
    for diagnostic in diagnostics:
        if diagnostic.severity == "note" and alike is not None:
            counts[diagnostic.code] = counts.get(diagnostic.code, 0) + 1
            if counts[diagnostic.code] > alike:
                continue
        _show(diagnostic.severity, str(diagnostic))
    for code, count in counts.items():
        if alike is not None and count > alike:
            _show("note", f"{code}: {count - alike} more of these; --format json has them all")


def _show(severity: str, text: str) -> None:
    label = click.style(f"{severity}:", fg=_COLOURS[severity], bold=True)
    click.echo(f"{label} {text}", err=True)


def fail(error: PortafaasError) -> NoReturn:
    """Print *error* as the command's format wants it, and exit with its status."""
    diagnostics = error.diagnostics if isinstance(error, DiagnosticsError) else ()
    if wants_json():
        document: dict[str, Any] = {
            "error": type(error).__name__,
            "message": error.message,
            "diagnostics": [diagnostic.as_dict() for diagnostic in diagnostics],
        }
        if error.hint:
            document["hint"] = error.hint
        if error.code:
            document["code"] = error.code
        print_json(document)
    else:
        label = click.style("error:", fg="red", bold=True)
        text = f"{error.code}: {error.message}" if error.code else error.message
        click.echo(f"{label} {text}", err=True)
        for diagnostic in diagnostics:
            click.echo(f"  {plain(str(diagnostic), LINES)}", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
    raise SystemExit(error.exit_code)


def progress() -> Callable[[str], None]:
    """Return what reports progress: one line that is overwritten, and nothing when piped."""
    if not sys.stderr.isatty():
        return lambda text: None

    import shutil

    def report(text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{text[:width]}")
        sys.stderr.flush()

    return report


def clear() -> None:
    """Remove the progress line."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def size(count: int) -> str:
    """Return a number of bytes for people: ``1.2 MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
