"""Tokens of the app's managed identity, with the standard library only. Ships.

``azure-identity`` would bring ``msal`` and ``cryptography`` into every package. The endpoint of App
Service and Functions gives the tokens:
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference

Where there is no such endpoint, as on a developer's machine, ``azure-identity`` is asked, if it is
there.
"""

from __future__ import annotations

from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds to wait for the endpoint, which is on the same machine, and for a service.
IDENTITY_TIMEOUT = 5.0
TIMEOUT = 10.0
#: Seconds before its end at which a token is replaced, as Azure's SDKs do.
MARGIN = 300
#: Times that a call is made before it is given up.
ATTEMPTS = 3

_lock = Lock()
_tokens: dict[str, Token] = {}
#: The DefaultAzureCredential of a machine that is no app's.
_person: list[Any] = []


class Token:
    """An access token as Azure's SDKs expect it: text and end (seconds of the epoch)."""

    __slots__ = ("expires_on", "refresh_on", "token", "token_type")

    def __init__(self, token: str, expires_on: int) -> None:
        self.token = token
        self.expires_on = expires_on
        self.refresh_on: int | None = None
        self.token_type = "Bearer"

    def __repr__(self) -> str:
        return f"<Token until {self.expires_on}>"


class Credential:
    """What Azure's SDKs take as a TokenCredential, in its old form and its new one.

    https://learn.microsoft.com/python/api/azure-core/azure.core.credentials.tokencredential
    """

    __slots__ = ()

    def get_token(self, *scopes: str, **options: Any) -> Token:
        """Return a token for the one *scope*, ``<resource>/.default``; raises ResourceError."""
        [scope] = scopes
        return token(scope[: -len("/.default")] if scope.endswith("/.default") else scope)

    def get_token_info(self, *scopes: str, options: Any = None) -> Token:
        """As ``get_token``."""
        return self.get_token(*scopes)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Credential:
        return self

    def __exit__(self, *exc: Any) -> None:
        return None


def credential() -> Any:
    """Return a Credential, without a type: Azure's own are named tuples of their package."""
    return Credential()


def token(resource: str, refresh: bool = False) -> Token:
    """Return a token for *resource*, the one of the last call unless it ends soon or *refresh*.

    Raises ResourceError, retryable when the endpoint does not answer or has a fault of its own.
    """
    from os import environ
    from time import time

    from portafaas.runtime.resources import ResourceError
    from portafaas.runtime.text import percent_encode

    with _lock:
        now = time()
        found = _tokens.get(resource)
        if found is not None and not refresh and now < found.expires_on - MARGIN:
            return found
        endpoint, header = environ.get("IDENTITY_ENDPOINT"), environ.get("IDENTITY_HEADER")
        if not endpoint or not header:
            made = _of_person(resource)
            if made is None:
                raise ResourceError(
                    "cannot get a token: the app has no managed identity (IDENTITY_ENDPOINT and "
                    "IDENTITY_HEADER are not set), and azure-identity is not installed"
                )
            _tokens[resource] = made
            return made
        query = f"api-version=2019-08-01&resource={percent_encode(resource)}"
        client = environ.get("AZURE_CLIENT_ID")
        if client:
            query += f"&client_id={percent_encode(client)}"
        url = f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"
        usable = found is not None and not refresh and now < found.expires_on
        try:
            status, answer = get(
                url, {"X-IDENTITY-HEADER": header}, IDENTITY_TIMEOUT, "get a token"
            )
        except ResourceError:
            if found is not None and usable:
                return found
            raise
        try:
            made = Token(str(answer["access_token"]), int(answer["expires_on"]))
        except (KeyError, TypeError, ValueError):
            if found is not None and usable:
                return found
            said = answer.get("message") or answer.get("error_description") or "no reason given"
            raise ResourceError(
                f"cannot get a token for {resource}: the identity endpoint answers with status "
                f"{status}: {said}",
                retryable=status in (200, 408, 429) or status >= 500,
            ) from None
        _tokens[resource] = made
        return made


def _of_person(resource: str) -> Token | None:
    """Return a token of who is signed in on this machine; None without ``azure-identity``.

    https://learn.microsoft.com/python/api/azure-identity/azure.identity.defaultazurecredential
    """
    from portafaas.runtime.resources import ResourceError

    try:
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import DefaultAzureCredential
    except ImportError:
        return None
    if not _person:
        _person.append(DefaultAzureCredential())
    try:
        found = _person[0].get_token(f"{resource}/.default")
    except ClientAuthenticationError as exc:
        raise ResourceError(f"cannot get a token for {resource}: {exc.message}") from exc
    return Token(found.token, int(found.expires_on))


def get(
    url: str, headers: dict[str, str], timeout: float, what: str
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of the answer ({} if it is none).

    Repeats what the network or the server lost; raises a retryable ResourceError without an answer.
    """
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from json import loads
    from time import sleep

    from portafaas.runtime.resources import ResourceError

    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    attempt = 1
    while True:
        kind = HTTPSConnection if scheme == "https" else HTTPConnection
        connection = kind(host, timeout=timeout)
        try:
            connection.request("GET", f"/{path}", headers={"Accept": "application/json", **headers})
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, HTTPException) as exc:
            if attempt == ATTEMPTS:
                reason = str(exc) or type(exc).__name__
                raise ResourceError(f"cannot {what}: {reason}", retryable=True) from exc
            status = 0
        finally:
            connection.close()
        if attempt < ATTEMPTS and (status in (0, 408, 429) or status >= 500):
            sleep(0.1 * 4 ** (attempt - 1))
            attempt += 1
            continue
        try:
            found = loads(body)
        except ValueError:
            found = {}
        return status, found if isinstance(found, dict) else {}
