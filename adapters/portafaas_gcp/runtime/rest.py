"""Google's REST interfaces with the standard library only, as the function's account. Ships.

Where a client library would be the largest thing in most packages: secrets, tasks, and what becomes
of a failed delivery. https://cloud.google.com/apis/docs/overview
"""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from portafaas.runtime.resources import ResourceError

#: Seconds to wait for the metadata server, which is on the same machine, and for a service.
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
#: Credentials of a machine that is not Google's.
_person: list[Any] = []


def endpoint(api: str) -> str:
    """Return the address of an API, with a slash at the end.

    ``CLOUDSDK_API_ENDPOINT_OVERRIDES_<API>``, as gcloud has it, names another one.
    """
    from os import environ

    found = environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api.upper()}")
    if not found:
        universe = environ.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN") or "googleapis.com"
        found = f"https://{api}.{universe}/"
    return found if found.endswith("/") else f"{found}/"


def call(
    method: str, url: str, what: str, body: Any = None, *, signed: bool = True, once: bool = False
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of the answer to a call; *body* is a JSON value.

    *once*: what may have been done is not repeated. Raises a retryable ResourceError when there is
    no answer.
    """
    from json import dumps

    content = None if body is None else dumps(body).encode("ascii")
    headers = {"Accept": "application/json"}
    if content is not None:
        headers["Content-Type"] = "application/json"
    most = 1 if once else ATTEMPTS
    if not signed:
        return exchange(method, url, headers, TIMEOUT, what, content, most)
    headers["Authorization"] = f"Bearer {token()}"
    paying = getattr(_person[0], "quota_project_id", None) if _person else None
    if paying:
        # A person's calls count against a project of theirs:
        # https://cloud.google.com/docs/quotas/quota-project
        headers["X-Goog-User-Project"] = paying
    status, document = exchange(method, url, headers, TIMEOUT, what, content, most)
    if status == 401:  # revoked, or the clock is wrong
        headers["Authorization"] = f"Bearer {token(refresh=True)}"
        status, document = exchange(method, url, headers, TIMEOUT, what, content, most)
    return status, document


def reason(status: int, document: dict[str, Any]) -> tuple[str, str]:
    """Return what an answer that is no success says, and Google's word for it, if any."""
    said = document.get("error")
    error: dict[str, Any] = said if isinstance(said, dict) else {}
    return str(error.get("message") or f"HTTP status {status}"), str(error.get("status", ""))


def refusal(what: str, status: int, document: dict[str, Any]) -> ResourceError:
    """Return the error for an answer that is no success; *what* was tried."""
    from portafaas.runtime.resources import ResourceError

    return ResourceError(
        f"cannot {what}: {reason(status, document)[0]}",
        retryable=status in (408, 429) or status >= 500,
    )


def token(refresh: bool = False) -> str:
    """Return an access token of the function's account, from the metadata server or the last call.

    ``GCE_METADATA_HOST`` is honoured as Google's own libraries do. Outside of Cloud Run, where
    neither is there, google-auth is asked, if it is there. Raises ResourceError.
    """
    from time import monotonic

    from portafaas.runtime.resources import ResourceError

    global _token
    with _lock:
        now = monotonic()
        if _token is not None and not refresh and now < _token[1]:
            return _token[0]
        from os import environ

        host = environ.get("GCE_METADATA_HOST")
        # https://cloud.google.com/run/docs/container-contract#services-env-vars
        if not host and "K_SERVICE" not in environ:
            own = _of_person(refresh)
            if own:
                # The library knows for itself how long it is good.
                return own
        host = host or "metadata.google.internal"
        headers = {"Metadata-Flavor": "Google"}
        url = f"http://{host}{_TOKEN}"
        status, found = exchange("GET", url, headers, METADATA_TIMEOUT, "get a token")
        try:
            value, seconds = str(found["access_token"]), float(found["expires_in"])
        except (KeyError, TypeError, ValueError):
            raise ResourceError(
                f"cannot get a token: the metadata server answers with status {status}",
                retryable=status in (200, 429) or status >= 500,
            ) from None
        _token = (value, now + max(0.0, seconds - MARGIN))
        return value


def _of_person(refresh: bool) -> str:
    """Return a token of who is signed in on this machine; "" where google-auth is not installed.

    https://cloud.google.com/docs/authentication/application-default-credentials
    """
    from portafaas.runtime.resources import ResourceError

    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
    except ImportError:
        return ""
    try:
        if not _person:
            scope = "https://www.googleapis.com/auth/cloud-platform"
            _person.append(google.auth.default(scopes=[scope])[0])
        if refresh or not _person[0].valid:
            _person[0].refresh(Request())
    except GoogleAuthError as exc:
        raise ResourceError(
            f"cannot get a token: {exc}", retryable=bool(getattr(exc, "retryable", False))
        ) from exc
    return str(_person[0].token)


def exchange(
    method: str,
    url: str,
    headers: dict[str, str],
    timeout: float,
    what: str,
    content: bytes | None = None,
    most: int = ATTEMPTS,
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of the answer ({} if it is none).

    Tries *most* times when the network or the server has lost it; raises a retryable ResourceError
    without an answer.
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
            connection.request(method, f"/{path}", content, headers)
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, HTTPException) as exc:
            if attempt < most:
                attempt += 1
                continue
            text = str(exc) or type(exc).__name__
            raise ResourceError(f"cannot {what}: {text}", retryable=True) from exc
        finally:
            connection.close()
        if status >= 500 and attempt < most:
            attempt += 1
            continue
        try:
            found = loads(body)
        except ValueError:
            found = {}
        return status, found if isinstance(found, dict) else {}
