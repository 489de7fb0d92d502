"""Cross-origin resource sharing, in the bridge so that it is the same everywhere. Ships.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.http import Request, Response


def _allowed_origin(cors: Mapping[str, Any], request: Request) -> str | None:
    origin = request.headers.get("origin")
    if origin is None:
        return None
    origins = cors["origins"]
    if "*" in origins:
        return origin if cors.get("credentials") else "*"
    return origin if origin in origins else None


def decorate(cors: Mapping[str, Any], request: Request, response: Response) -> None:
    """Add the response headers of an actual (not preflight) request."""
    headers = response.headers
    if "*" not in cors["origins"] or cors.get("credentials"):
        vary = headers.get("vary")
        headers["vary"] = f"{vary}, origin" if vary else "origin"
    origin = _allowed_origin(cors, request)
    if origin is None:
        return
    headers["access-control-allow-origin"] = origin
    if cors.get("credentials"):
        headers["access-control-allow-credentials"] = "true"
    if cors.get("expose"):
        headers["access-control-expose-headers"] = ", ".join(cors["expose"])


def preflight(cors: Mapping[str, Any], request: Request) -> Response:
    """Answer a preflight: 204, with permission when origin, method and headers are allowed."""
    from portafaas.runtime.http import Response

    response = Response(None, 204)
    wanted = request.headers.get("access-control-request-method", "")
    if _allowed_origin(cors, request) is None or wanted not in cors["methods"]:
        return response
    headers = response.headers
    headers["access-control-allow-methods"] = ", ".join(cors["methods"])
    asked = request.headers.get("access-control-request-headers")
    if asked:
        allowed = cors["headers"]
        if "*" in allowed:
            headers["access-control-allow-headers"] = asked
        elif allowed:
            headers["access-control-allow-headers"] = ", ".join(allowed)
    if cors.get("max_age") is not None:
        headers["access-control-max-age"] = str(cors["max_age"])
    return response
