"""Reads secrets, and keeps them for a while: ``context.secrets["payment-key"]``. Ships.

Values live in this process only: never in ``repr``, a record of the log or a message of an error.
"""

from __future__ import annotations

from threading import Lock
from time import monotonic

from portafaas.runtime.resources import Client, ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds for which a value is used without asking again.
MAX_AGE = 300.0
#: Seconds for which a value may still be used when asking again fails for now.
MAX_STALE = 3600.0
#: Characters from which on a value is taken out of log records; shorter ones are in too many words.
MIN_REDACTED = 8

_entries: dict[tuple[str, str], _Entry] = {}
_lock = Lock()
#: Texts that no record of the log may hold; ``portafaas.runtime.log`` looks here.
redacted: dict[str, None] = {}


class _Entry:
    """One secret of this process: its value, when it was fetched, and how the last try ended."""

    __slots__ = ("error", "failed", "fetched", "lock", "value")

    def __init__(self) -> None:
        self.lock = Lock()
        self.value: bytes | None = None
        self.fetched = 0.0
        self.error: ResourceError | None = None
        self.failed = 0.0


class Secret(Client):
    """One secret that the function may read."""

    __slots__ = ()

    kind = "secret"

    def get(self, max_age: float = MAX_AGE) -> str:
        """Return the value as text; see :meth:`get_bytes`.

        Raises ResourceError when it is not UTF-8.
        """
        try:
            return self.get_bytes(max_age).decode("utf-8")
        except UnicodeDecodeError:
            # Its traceback would show the value.
            pass
        raise ResourceError(f"{self!r} is not UTF-8 text: use get_bytes()")

    def get_bytes(self, max_age: float = MAX_AGE) -> bytes:
        """Return the value, fetched at most *max_age* seconds ago.

        Threads that ask at once wait for one of them to fetch it. When fetching fails for now, a
        value up to an hour old is returned and the failure logged. Raises NotFound when there is
        no value, ResourceError when it cannot be had.
        """
        self._check("read")
        driver, address = self._driver(), self._address()
        with _lock:
            entry = _entries.setdefault((driver.__name__, address), _Entry())
        asked = monotonic()
        with entry.lock:
            now = monotonic()
            if entry.value is not None and (
                now - entry.fetched < max_age or entry.fetched >= asked
            ):
                return entry.value
            if entry.error is not None and entry.failed >= asked:
                # Somebody else has just tried.
                return self._stale(entry, entry.error, now)
            try:
                value = driver.secret(address)
            except ResourceError as exc:
                entry.error, entry.failed = exc, monotonic()
                return self._stale(entry, exc, entry.failed)
            entry.value, entry.fetched, entry.error = value, monotonic(), None
            _redact(value)
            return bytes(value)

    def _stale(self, entry: _Entry, error: ResourceError, now: float) -> bytes:
        age = now - entry.fetched
        if entry.value is None or not error.retryable or age > MAX_STALE:
            raise error
        self._context.logger.warning(
            "secret %s could not be read again, its value of %d s ago is used: %s",
            self.name,
            age,
            error,
        )
        return entry.value


def _redact(value: Any) -> None:
    """Have the log leave *value* out, as text and as ``repr`` shows it."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = repr(value)[2:-1]
    # A key in PEM is often logged line by line.
    for form in (text, text.strip(), repr(text)[1:-1], *text.splitlines()):
        if len(form) >= MIN_REDACTED:
            redacted[form] = None


def forget() -> None:
    """Drop all values: for tests, and for a handler that knows that a secret has changed."""
    with _lock:
        _entries.clear()
