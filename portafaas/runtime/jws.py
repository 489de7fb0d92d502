"""Verifies JSON Web Signatures with the standard library only. Ships.

RFC 7515 (JWS, compact form), RFC 7517 (JWK), RFC 7518 sections 3.3, 3.4 and 6 (RS256, RS384,
RS512, ES256) and RFC 8017 section 8.2.2 (RSASSA-PKCS1-v1_5); ECDSA is in ``p256``.
Only public keys and signatures pass through here, so nothing needs to run in constant time.
"""

from __future__ import annotations

from binascii import Error as _BinasciiError
from binascii import a2b_base64, b2a_base64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

#: Longest compact token that is looked at, in characters.
MAX_TOKEN = 16_384
#: RSA moduli in bits: NIST SP 800-131A forbids less, and pow() of more costs too much.
MIN_RSA, MAX_RSA = 2048, 8192
#: Values of the ``typ`` header that an access or ID token has (RFC 7519 5.1, RFC 9068 2.1); any
#: other says that the token was made for something else (RFC 8725 section 3.11).
_TYPES = ("jwt", "application/jwt", "at+jwt", "application/at+jwt")

#: DER of DigestInfo up to the digest: RFC 8017 section 9.2, note 1.
DIGEST_INFO = {
    "RS256": ("sha256", bytes.fromhex("3031300d060960864801650304020105000420")),
    "RS384": ("sha384", bytes.fromhex("3041300d060960864801650304020205000430")),
    "RS512": ("sha512", bytes.fromhex("3051300d060960864801650304020305000440")),
}
#: Type of key that each supported algorithm takes; there is no other algorithm.
ALGORITHMS = {"RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "ES256": "EC"}

_B64 = bytes.maketrans(b"-_", b"+/")
_URL = bytes.maketrans(b"+/", b"-_")


class Malformed(ValueError):
    """Not a well-formed token or key; the message is fit for a log and quotes nothing."""


def b64url(text: str) -> bytes:
    """Decode base64url without padding; raises :class:`Malformed` for any other spelling."""
    try:
        raw = text.encode("ascii")
        out = a2b_base64(raw.translate(_B64) + b"==="[: -len(raw) % 4])
    except (_BinasciiError, ValueError):
        raise Malformed("not base64url") from None
    # a2b_base64 skips foreign characters and ignores left-over bits: one value, one spelling.
    if b2a_base64(out, newline=False).rstrip(b"=").translate(_URL) != raw:
        raise Malformed("not canonical base64url")
    return out


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a name occurs twice")
    return found


def _no_constant(name: str) -> Any:
    raise Malformed("not JSON")


def json_object(data: bytes) -> dict[str, Any]:
    """Parse UTF-8 JSON that must be an object with distinct names; raises :class:`Malformed`."""
    import json

    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as exc:
        raise exc if isinstance(exc, Malformed) else Malformed("not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return value


class Token:
    """A token taken apart, not yet verified: ``header``, ``payload`` bytes, what is signed."""

    __slots__ = ("algorithm", "header", "kid", "payload", "signature", "signed")

    def __init__(self, text: str, algorithms: Iterable[str]) -> None:
        """Split *text*; raises :class:`Malformed`, also for an algorithm not in *algorithms*."""
        if len(text) > MAX_TOKEN:
            raise Malformed("the token is too long")
        parts = text.split(".")
        if len(parts) != 3:
            raise Malformed("the token does not have three parts")
        self.header = header = json_object(b64url(parts[0]))
        algorithm = header.get("alg")
        # The list comes from the manifest and holds asymmetric algorithms only: "none" and HS256
        # cannot be in it, and the key's own type is checked against the algorithm once more.
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise Malformed("the algorithm is not supported")
        if algorithm not in algorithms:
            raise Malformed("the algorithm is not allowed")
        self.algorithm: str = algorithm
        # No extension is understood here, so none may be critical (RFC 7515 section 4.1.11);
        # b64 would change what is signed (RFC 7797). jwk, jku, x5c and x5u are never looked at.
        if "crit" in header or "b64" in header:
            raise Malformed("the token needs an extension")
        kind = header.get("typ")
        if kind is not None and (not isinstance(kind, str) or kind.lower() not in _TYPES):
            raise Malformed("the token is of another type")
        kid = header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise Malformed("kid is not a string")
        self.kid: str | None = kid
        self.payload = b64url(parts[1])
        self.signature = b64url(parts[2])
        self.signed = text[: len(parts[0]) + 1 + len(parts[1])].encode("ascii")


class Key:
    """A public key of a JWK set, checked once when it is loaded."""

    __slots__ = ("algorithm", "kid", "kind", "numbers")

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        """Load *jwk*; raises :class:`Malformed` when it must not verify signatures."""
        self.kind = jwk.get("kty")
        kid, algorithm = jwk.get("kid"), jwk.get("alg")
        if kid is not None and not isinstance(kid, str):
            raise Malformed("kid is not a string")
        self.kid: str | None = kid
        self.algorithm: str | None = algorithm
        if jwk.get("use", "sig") != "sig":
            raise Malformed("the key is not for signatures")
        operations = jwk.get("key_ops", ("verify",))
        if not isinstance(operations, (list, tuple)) or "verify" not in operations:
            raise Malformed("the key is not for verification")
        if "d" in jwk or "k" in jwk:
            raise Malformed("the key is not public")
        if algorithm is not None and ALGORITHMS.get(str(algorithm)) != self.kind:
            raise Malformed("the key's alg is not supported")
        #: (n, e) of an RSA key, (x, y) and a table of multiples of an EC key.
        self.numbers: tuple[Any, ...]
        if self.kind == "RSA":
            n, e = _number(jwk, "n"), _number(jwk, "e")
            if not MIN_RSA <= n.bit_length() <= MAX_RSA or not n & 1:
                raise Malformed(f"the modulus does not have {MIN_RSA} to {MAX_RSA} bits")
            if not 3 <= e < 1 << 32 or not e & 1:
                raise Malformed("the exponent is out of range")
            self.numbers = (n, e)
        elif self.kind == "EC":
            if jwk.get("crv") != "P-256":
                raise Malformed("the curve is not P-256")
            x, y = _number(jwk, "x", 32), _number(jwk, "y", 32)
            from portafaas.runtime.p256 import odd_multiples, on_curve

            if not on_curve(x, y):
                raise Malformed("the point is not on the curve")
            self.numbers = (x, y, odd_multiples(x, y))
        else:
            raise Malformed("the key type is not supported")

    def fits(self, algorithm: str) -> bool:
        """Tell whether tokens signed with *algorithm* may be verified with this key."""
        return ALGORITHMS.get(algorithm) == self.kind and self.algorithm in (None, algorithm)

    def verify(self, token: Token) -> bool:
        """Tell whether *token* was signed with this key."""
        if not self.fits(token.algorithm):
            return False
        if self.kind == "RSA":
            n, e = self.numbers
            return verify_rsa(n, e, token.algorithm, token.signed, token.signature)
        import hashlib

        from portafaas.runtime.p256 import verify

        digest = int.from_bytes(hashlib.sha256(token.signed).digest(), "big")
        return verify(self.numbers[2], digest, token.signature)


def _number(jwk: Mapping[str, Any], name: str, size: int | None = None) -> int:
    text = jwk.get(name)
    if not isinstance(text, str) or len(text) > 2 * MAX_RSA // 8:
        raise Malformed(f"{name} is missing")
    raw = b64url(text)
    if size is not None and len(raw) != size:
        raise Malformed(f"{name} does not have {size} bytes")
    return int.from_bytes(raw, "big")


def verify_rsa(n: int, e: int, algorithm: str, signed: bytes, signature: bytes) -> bool:
    """RSASSA-PKCS1-v1_5: build the one padded digest that is right and compare all of it.

    Parsing the padding instead is how forged signatures were accepted (CVE-2006-4339).
    """
    import hashlib

    size = (n.bit_length() + 7) // 8
    if len(signature) != size:
        return False
    number = int.from_bytes(signature, "big")
    if number >= n:
        return False
    name, prefix = DIGEST_INFO[algorithm]
    tail = prefix + hashlib.new(name, signed).digest()
    expected = b"\0\1" + b"\xff" * (size - 3 - len(tail)) + b"\0" + tail
    return pow(number, e, n).to_bytes(size, "big") == expected
