"""Clients of AWS services, one per instance and service, and their errors. Ships."""

from __future__ import annotations

from portafaas.runtime.resources import ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_clients: dict[str, Any] = {}
_guard: list[Any] = []

#: Codes with a status below 500 after which the same call may succeed, beside those that say
#: "Throttl", "SlowDown" or "Exceeded". https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_RETRYABLE = (
    "RequestTimeout",
    "RequestTimeoutException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "OperationAborted",
    "PriorRequestNotComplete",
)
_THROTTLED = ("Throttl", "SlowDown", "ThroughputExceeded", "RequestLimitExceeded")


def client(service: str) -> Any:
    """Return the instance's low-level client of *service*; it may be shared by threads.

    It asks the region, the credentials and the endpoint (``AWS_ENDPOINT_URL``) of the environment,
    gives up on a connection after 3 s and on silence after 20 s, and repeats twice at most.
    """
    found = _clients.get(service)
    if found is None:
        from threading import Lock

        _guard.append(Lock())
        # Making a client is not thread-safe; the first lock in the list is everyone's.
        with _guard[0]:
            found = _clients.get(service)
            if found is None:
                found = _clients[service] = _make(service)
    return found


def _make(service: str) -> Any:
    from os import environ

    from portafaas.runtime.resources import stand_in

    local = stand_in("aws") if service == "sqs" else None
    if local is not None:
        return local.client(service)
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=3,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": 3},
        tcp_keepalive=True,
        # Signed URLs are of version 2 otherwise, which not all regions take.
        signature_version="s3v4" if service == "s3" else None,
        user_agent_extra="portafaas",
    )
    return boto3.client(service, region_name=environ.get("AWS_REGION"), config=config)


def call(
    operation: Callable[..., Any],
    known: Mapping[str, type[ResourceError]] | None = None,
    /,
    **arguments: Any,
) -> Any:
    """Return the answer of *operation*; raises ResourceError, or what *known* has for the code."""
    try:
        return operation(**arguments)
    except Exception as exc:
        raise error_of(exc, known) from exc


def error_of(
    exc: Exception, known: Mapping[str, type[ResourceError]] | None = None
) -> Exception:
    """Return the ResourceError for what botocore raised; any other exception as it is."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,
        HTTPClientError,
        IncompleteReadError,
    )

    if isinstance(exc, ClientError):
        facts = exc.response.get("Error", {})
        code = str(facts.get("Code", ""))
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        kind = (known or {}).get(code, ResourceError)
        return kind(
            f"{exc.operation_name}: {code}: {facts.get('Message', '')}",
            retryable=is_retryable(code, status),
        )
    if isinstance(exc, BotoCoreError):
        passing = isinstance(exc, (ConnectionError, HTTPClientError, IncompleteReadError))
        return ResourceError(f"{type(exc).__name__}: {exc}", retryable=passing)
    return exc


def is_retryable(code: str, status: int) -> bool:
    """Tell whether the call that was answered with *code* and *status* may succeed later."""
    if status >= 500 or status == 429 or code in _RETRYABLE:
        return True
    return any(word in code for word in _THROTTLED)
