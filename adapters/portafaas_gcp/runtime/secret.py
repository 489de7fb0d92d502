"""Secrets over Secret Manager's REST interface. Ships.

https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
"""

from __future__ import annotations


def latest(address: str) -> bytes:
    """Return the payload of a secret's latest version; *address* is ``projects/P/secrets/S``.

    Raises NotFound when it has no version that is enabled, and ResourceError for the rest.
    ``CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER``, as gcloud has it, names another endpoint.
    """
    from portafaas.runtime.resources import NotFound, ResourceError
    from portafaas_gcp.runtime import rest

    url = f"{rest.endpoint('secretmanager')}v1/{address}/versions/latest:access"
    status, document = rest.call("GET", url, f"read {address}")
    if status == 200:
        from binascii import a2b_base64

        try:
            # Protocol buffers' JSON leaves out what is empty.
            return a2b_base64(document["payload"].get("data", ""))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise ResourceError(f"cannot read {address}: the answer is no secret") from exc
    message, word = rest.reason(status, document)
    # A latest version that is disabled or destroyed is a failed precondition.
    if status == 404 or (status == 400 and word == "FAILED_PRECONDITION"):
        raise NotFound(f"cannot read {address}: {message}")
    raise rest.refusal(f"read {address}", status, document)
