"""What AWS and its client library say, as diagnostics; never with a secret in them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from portafaas.errors import DeploymentError, Diagnostic

_ABSENT = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"})
_STALE = frozenset({
    "CredentialRetrievalError", "MetadataRetrievalError", "SSOError", "SSOTokenLoadError",
    "TokenRetrievalError", "UnauthorizedSSOTokenError", "LoginError", "LoginRefreshRequired",
})  # fmt: skip
_REFUSED = frozenset({
    "AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken",
    "ExpiredTokenException", "Forbidden", "403", "InvalidAccessKeyId", "InvalidClientTokenId",
    "InvalidToken", "RequestExpired", "SignatureDoesNotMatch", "TokenRefreshRequired",
    "UnauthorizedOperation", "UnrecognizedClientException",
})  # fmt: skip
_THROTTLED = frozenset({
    "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException",
    "SlowDown", "RequestThrottled", "PriorRequestNotComplete",
})  # fmt: skip
_FAULTS = frozenset({
    "500", "502", "503", "504", "InternalError", "InternalFailure", "InternalServerError",
    "ServiceUnavailable", "ServiceUnavailableException",
})  # fmt: skip
_QUOTA = frozenset({
    "LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException", "TooManyBuckets",
    "QuotaExceededException",
})  # fmt: skip
_NETWORK = frozenset({"HTTPClientError", "ConnectionError", "ResponseParserError"})
_BUSY = re.compile(r"is in (?:stack )?'?[A-Z_]+_IN_PROGRESS'?(?: state)?")
_TAKEN = re.compile(r"already exists|AlreadyExists|AlreadyOwned|EntityAlreadyExists", re.I)
_FULL = re.compile(
    r"limit exceeded|LimitExceeded|quota|maximum number of|TooMany(?!Requests)|exceeds? the limit",
    re.I,
)
_DENIED = re.compile(r"AccessDenied|access denied|not authorized to perform", re.I)


def code_of(exc: BaseException) -> str:
    """Return AWS's code of an error (``AccessDenied``), "" when it is not an answer of AWS."""
    response = getattr(exc, "response", None)
    if not isinstance(response, dict):
        return ""
    return str(response.get("Error", {}).get("Code", ""))


def text_of(exc: BaseException) -> str:
    """Return AWS's own words."""
    response = getattr(exc, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Message") or code_of(exc))
    return str(exc)


def transient(exc: BaseException) -> bool:
    """Return whether asking again may help: the network, too many questions, a fault of AWS."""
    code = code_of(exc)
    return code in _THROTTLED or code in _FAULTS or _unreachable(exc)


def _names(exc: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(exc).__mro__}


def _unreachable(exc: BaseException) -> bool:
    return _of_client(exc) and bool(_names(exc) & _NETWORK)


def _of_client(exc: BaseException) -> bool:
    return any(
        kind.__module__.partition(".")[0] in ("botocore", "boto3") for kind in type(exc).__mro__
    )


def diagnose(exc: BaseException, hidden: Iterable[str] = ()) -> Diagnostic | None:
    """Return the diagnostic of an error of the client library, None for any other exception.

    *hidden* are values that must not be shown, should AWS repeat them.
    """
    if not _of_client(exc):
        return None
    names, code, text = _names(exc), code_of(exc), masked(text_of(exc), hidden)
    if names & _ABSENT:
        return Diagnostic(
            "PF8001",
            f"no AWS credentials: {text}",
            hint="aws configure, aws sso login, or set AWS_PROFILE or AWS_ACCESS_KEY_ID",
        )
    if "NoRegionError" in names:
        return no_region()
    if names & _STALE or code in _REFUSED:
        operation = getattr(exc, "operation_name", "")
        asked = f" ({operation})" if operation else ""
        return Diagnostic(
            "PF8002",
            f"AWS refuses the credentials{asked}: {code or type(exc).__name__}: {text}",
            hint="sign in again (aws sso login), or see docs/deployment-aws.md for the permissions",
        )
    if _unreachable(exc):
        return Diagnostic("PF8012", f"AWS cannot be reached: {text}", hint="try again")
    if code in _THROTTLED:
        return Diagnostic("PF8012", f"AWS answers too many requests: {text}", hint="try again")
    if code in _QUOTA:
        return Diagnostic("PF8009", f"a quota of the account is used up: {text}")
    if _BUSY.search(text) or code == "OperationInProgressException":
        return Diagnostic(
            "PF8005", f"another deployment is under way: {text}", hint="portafaas status"
        )
    operation = getattr(exc, "operation_name", type(exc).__name__)
    said = f"{code}: {text}" if code and code != text else text
    return Diagnostic("PF8007", f"{operation}: {said}")


def no_region() -> Diagnostic:
    """Return the diagnostic of a missing region."""
    return Diagnostic(
        "PF8003", "no AWS region is set", hint="set AWS_REGION, or aws configure set region …"
    )


def of_resource(resource: str, type: str, reason: str, hidden: Iterable[str] = ()) -> Diagnostic:
    """Return the diagnostic of a resource that failed, by CloudFormation's own reason."""
    reason = masked(reason, hidden)
    code, hint = "PF8007", None
    if _TAKEN.search(reason):
        code = "PF8008"
    elif _FULL.search(reason):
        code = "PF8009"
    elif _DENIED.search(reason):
        hint = "CloudFormation acts with your permissions: see docs/deployment-aws.md"
    kind = f" ({type})" if type else ""
    return Diagnostic(code, f"{resource}{kind}: {reason}", hint=hint)


def masked(text: str, hidden: Iterable[str]) -> str:
    """Return *text* without the values that must not be shown."""
    for value in sorted(hidden, key=len, reverse=True):
        if value:
            text = text.replace(value, "****")
    return text


def fail(summary: str, code: str, message: str, hint: str | None = None) -> DeploymentError:
    """Return an error of one diagnostic."""
    return DeploymentError(summary, [Diagnostic(code, message, hint=hint)])
