"""Verifies ECDSA signatures on curve P-256 in pure Python. Ships; loaded for ES256 keys only.

FIPS 186-5 section 6.4.2; the curve is that of NIST SP 800-186 section 3.2.1.3:
``y^2 = x^3 - 3x + b`` over GF(p), order n, generator G. Only public values pass through here, so
nothing needs to run in constant time.
"""

from __future__ import annotations

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5
_WIDTH = 5

_base: list[tuple[int, int]] = []


def on_curve(x: int, y: int) -> bool:
    """Tell whether (x, y) is a point of P-256; its order is prime, so no more is to be checked."""
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x * x - 3 * x + _B)) % P == 0


def _double(x: int, y: int, z: int) -> tuple[int, int, int]:
    # Jacobian coordinates, dbl-2001-b: https://hyperelliptic.org/EFD/g1p/auto-shortw-jacobian-3.html
    if not z:
        return 1, 1, 0
    delta = z * z % P
    gamma = y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 8 * beta) % P
    z3 = 2 * y * z % P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P, z3


def _add(x: int, y: int, z: int, ax: int, ay: int) -> tuple[int, int, int]:
    # Adds an affine point (madd); equal and opposite points, which the formula cannot do, first.
    if not z:
        return ax, ay, 1
    zz = z * z % P
    h = (ax * zz - x) % P
    r = (ay * zz * z - y) % P
    if not h:
        return (1, 1, 0) if r else _double(x, y, z)
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, z * h % P


def odd_multiples(x: int, y: int) -> list[tuple[int, int]]:
    """Return 1, 3, 5, ... 15 times the point, which must be on the curve, as affine points."""
    dx, dy = _affine(*_double(x, y, 1))
    table = [(x, y)]
    for _ in range(2 ** (_WIDTH - 2) - 1):
        table.append(_affine(*_add(*table[-1], 1, dx, dy)))
    return table


def _affine(x: int, y: int, z: int) -> tuple[int, int]:
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def _digits(scalar: int) -> list[int]:
    # Non-adjacent form of width 5, least significant first: odd digits between -15 and 15, or 0.
    digits = []
    while scalar:
        digit = 0
        if scalar & 1:
            digit = scalar & 31
            if digit > 15:
                digit -= 32
            scalar -= digit
        digits.append(digit)
        scalar >>= 1
    return digits


def verify(table: list[tuple[int, int]], digest: int, signature: bytes) -> bool:
    """Tell whether *signature* (r and s, 32 bytes each) signs *digest* with the key.

    *table* is what :func:`odd_multiples` gives for the key. As FIPS 186-5 has it, (r, n - s) is as
    good as (r, s): a signature must not be used as the identity of a token.
    """
    if len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not 1 <= r < N or not 1 <= s < N:
        return False
    if not _base:
        _base[:] = odd_multiples(GX, GY)
    w = pow(s, -1, N)
    u1, u2 = _digits(digest * w % N), _digits(r * w % N)
    x, y, z = 1, 1, 0
    for index in range(max(len(u1), len(u2)) - 1, -1, -1):
        x, y, z = _double(x, y, z)
        for digits, multiples in ((u1, _base), (u2, table)):
            digit = digits[index] if index < len(digits) else 0
            if digit:
                ax, ay = multiples[abs(digit) >> 1]
                x, y, z = _add(x, y, z, ax, ay if digit > 0 else P - ay)
    if not z:
        return False
    return _affine(x, y, z)[0] % N == r
