"""HTTP authentication: who calls, from an API key or a JSON Web Token. Ships; stdlib only.

Rules A-1 to A-29 of ``docs/spec/http-auth.md``. Both functions return an :class:`Identity`, raise
:class:`AuthFailure` with the answer for the caller, or :class:`AuthMisconfigured` when the
deployment itself is at fault: nothing is let through in doubt.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, NoReturn

#: Seconds by which the clocks of issuer and instance may differ.
LEEWAY = 60
#: Longest API key, in characters.
MAX_KEY = 512
#: Environment variable with a key set, inline JSON or a URL, that replaces the manifest's.
JWKS_VARIABLE = "PORTAFAAS_JWKS"

_KEY_CHALLENGE = 'ApiKey header="x-api-key"'
# NumericDate (RFC 7519 section 2) that no clock reaches, but float and int still handle exactly.
_MAX_DATE = 1 << 53


class Identity:
    """Who calls.

    Attributes:
        subject: name of the API key, the token's ``sub``, or the platform's name of the caller.
        claims: the token's claims; empty for a key.
        scopes: the token's scopes (tuple of str); empty for a key.
        scheme: ``key``, ``jwt`` or ``iam``.
    """

    __slots__ = ("claims", "scheme", "scopes", "subject")

    def __init__(
        self, subject: str, claims: Mapping[str, Any], scopes: tuple[str, ...], scheme: str
    ) -> None:
        self.subject = subject
        self.claims = claims
        self.scopes = scopes
        self.scheme = scheme

    def __repr__(self) -> str:
        return f"<Identity {self.subject!r} ({self.scheme})>"


class AuthFailure(Exception):
    """The request is refused.

    ``status`` is 401, 403 or 503; ``reason`` is for the log and quotes nothing of the request;
    ``challenge`` is the ``www-authenticate`` value, or None for 503.
    """

    def __init__(self, status: int, reason: str, challenge: str | None = None) -> None:
        super().__init__(status, reason, challenge)
        self.status = status
        self.reason = reason
        self.challenge = challenge

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


class AuthMisconfigured(Exception):
    """The deployment cannot authenticate anybody; answered with 500, the message only logged."""


_digests: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}


def authenticate_key(
    get_header: Callable[[str], str | None], variable_name: str, environ: Mapping[str, str]
) -> Identity:
    """Identify the caller by the ``x-api-key`` header.

    ``environ[variable_name]`` holds ``name=digest`` entries, separated by commas or white space;
    a digest is the SHA-256 of a key's UTF-8 bytes in hex. Raises :class:`AuthFailure` 401 and
    :class:`AuthMisconfigured`.
    """
    value = environ.get(variable_name, "")
    # Before the caller's key: a deployment without keys must say 500 to everyone.
    known = _digests.get((variable_name, value))
    if known is None:
        known = parse_digests(variable_name, value)
        _digests.clear()
        _digests[variable_name, value] = known
    key = get_header("x-api-key")
    if not key:
        raise AuthFailure(401, "no x-api-key header", _KEY_CHALLENGE)
    if len(key) > MAX_KEY:
        raise AuthFailure(401, "the key is too long", _KEY_CHALLENGE)
    import hashlib
    from hmac import compare_digest

    given = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    subject = None
    # All of them, each in constant time: neither content nor position of the match shows.
    for name, digest in known:
        if compare_digest(digest, given):
            subject = name
    if subject is None:
        raise AuthFailure(401, "the key is not known", _KEY_CHALLENGE)
    return Identity(subject, {}, (), "key")


def parse_digests(variable: str, value: str) -> tuple[tuple[str, str], ...]:
    """Return (name, SHA-256 in hex) of each key of *variable*; raises AuthMisconfigured."""
    found: dict[str, str] = {}
    for index, entry in enumerate(value.replace(",", " ").split(), 1):
        name, _, digest = entry.partition("=")
        digest = digest.lower()
        if not name or len(digest) != 64 or digest.strip("0123456789abcdef"):
            # The entry may be a key in clear text: its number is all that is told.
            raise AuthMisconfigured(f"entry {index} of {variable} is not name=<SHA-256 in hex>")
        if found.setdefault(digest, name) != name:
            raise AuthMisconfigured(f"entry {index} of {variable} repeats another name's digest")
    if not found:
        raise AuthMisconfigured(f"{variable} is not set")
    return tuple((name, digest) for digest, name in found.items())


def authenticate_jwt(
    get_header: Callable[[str], str | None],
    auth_spec: Mapping[str, Any],
    environ: Mapping[str, str],
) -> Identity:
    """Identify the caller by the bearer token in ``authorization`` (RFC 6750 section 2.1).

    *auth_spec* is the trigger's ``auth``: ``issuer``, ``audience`` (list), and optionally
    ``scopes``, ``algorithms`` and ``jwks``. Raises :class:`AuthFailure` 401 (no token, or not a
    valid one), 403 (scopes are missing), 503 (no key set to be had), and
    :class:`AuthMisconfigured`.
    """
    from portafaas.runtime.jwks import BadSource, Unavailable, key_set
    from portafaas.runtime.jws import ALGORITHMS, Malformed, Token, json_object

    issuer, audience = auth_spec.get("issuer"), auth_spec.get("audience")
    algorithms = auth_spec.get("algorithms") or ("RS256",)
    if not issuer or not audience or isinstance(audience, str):
        raise AuthMisconfigured("issuer and audience must be given")
    if any(algorithm not in ALGORITHMS for algorithm in algorithms):
        raise AuthMisconfigured("an algorithm is not supported")
    text = _bearer(get_header("authorization"))
    try:
        token = Token(text, algorithms)
    except Malformed as exc:
        _invalid(str(exc))
    try:
        keys = key_set(issuer, auth_spec.get("jwks"), environ.get(JWKS_VARIABLE))
        candidates = keys.candidates(token.kid, token.algorithm)
    except Unavailable as exc:
        raise AuthFailure(503, str(exc)) from exc
    except BadSource as exc:
        raise AuthMisconfigured(str(exc)) from exc
    if not candidates:
        _invalid("no key of the issuer fits the token")
    if not any(key.verify(token) for key in candidates):
        _invalid("the signature is wrong")
    try:
        claims = json_object(token.payload)
    except Malformed as exc:
        _invalid(f"the claims are malformed: {exc}")
    _check_claims(claims, issuer, audience)
    scopes = _scopes(claims)
    required = auth_spec.get("scopes") or ()
    if any(scope not in scopes for scope in required):
        _check_scope_names(required)
        raise AuthFailure(
            403,
            "the token lacks a scope",
            f'Bearer error="insufficient_scope", scope="{" ".join(required)}"',
        )
    return Identity(claims["sub"], claims, scopes, "jwt")


def _invalid(reason: str, description: str = "") -> NoReturn:
    told = f', error_description="{description}"' if description else ""
    raise AuthFailure(401, reason, f'Bearer error="invalid_token"{told}')


def _bearer(header: str | None) -> str:
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        # RFC 6750 section 3: no error code when the request brought no token at all.
        raise AuthFailure(401, "no bearer token", "Bearer")
    return token.strip(" ")


def _check_claims(claims: Mapping[str, Any], issuer: str, audience: Iterable[str]) -> None:
    # RFC 7519 section 4.1; the order only decides which reason is logged.
    if claims.get("iss") != issuer:
        _invalid("the token is from another issuer")
    for_whom = claims.get("aud")
    if isinstance(for_whom, str):
        for_whom = [for_whom]
    if not isinstance(for_whom, list) or not any(
        isinstance(name, str) and name in audience for name in for_whom
    ):
        _invalid("the token is for another audience")
    from time import time

    now = time()
    expires = _date(claims, "exp")
    if expires is None:
        _invalid("the token has no exp")
    if now >= expires + LEEWAY:
        _invalid("the token has expired", "the token has expired")
    for name in ("nbf", "iat"):
        since = _date(claims, name)
        if since is not None and since > now + LEEWAY:
            _invalid(f"{name} is in the future")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        _invalid("the token has no sub")


def _date(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    # type(), not isinstance: true is an int. The comparison also refuses an infinity.
    if (type(value) is not int and type(value) is not float) or not 0 <= value < _MAX_DATE:
        _invalid(f"{name} is not a date")
    return value


def _scopes(claims: Mapping[str, Any]) -> tuple[str, ...]:
    value = claims.get("scope", claims.get("scp", ""))
    if isinstance(value, str):
        return tuple(scope for scope in value.split(" ") if scope)
    if isinstance(value, list) and all(isinstance(scope, str) for scope in value):
        return tuple(value)
    _invalid("the scopes are malformed")


def _check_scope_names(scopes: Iterable[str]) -> None:
    # RFC 6749 section 3.3; anything else would break out of the challenge's quotes.
    for scope in scopes:
        if not scope or any(not "!" <= char <= "~" or char in '"\\' for char in scope):
            raise AuthMisconfigured("a required scope is not a scope token")
