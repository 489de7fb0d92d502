"""Tokens for routes with ``auth: jwt``, signed by a key that is made for the tests of a session.

No library: RFC 7515 (JWS), RFC 7518 (RS256, RS384, RS512, ES256), RFC 8017 section 8.2.1 and FIPS
186-5 section 6.4.1. For tests only: nothing here takes care of how long it takes.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256, sha384, sha512
from typing import Any

from portafaas.runtime.jws import DIGEST_INFO
from portafaas.runtime.p256 import GX, GY, N, P

_HASHES = {"RS256": sha256, "RS384": sha384, "RS512": sha512, "ES256": sha256}
_BITS = 2048
_PUBLIC = 65_537
_ID = "portafaas-test"


def jwks() -> str:
    """Return the key set that the tokens are good for, as JSON."""
    n, _ = _rsa()
    _, x, y = _ec()
    keys = [
        {"kty": "RSA", "kid": f"{_ID}-rsa", "n": _number(n), "e": _number(_PUBLIC)},
        {"kty": "EC", "crv": "P-256", "kid": f"{_ID}-ec", "x": _b64(x.to_bytes(32)),
         "y": _b64(y.to_bytes(32))},
    ]  # fmt: skip
    return json.dumps({"keys": keys})


def token(claims: Mapping[str, Any], algorithms: Sequence[str]) -> str:
    """Return a token with *claims*, signed with the first of *algorithms*."""
    algorithm = algorithms[0]
    kind = "ec" if algorithm == "ES256" else "rsa"
    head = {"alg": algorithm, "typ": "JWT", "kid": f"{_ID}-{kind}"}
    text = ".".join(
        _b64(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims)
    )
    digest = _HASHES[algorithm](text.encode()).digest()
    sign = _signed_ec(digest) if kind == "ec" else _signed_rsa(algorithm, digest)
    return f"{text}.{_b64(sign)}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _number(value: int) -> str:
    return _b64(value.to_bytes((value.bit_length() + 7) // 8))


def _signed_rsa(algorithm: str, digest: bytes) -> bytes:
    n, d = _rsa()
    size = _BITS // 8
    info = DIGEST_INFO[algorithm][1] + digest
    padded = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
    return pow(int.from_bytes(padded), d, n).to_bytes(size)


@cache
def _rsa() -> tuple[int, int]:
    """Return modulus and private exponent; takes a moment."""
    while True:
        p, q = _prime(_BITS // 2), _prime(_BITS // 2)
        order = (p - 1) * (q - 1)
        if p != q and order % _PUBLIC:
            return p * q, pow(_PUBLIC, -1, order)


def _prime(bits: int) -> int:
    small = [n for n in range(3, 2000, 2) if all(n % m for m in range(3, int(n**0.5) + 1, 2))]
    while True:
        # The two highest bits: a product has all its bits then.
        found = secrets.randbits(bits) | 3 << bits - 2 | 1
        if all(found % n for n in small) and _is_prime(found):
            return found


def _is_prime(n: int) -> bool:
    """Miller and Rabin's test, which errs once in 2 ** 20 times at the very most."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(10):
        x = pow(secrets.randbelow(n - 3) + 2, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


@cache
def _ec() -> tuple[int, int, int]:
    """Return the private key and the public point."""
    private = secrets.randbelow(N - 1) + 1
    point = _times(private)
    return private, *point


def _signed_ec(digest: bytes) -> bytes:
    private, _, _ = _ec()
    while True:
        k = secrets.randbelow(N - 1) + 1
        r = _times(k)[0] % N
        s = pow(k, -1, N) * (int.from_bytes(digest) + r * private) % N
        if r and s:
            return r.to_bytes(32) + s.to_bytes(32)


def _times(scalar: int) -> tuple[int, int]:
    """Return so many times the base point."""
    point: tuple[int, int] | None = None
    power: tuple[int, int] | None = (GX, GY)
    while scalar:
        if scalar & 1:
            point = _sum(point, power)
        power = _sum(power, power)
        scalar >>= 1
    assert point is not None
    return point


def _sum(a: tuple[int, int] | None, b: tuple[int, int] | None) -> tuple[int, int] | None:
    if a is None or b is None:
        return b if a is None else a
    (ax, ay), (bx, by) = a, b
    if ax == bx:
        if (ay + by) % P == 0:
            return None
        slope = (3 * ax * ax - 3) * pow(2 * ay, -1, P) % P
    else:
        slope = (by - ay) * pow(bx - ax, -1, P) % P
    x = (slope * slope - ax - bx) % P
    return x, (slope * (ax - x) - ay) % P
