"""What the runtime posts, and what Lambda makes of it. Build time only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from portafaas.vendor.contract import NativeError
from portafaas_aws.vendor_api import RESPONSE_LIMIT

#: The type of the error for a response beyond the limit.
TOO_LARGE = "Function.ResponseSizeTooLarge"


def status_text(status: int) -> str:
    """Return how Lambda words the end of a process; negative is a signal."""
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def read_error(kind: Any, document: Mapping[str, Any]) -> NativeError:
    """Return the error that the runtime posted as *document*."""
    stack = "".join(document.get("stackTrace") or ())
    return NativeError(
        kind, str(document.get("errorType", "")), str(document.get("errorMessage", "")), stack
    )


def error_document(failure: NativeError, request_id: str) -> dict[str, Any]:
    """Return the document with which Lambda answers a failure that the runtime did not report."""
    return {
        "errorMessage": failure.message,
        "errorType": failure.type,
        "requestId": request_id,
        "stackTrace": failure.stack.splitlines(),
    }


def read_reply(kind: str, body: bytes) -> tuple[NativeError | None, Any]:
    """Return the error, if any, and the JSON value of what the runtime posted."""
    if kind == "response" and len(body) > RESPONSE_LIMIT:
        text = (
            f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
        )
        return NativeError("handler", TOO_LARGE, text), None
    try:
        document = json.loads(body) if body else None
    except ValueError:
        # A handler may return bytes, which the runtime passes on as they are.
        return NativeError("handler", "InvalidResponse", "the response is not JSON"), None
    if kind == "response":
        return None, document
    return read_error("handler", document or {}), document
