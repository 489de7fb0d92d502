"""Secrets Manager over ``http.client`` with a signature of its own. Ships; no SDK on AWS.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from os import environ

from portafaas.runtime.resources import NotFound, ResourceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from http.client import HTTPConnection

_SERVICE = "secretsmanager"
_ATTEMPTS = 3
_SECONDS = 5.0


def get_secret(arn: str) -> bytes:
    """Return the current value of the secret *arn*, text as UTF-8.

    Raises NotFound when there is none, ResourceError with the service's code for other answers.
    Where no keys are in the environment, as with a profile on a developer's machine, boto3 is
    asked, if it is there.
    """
    if not environ.get("AWS_ACCESS_KEY_ID"):
        from importlib.util import find_spec

        if find_spec("boto3") is not None:
            return _through_sdk(arn)
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    parts = arn.split(":")
    if len(parts) > 3 and parts[0] == "arn" and parts[3]:
        region = parts[3]
    body = json.dumps({"SecretId": arn}).encode()
    answer = _ask(region, body)
    text = answer.get("SecretString")
    return a2b_base64(answer["SecretBinary"]) if text is None else text.encode()


def _through_sdk(arn: str) -> bytes:
    from portafaas_aws.runtime.calls import call, client

    known = {"ResourceNotFoundException": NotFound}
    answer = call(client("secretsmanager").get_secret_value, known, SecretId=arn)
    text: str | None = answer.get("SecretString")
    value: bytes = answer["SecretBinary"] if text is None else text.encode()
    return value


def _ask(region: str, body: bytes) -> dict[str, str]:
    from time import sleep

    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(0.1 * 2**attempt)
        try:
            status, content = _post(region, body)
        except OSError as exc:
            error = ResourceError(f"{type(exc).__name__}: {exc}", retryable=True)
            continue
        try:
            answer = json.loads(content)
        except ValueError:
            answer = {}
        if status == 200:
            return answer  # type: ignore[no-any-return]
        error = _error(status, answer)
        if not error.retryable:
            break
    raise error


def _error(status: int, answer: dict[str, str]) -> ResourceError:
    from portafaas_aws.runtime.calls import is_retryable

    code = str(answer.get("__type", f"HTTP {status}")).rpartition("#")[2]
    text = f"GetSecretValue: {code}: {answer.get('message') or answer.get('Message') or ''}"
    # Also the answer for a secret without a value.
    if code == "ResourceNotFoundException":
        return NotFound(text)
    return ResourceError(text, retryable=is_retryable(code, status))


def _post(region: str, body: bytes) -> tuple[int, bytes]:
    from http.client import HTTPException

    from portafaas_aws.runtime.sigv4 import sign

    secure, host = _endpoint(region)
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "Host": host,
        "X-Amz-Target": f"{_SERVICE}.GetSecretValue",
    }
    key, hidden = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not hidden:
        raise ResourceError("GetSecretValue: AWS_ACCESS_KEY_ID, or its secret key, is not set")
    token = environ.get("AWS_SESSION_TOKEN")
    signed = sign(headers, body, _now(), region, _SERVICE, key, hidden, token)
    connection = _connection(secure, host)
    try:
        connection.request("POST", "/", body, signed)
        response = connection.getresponse()
        return response.status, response.read()
    except HTTPException as exc:
        raise OSError(f"{type(exc).__name__}: {exc}") from exc
    finally:
        connection.close()


def _now() -> str:
    from time import gmtime, strftime

    return strftime("%Y%m%dT%H%M%SZ", gmtime())


def _endpoint(region: str) -> tuple[bool, str]:
    """Return whether to use TLS, and the host with its port.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    url = environ.get("AWS_ENDPOINT_URL_SECRETS_MANAGER") or environ.get("AWS_ENDPOINT_URL")
    if not url:
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return True, f"{_SERVICE}.{region}.{domain}"
    scheme, _, rest = url.partition("://")
    return scheme == "https", rest.partition("/")[0]


def _connection(secure: bool, host: str) -> HTTPConnection:
    import http.client

    if secure:
        return http.client.HTTPSConnection(host, timeout=_SECONDS)
    return http.client.HTTPConnection(host, timeout=_SECONDS)
