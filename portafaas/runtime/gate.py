"""Applies a route's ``auth`` to a request. Ships; loaded only by functions that ask for auth."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.runtime.http import Request, Response


def authenticate(auth: Mapping[str, Any], request: Request, context: Context) -> Response | None:
    """Set ``request.identity``, or return the 401, 403 or 500 that refuses the request."""
    import os

    from portafaas.runtime.auth import (
        AuthFailure,
        AuthMisconfigured,
        authenticate_jwt,
        authenticate_key,
    )
    from portafaas.runtime.serve import problem

    scheme = auth["scheme"]
    try:
        if scheme == "key":
            request.identity = authenticate_key(request.headers.get, auth["keys"], os.environ)
        elif scheme == "jwt":
            request.identity = authenticate_jwt(request.headers.get, auth, os.environ)
        else:
            # iam: the platform has verified the caller and the bridge filled in who it is; a
            # request without that mark came around the platform's gate.
            if request.identity is None:
                return problem(401, headers={"www-authenticate": "Bearer"})
            # A signature on one cloud, a token on another: the platform's, not the handler's.
            request.headers.drop("authorization")
    except AuthFailure as failure:
        context.logger.warning("request refused: %s", failure.reason)
        headers = {"www-authenticate": failure.challenge} if failure.challenge else None
        return problem(failure.status, headers=headers)
    except AuthMisconfigured as exc:
        context.logger.error("authentication is misconfigured: %s", exc)
        return problem(500)
    return None
