"""AWS's signature, version 4, for requests with a body to ``/``. Ships.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "AWS4-HMAC-SHA256"


def sign(
    headers: Mapping[str, str],
    body: bytes,
    now: str,
    region: str,
    service: str,
    key: str,
    secret: str,
    token: str | None = None,
) -> dict[str, str]:
    """Return *headers*, which have ``Host``, with those that sign a POST of *body* to ``/``.

    *now* is the time in UTC, ``20261123T100000Z``; *key*, *secret* and *token* are credentials.
    """
    signed = {**headers, "X-Amz-Date": now}
    if token:
        signed["X-Amz-Security-Token"] = token
    # Names in order; runs of white space in a value count as one space.
    canonical = sorted((name.lower(), " ".join(value.split())) for name, value in signed.items())
    names = ";".join(name for name, _ in canonical)
    lines = "".join(f"{name}:{value}\n" for name, value in canonical)
    request = f"POST\n/\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
    scope = f"{now[:8]}/{region}/{service}/aws4_request"
    text = f"{_ALGORITHM}\n{now}\n{scope}\n{sha256(request.encode()).hexdigest()}"
    chain = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        chain = hmac.digest(chain, part.encode(), "sha256")
    signature = hmac.digest(chain, text.encode(), "sha256").hex()
    signed["Authorization"] = (
        f"{_ALGORITHM} Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed
