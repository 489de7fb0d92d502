"""Secrets over Key Vault's REST interface, with the standard library only. Ships.

https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = "7.4"


def latest(address: str) -> bytes:
    """Return the value of a secret's latest version; *address* is ``https://<vault>/secrets/<name>``.

    A vault keeps text, here in UTF-8. Raises NotFound when there is no such secret or it is
    disabled, as the template's shells are, and ResourceError for the rest.
    """
    from portafaas.runtime.resources import NotFound, ResourceError
    from portafaas_azure.runtime.identity import token

    audience = resource(address)
    status, document = _ask(address, token(audience).token)
    if status == 401:  # revoked, or the clock is wrong
        status, document = _ask(address, token(audience, refresh=True).token)
    if status == 200:
        value = document.get("value")
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        raise ResourceError(f"cannot read {address}: the answer is no secret")
    error = _object(document.get("error"))
    message = f"cannot read {address}: {error.get('message') or f'HTTP status {status}'}"
    # One that is disabled is forbidden, with this code inside.
    inner = _object(error.get("innererror")).get("code")
    if status == 404 or (status == 403 and inner == "SecretDisabled"):
        raise NotFound(message)
    raise ResourceError(message, retryable=status in (408, 429) or status >= 500)


def resource(address: str) -> str:
    """Return what tokens are for: ``https://vault.azure.net``, in other clouds their own name."""
    host = address.partition("://")[2].partition("/")[0]
    return f"https://{host.partition('.')[2]}"


def _ask(address: str, token: str) -> tuple[int, dict[str, Any]]:
    from portafaas_azure.runtime.identity import TIMEOUT, get

    url = f"{address}?api-version={VERSION}"
    return get(url, {"Authorization": f"Bearer {token}"}, TIMEOUT, f"read {address}")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
