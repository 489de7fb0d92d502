"""What Azure's clients raise, as the errors that handlers know. Ships; imports at first use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.resources import ResourceError

#: Errors of azure-servicebus, by name: nothing is imported to look at an error.
#: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-messaging-exceptions-latest
_LATER = frozenset(
    ("OperationTimeoutError", "ServiceBusCommunicationError", "ServiceBusConnectionError",
     "ServiceBusQuotaExceededError", "ServiceBusServerBusyError",
     # azure-core: there is no answer.
     "ServiceRequestError", "ServiceResponseError")
)  # fmt: skip
#: HTTP statuses after which the same call may succeed; 410 and 449 are Cosmos DB's:
#: https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb
_STATUSES = frozenset((408, 410, 429, 449, 500, 502, 503, 504))


def quiet() -> None:
    """Keep the clients' line for every request out of the log, unless somebody asked for it."""
    from logging import NOTSET, WARNING, getLogger

    for name in ("azure.core", "azure.cosmos", "azure.servicebus", "azure.storage"):
        logger = getLogger(name)
        if logger.level == NOTSET:
            logger.setLevel(WARNING)


def _ours(exc: BaseException) -> ResourceError | None:
    """Return the error that the credential raised inside of a client, if it is that."""
    from portafaas.runtime.resources import ResourceError

    found: BaseException | None = exc
    for _ in range(8):
        if found is None or isinstance(found, ResourceError):
            return found
        found = getattr(found, "inner_exception", None) or found.__cause__ or found.__context__
    return None


def failure(exc: BaseException, what: str) -> ResourceError:
    """Return the error for *exc*, which is not there, in conflict, or something else.

    *what* says what was tried, such as ``read "a" of bucket b``.
    """
    from portafaas.runtime.resources import Conflict, NotFound, ResourceError

    own = _ours(exc)
    if own is not None:
        return ResourceError(f"cannot {what}: {own}", retryable=own.retryable)
    said = getattr(exc, "message", None) or str(exc) or type(exc).__name__
    message = f"cannot {what}: {str(said).splitlines()[0]}"
    names = {kind.__name__ for kind in type(exc).__mro__}
    status = getattr(exc, "status_code", None)
    if status == 404 or "MessagingEntityNotFoundError" in names:
        return NotFound(message)
    if status in (409, 412):
        return Conflict(message)
    retryable = status in _STATUSES or not names.isdisjoint(_LATER)
    if not status and isinstance(exc, OSError):  # the socket's own
        retryable = True
    return ResourceError(message, retryable=retryable)


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
