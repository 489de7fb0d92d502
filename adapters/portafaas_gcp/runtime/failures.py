"""What Google's clients raise, as the errors that handlers know. Ships; imports at first use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.resources import ResourceError

#: Seconds that one call may take with all its repetitions.
PATIENCE = 30.0


def transient(exc: BaseException) -> bool:
    """Tell whether the same call may succeed later: https://cloud.google.com/apis/design/errors."""
    from google.api_core import exceptions
    from google.auth.exceptions import TransportError

    if isinstance(exc, exceptions.RetryError):
        return True
    if isinstance(exc, exceptions.GoogleAPICallError):
        return exc.code in (408, 429, 500, 502, 503, 504) or isinstance(exc, exceptions.Aborted)
    # No connection at all: requests' errors and the socket's own are OSErrors.
    return isinstance(exc, (TransportError, OSError))


def patient() -> Any:
    """Return a retry for calls that may be repeated, for as long as PATIENCE."""
    from google.api_core.retry import Retry

    return Retry(predicate=transient, initial=0.1, maximum=5.0, multiplier=2.0, timeout=PATIENCE)


def failure(exc: BaseException, what: str) -> ResourceError:
    """Return the error for *exc*, which is not there, in conflict, or something else.

    *what* says what was tried, such as ``read "a" of bucket b``.
    """
    from google.api_core import exceptions

    from portafaas.runtime.resources import Conflict, NotFound, ResourceError

    cause = exc.__cause__ if isinstance(exc, exceptions.RetryError) and exc.__cause__ else exc
    said = getattr(cause, "message", None) or str(cause) or type(cause).__name__
    message = f"cannot {what}: {said}"
    if isinstance(exc, exceptions.NotFound):
        return NotFound(message)
    if isinstance(exc, (exceptions.AlreadyExists, exceptions.PreconditionFailed)):
        return Conflict(message)
    return ResourceError(message, retryable=transient(exc))


def calling(what: str, call: Callable[[], Any]) -> Any:
    """Return what *call* does; raises a ResourceError for whatever goes wrong.

    What is in conflict or not there by the rules of tables is raised as it is.
    """
    from portafaas.runtime.resources import Conflict, NotFound

    try:
        return call()
    except (Conflict, NotFound):
        raise
    except Exception as exc:
        raise failure(exc, what) from exc
