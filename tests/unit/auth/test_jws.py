"""Signatures and keys: ``jws`` and ``p256`` against the RFCs' examples and against cryptography."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.runtime import p256
from portafaas.runtime.jws import Key, Malformed, Token, b64url, json_object, verify_rsa

ALL = ("RS256", "RS384", "RS512", "ES256")
PAYLOAD = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
# https://www.rfc-editor.org/rfc/rfc7515#appendix-A.2
A2_KEY = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddx"
    "HmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs"
    "D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSH"
    "SXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV"
    "MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8"
    "NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}
A2_TOKEN = f"eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}." + (
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7"
    "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"
    "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K"
    "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"
    "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB"
    "p0igcN_IoypGlUPQGe77Rw"
)
# https://www.rfc-editor.org/rfc/rfc7515#appendix-A.3
A3_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
A3_TOKEN = f"eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}." + (
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
    "pmWQxfKTUJqPP3-Kg6NU1Q"
)
# https://www.rfc-editor.org/rfc/rfc7515#appendix-A.1 (HMAC) and A.5 (none)
A1_TOKEN = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
    f"{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
A5_TOKEN = f"eyJhbGciOiJub25lIn0.{PAYLOAD}."


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(("jwk", "text"), [(A2_KEY, A2_TOKEN), (A3_KEY, A3_TOKEN)])
def test_the_examples_of_rfc_7515_verify(jwk: dict[str, Any], text: str) -> None:
    token = Token(text, ALL)
    assert Key(jwk).verify(token)
    assert json_object(token.payload)["http://example.com/is_root"] is True


def test_the_examples_do_not_verify_with_each_other() -> None:
    assert not Key(A2_KEY).verify(Token(A3_TOKEN, ALL))
    assert not Key(A3_KEY).verify(Token(A2_TOKEN, ALL))


@pytest.mark.parametrize("text", [A1_TOKEN, A5_TOKEN])
def test_hmac_and_none_are_no_algorithms(text: str) -> None:
    for allowed in (ALL, ("HS256", "none")):
        with pytest.raises(Malformed, match="not supported"):
            Token(text, allowed)


@pytest.mark.parametrize("jwk", [A2_KEY, A3_KEY], ids=["RSA", "EC"])
def test_each_changed_bit_of_a_signature_is_noticed(jwk: dict[str, Any]) -> None:
    text = A2_TOKEN if jwk is A2_KEY else A3_TOKEN
    key, token = Key(jwk), Token(text, ALL)
    good = token.signature
    for position in range(0, len(good) * 8, 11):
        bad = bytearray(good)
        bad[position // 8] ^= 1 << position % 8
        token.signature = bytes(bad)
        assert not key.verify(token)


@pytest.mark.parametrize(
    "text", ["A", "AB=", "AA==", "AB", "AAB", "+w", "/w", "A A", "AA\n", "AA.", "\u00e4", "\udc80"]
)
def test_other_spellings_of_base64url_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        b64url(text)


@given(st.binary(max_size=70))
def test_base64url_decodes_what_the_standard_library_encodes(data: bytes) -> None:
    assert b64url(encode(data)) == data


@given(st.text(alphabet="ABab01-_+/= \n", max_size=12))
def test_base64url_has_one_spelling_of_each_value(text: str) -> None:
    try:
        data = b64url(text)
    except Malformed:
        return
    assert encode(data) == text


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"1",
        b'"a"',
        b"{",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1}x',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\xff"}',
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"1" * 10_000 + b"}",
    ],
)
def test_json_that_two_parsers_could_read_differently_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        json_object(text)


# --- RSA


def sign_number(key: rsa.RSAPrivateKey, block: bytes) -> bytes:
    """Apply the private key to a padded block of our own making."""
    numbers = key.private_numbers()
    n = numbers.public_numbers.n
    return pow(int.from_bytes(block, "big"), numbers.d, n).to_bytes(len(block), "big")


PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
DIGEST = hashlib.sha256(b"message").digest()


def padded(*, head: bytes = b"\0\1", fill: bytes = b"\xff", tail: bytes = PREFIX + DIGEST,
           size: int = 256, after: bytes = b"", zero: bytes = b"\0") -> bytes:  # fmt: skip
    count = size - len(head) - len(zero) - len(tail) - len(after)
    return head + fill * count + zero + tail + after


def test_a_good_block_verifies(issuer: Any) -> None:
    n = issuer.rsa.public_key().public_numbers().n
    assert verify_rsa(n, 65537, "RS256", b"message", sign_number(issuer.rsa, padded()))


@pytest.mark.parametrize(
    "block",
    [
        padded(head=b"\0\2"),
        padded(head=b"\0\0"),
        padded(fill=b"\xfe"),
        padded(fill=b"\0"),
        padded(zero=b"\1"),
        padded(zero=b""),
        # Short padding with room behind the digest: CVE-2006-4339 (Bleichenbacher).
        b"\0\1" + b"\xff" * 8 + b"\0" + PREFIX + DIGEST + b"\0" * 194,
        padded(after=b"\0"),
        # No NULL parameter: RFC 8017 section 9.2 note 1 allows it in old signatures only.
        padded(tail=bytes.fromhex("302f300b0609608648016503040201" + "0420") + DIGEST),
        # BER length in the long form.
        padded(tail=bytes.fromhex("308131300d060960864801650304020105000420") + DIGEST),
        # Bytes hidden in the parameters (BERserk, CVE-2014-1568).
        padded(tail=bytes.fromhex("3035301106096086480165030402010504616263640420") + DIGEST),
        # The digest alone, another digest, another digest's name.
        padded(tail=DIGEST),
        padded(tail=PREFIX + hashlib.sha256(b"other").digest()),
        padded(tail=bytes.fromhex("3021300906052b0e03021a05000414") + DIGEST[:20]),
        DIGEST.rjust(256, b"\0"),
    ],
)
def test_no_other_padding_verifies(issuer: Any, block: bytes) -> None:
    n = issuer.rsa.public_key().public_numbers().n
    assert len(block) == 256
    assert not verify_rsa(n, 65537, "RS256", b"message", sign_number(issuer.rsa, block))


def test_a_signature_has_exactly_the_size_of_the_modulus(issuer: Any) -> None:
    n = issuer.rsa.public_key().public_numbers().n
    good = sign_number(issuer.rsa, padded())
    above = int.from_bytes(good, "big") + n
    wrong = [b"", b"\0" * 256, b"\0" + good, good + b"\0", good[:-1], good[1:], b"\xff" * 256,
             (1).to_bytes(256, "big"), (n - 1).to_bytes(256, "big"), n.to_bytes(256, "big"),
             above.to_bytes(257, "big")]  # fmt: skip
    for signature in wrong:
        assert not verify_rsa(n, 65537, "RS256", b"message", signature)


def test_a_signature_is_below_the_modulus() -> None:
    """The same number plus n, which has room in 257 bytes beside a modulus of 2050 bits."""
    key = rsa.generate_private_key(65537, 2050)
    n = key.public_key().public_numbers().n
    good = key.sign(b"message", padding.PKCS1v15(), hashes.SHA256())
    above = (int.from_bytes(good, "big") + n).to_bytes(257, "big")
    assert verify_rsa(n, 65537, "RS256", b"message", good)
    assert not verify_rsa(n, 65537, "RS256", b"message", above)


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
@pytest.mark.parametrize("bits", [2048, 2056, 3072])
def test_rsa_agrees_with_cryptography(algorithm: str, bits: int) -> None:
    key = rsa.generate_private_key(65537, bits)
    digest = {"RS256": hashes.SHA256(), "RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
    n = key.public_key().public_numbers().n
    signature = key.sign(b"message", padding.PKCS1v15(), digest[algorithm])
    for other in digest:
        assert verify_rsa(n, 65537, other, b"message", signature) == (other == algorithm)
    assert not verify_rsa(n, 65537, algorithm, b"massage", signature)


# --- ECDSA


def multiples(key: ec.EllipticCurvePublicKey) -> list[tuple[int, int]]:
    numbers = key.public_numbers()
    return p256.odd_multiples(numbers.x, numbers.y)


def accepts(key: ec.EllipticCurvePublicKey, digest: bytes, r: int, s: int) -> bool:
    """What OpenSSL says."""
    try:
        key.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return False
    return True


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@given(st.integers(1, p256.N - 1), st.binary(min_size=32, max_size=32))
@settings(max_examples=60, deadline=None)
def test_ecdsa_agrees_with_cryptography(secret: int, digest: bytes) -> None:
    private = ec.derive_private_key(secret, ec.SECP256R1())
    key = private.public_key()
    r, s = decode_dss_signature(private.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
    table, number = multiples(key), int.from_bytes(digest, "big")
    assert p256.verify(table, number, raw(r, s))
    # Its mirror image is as good a signature; FIPS 186-5 asks for no low s.
    assert p256.verify(table, number, raw(r, p256.N - s))
    for bad in ((s, r), (r, s ^ 1), (r ^ 1, s), (p256.N - r, s)):
        assert p256.verify(table, number, raw(*bad)) == accepts(key, digest, *bad) is False
    assert not p256.verify(table, number ^ 1, raw(r, s))


# Values at which sloppy arithmetic goes wrong: Wycheproof's edge cases.
EDGES = [0, 1, 2, 3, p256.N - 1, p256.N, p256.N + 1, p256.P - 1, p256.P - p256.N, p256.P,
         2**256 - 1, 2**255, p256.N // 2, p256.N // 2 + 1]  # fmt: skip


@pytest.mark.parametrize("secret", [1, 2, 15, 16, p256.N - 1, p256.N - 2, p256.N // 2])
def test_edge_values_agree_with_cryptography(secret: int) -> None:
    key = ec.derive_private_key(secret, ec.SECP256R1()).public_key()
    table = multiples(key)
    for digest in (b"\0" * 32, b"\xff" * 32, (1).to_bytes(32, "big"), p256.N.to_bytes(32, "big")):
        for r in EDGES:
            for s in (1, 2, p256.N - 1, p256.N // 2, p256.N, 0):
                mine = p256.verify(table, int.from_bytes(digest, "big"), raw(r, s))
                assert mine == accepts(key, digest, r, s), (digest, r, s)


@pytest.mark.parametrize("secret", [1, 2, 3, 5, 7, p256.N - 1, p256.N - 3])
def test_sums_that_meet_the_same_or_the_opposite_point(secret: int) -> None:
    """u1*G and u2*Q are equal or opposite, where the addition formula alone would fail."""
    key = ec.derive_private_key(secret, ec.SECP256R1()).public_key()
    table = multiples(key)
    for u1, u2 in ((secret, 1), (2 * secret, 2), (p256.N - secret, 1), (secret * 9, 9), (0, 5),
                   (129, 128), (128, 128), (256, 257)):  # fmt: skip
        point = (u1 + u2 * secret) % p256.N
        # With r chosen freely, s and the digest follow from u1 and u2.
        r = (
            ec.derive_private_key(point, ec.SECP256R1()).public_key().public_numbers().x % p256.N
            if point
            else 12345
        )
        s = r * pow(u2, -1, p256.N) % p256.N
        digest = u1 * s % p256.N
        mine = p256.verify(table, digest, raw(r, s))
        assert mine == accepts(key, digest.to_bytes(32, "big"), r, s) == bool(point)


def test_the_x_coordinate_is_reduced_by_the_order() -> None:
    """An r below p - n may stand for an x of r + n."""
    for delta in range(200):
        x = p256.N + delta
        square = (x**3 - 3 * x + p256._B) % p256.P
        y = pow(square, (p256.P + 1) // 4, p256.P)
        if y * y % p256.P == square:
            break
    # Q = (R - u1*G) / u2 with u1 = 0 and u2 = 1: then Q is R itself, s = r, digest 0.
    assert p256.verify(p256.odd_multiples(x, y), 0, raw(delta, delta))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    assert accepts(key, b"\0" * 32, delta, delta)


@pytest.mark.parametrize("size", [0, 1, 63, 65, 70, 71, 72, 96])
def test_an_ecdsa_signature_has_64_bytes(issuer: Any, size: int) -> None:
    assert not p256.verify(multiples(issuer.ec.public_key()), 1, b"\1" * size)


def test_der_signatures_are_refused(issuer: Any) -> None:
    token = Token(issuer.token("ES256"), ALL)
    key = Key(issuer.keys[1])
    assert key.verify(token)
    token.signature = issuer.ec.sign(token.signed, ec.ECDSA(hashes.SHA256()))
    assert not key.verify(token)


# --- keys


def number(value: int, size: int = 32) -> str:
    return encode(value.to_bytes(size, "big"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "not public"),
        ({"kty": "OKP"}, "type"),
        ({"kty": None}, "type"),
        ({"kty": "rsa"}, "type"),
        ({"kid": 7}, "kid"),
        ({"use": "enc"}, "not for signatures"),
        ({"use": None}, "not for signatures"),
        ({"key_ops": ["sign"]}, "not for verification"),
        ({"key_ops": "verify"}, "not for verification"),
        ({"alg": "ES256"}, "alg"),
        ({"alg": "PS256"}, "alg"),
        ({"alg": "HS256"}, "alg"),
        ({"alg": "none"}, "alg"),
        ({"alg": 1}, "alg"),
        ({"d": "AQAB"}, "not public"),
        ({"n": None}, "n is missing"),
        ({"n": A2_KEY["n"] + "="}, "base64url"),
        ({"n": number(2**2046 + 1, 256)}, "bits"),
        ({"n": number(2**1023 + 1, 128)}, "bits"),
        ({"n": number(2**2047, 256)}, "bits"),
        ({"n": number(2**8192 + 1, 1025)}, "bits"),
        ({"n": "A" * 100_000}, "n is missing"),
        ({"e": None}, "e is missing"),
        ({"e": "AQ"}, "exponent"),
        ({"e": "AA"}, "exponent"),
        ({"e": ""}, "exponent"),
        ({"e": "AQAA"}, "exponent"),
        ({"e": number(2**32 + 1, 5)}, "exponent"),
    ],
)
def test_unfit_rsa_keys_are_refused(changes: dict[str, Any], reason: str) -> None:
    Key(A2_KEY | {"use": "sig", "alg": "RS256", "key_ops": ["verify"]})
    with pytest.raises(Malformed, match=reason):
        Key(A2_KEY | changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"crv": "P-384"}, "curve"),
        ({"crv": "secp256k1"}, "curve"),
        ({"crv": None}, "curve"),
        ({"alg": "RS256"}, "alg"),
        ({"alg": "ES384"}, "alg"),
        ({"x": A3_KEY["y"]}, "not on the curve"),
        ({"x": number(0), "y": number(0)}, "not on the curve"),
        ({"x": number(p256.P), "y": A3_KEY["y"]}, "not on the curve"),
        ({"y": number(p256.P - 1)}, "not on the curve"),
        ({"x": "AA"}, "32 bytes"),
        ({"x": number(1, 33)}, "32 bytes"),
        ({"y": None}, "y is missing"),
    ],
)
def test_unfit_ec_keys_are_refused(changes: dict[str, Any], reason: str) -> None:
    Key(A3_KEY | {"use": "sig", "alg": "ES256", "key_ops": ["sign", "verify"]})
    with pytest.raises(Malformed, match=reason):
        Key(A3_KEY | changes)


def test_coordinates_beyond_the_field_are_refused() -> None:
    """The same point with p added to x: only a point in its one spelling is a key."""
    x, y = p256.GX, p256.GY
    assert p256.on_curve(x, y)
    assert not p256.on_curve(x + p256.P, y)
    assert not p256.on_curve(x, y - p256.P)


def test_a_key_with_an_alg_serves_no_other() -> None:
    key = Key(A2_KEY | {"alg": "RS512"})
    assert not key.verify(Token(A2_TOKEN, ALL))
    assert [name for name in ALL if key.fits(name)] == ["RS512"]
    assert [name for name in ALL if Key(A3_KEY).fits(name)] == ["ES256"]
