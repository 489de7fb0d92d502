"""Secrets over Secret Manager's REST interface, with the standard library only. Ships.

A client library would be the largest thing in most packages.
https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
"""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds to wait for the metadata server, which is on the same machine, and for the service.
METADATA_TIMEOUT = 3.0
TIMEOUT = 10.0
#: Seconds before its end at which a token is replaced; the metadata server has a new one by then:
#: https://cloud.google.com/compute/docs/access/authenticate-workloads#applications
MARGIN = 225.0
#: Times that a call is made before it is given up.
ATTEMPTS = 2
_TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"

_lock = Lock()
_token: tuple[str, float] | None = None


def latest(address: str) -> bytes:
    """Return the payload of a secret's latest version; *address* is ``projects/P/secrets/S``.

    Raises NotFound when it has no version that is enabled, and ResourceError for the rest.
    ``CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER``, as gcloud has it, names another endpoint.
    """
    from portafaas.runtime.resources import NotFound, ResourceError

    url = f"{_endpoint()}v1/{address}/versions/latest:access"
    status, document = _authorized(url, address, refresh=False)
    if status == 401:  # revoked, or the clock is wrong
        status, document = _authorized(url, address, refresh=True)
    if status == 200:
        from binascii import a2b_base64

        try:
            # Protocol buffers' JSON leaves out what is empty.
            return a2b_base64(document["payload"].get("data", ""))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise ResourceError(f"cannot read {address}: the answer is no secret") from exc
    said = document.get("error")
    error: dict[str, Any] = said if isinstance(said, dict) else {}
    message = f"cannot read {address}: {error.get('message') or f'HTTP status {status}'}"
    # A latest version that is disabled or destroyed is a failed precondition.
    if status == 404 or (status == 400 and error.get("status") == "FAILED_PRECONDITION"):
        raise NotFound(message)
    raise ResourceError(message, retryable=status in (408, 429) or status >= 500)


def _endpoint() -> str:
    from os import environ

    found = environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER")
    if not found:
        universe = environ.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN") or "googleapis.com"
        found = f"https://secretmanager.{universe}/"
    return found if found.endswith("/") else f"{found}/"


def _authorized(url: str, address: str, refresh: bool) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token(refresh)}", "Accept": "application/json"}
    return _get(url, headers, TIMEOUT, f"read {address}")


def token(refresh: bool = False) -> str:
    """Return an access token of the function's account, from the metadata server or the last call.

    ``GCE_METADATA_HOST`` is honoured as Google's own libraries do. Raises ResourceError.
    """
    from time import monotonic

    from portafaas.runtime.resources import ResourceError

    global _token
    with _lock:
        now = monotonic()
        if _token is not None and not refresh and now < _token[1]:
            return _token[0]
        from os import environ

        host = environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        headers = {"Metadata-Flavor": "Google"}
        status, found = _get(f"http://{host}{_TOKEN}", headers, METADATA_TIMEOUT, "get a token")
        try:
            value, seconds = str(found["access_token"]), float(found["expires_in"])
        except (KeyError, TypeError, ValueError):
            raise ResourceError(
                f"cannot get a token: the metadata server answers with status {status}",
                retryable=status in (200, 429) or status >= 500,
            ) from None
        _token = (value, now + max(0.0, seconds - MARGIN))
        return value


def _get(
    url: str, headers: dict[str, str], timeout: float, what: str
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of the answer ({} if it is none).

    Repeats what the network or the server lost; raises a retryable ResourceError without an answer.
    """
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from json import loads

    from portafaas.runtime.resources import ResourceError

    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    attempt = 1
    while True:
        kind = HTTPSConnection if scheme == "https" else HTTPConnection
        connection = kind(host, timeout=timeout)
        try:
            connection.request("GET", f"/{path}", headers=headers)
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, HTTPException) as exc:
            if attempt < ATTEMPTS:
                attempt += 1
                continue
            reason = str(exc) or type(exc).__name__
            raise ResourceError(f"cannot {what}: {reason}", retryable=True) from exc
        finally:
            connection.close()
        if status >= 500 and attempt < ATTEMPTS:
            attempt += 1
            continue
        try:
            found = loads(body)
        except ValueError:
            found = {}
        return status, found if isinstance(found, dict) else {}
