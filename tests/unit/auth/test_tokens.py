"""Bearer tokens: ``authenticate_jwt`` with an inline key set."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from portafaas.runtime.auth import (
    LEEWAY,
    AuthFailure,
    AuthMisconfigured,
    Identity,
    authenticate_jwt,
)
from portafaas.runtime.jws import MAX_TOKEN

INVALID = 'Bearer error="invalid_token"'


def encode(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk_of(issuer: Any, kid: str) -> dict[str, Any]:
    found: dict[str, Any] = next(key for key in issuer.keys if key["kid"] == kid)
    return found


def refused(login: Any, token: str | None, reason: str, **spec: Any) -> AuthFailure:
    with pytest.raises(AuthFailure, match=reason) as caught:
        login(token, **spec)
    assert caught.value.status == 401
    return caught.value


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "ES256"])
def test_a_good_token_tells_who_calls(issuer: Any, login: Any, algorithm: str) -> None:
    identity = login(issuer.token(algorithm, extra=1))
    assert isinstance(identity, Identity)
    assert identity.subject == "alice"
    assert identity.scopes == ("read", "write")
    assert identity.claims["extra"] == 1
    assert identity.scheme == "jwt"
    assert not hasattr(identity, "__dict__")


# --- the header


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Token x", "BearerX abc"])
def test_a_request_without_a_token_gets_a_bare_challenge(header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    with pytest.raises(AuthFailure) as caught:
        authenticate_jwt(headers.get, {"issuer": "https://i", "audience": ["a"]}, {})
    assert (caught.value.status, caught.value.challenge) == (401, "Bearer")


def test_the_scheme_ignores_case(issuer: Any) -> None:
    spec = {"issuer": "https://issuer.example", "audience": ["orders"]}
    environ = {"PORTAFAAS_JWKS": json.dumps({"keys": issuer.keys})}
    for prefix in ("bearer ", "BEARER ", "Bearer  "):
        headers = {"authorization": prefix + issuer.token()}
        assert authenticate_jwt(headers.get, spec, environ).subject == "alice"


@pytest.mark.parametrize(
    "mangle",
    [
        lambda t: "",
        lambda t: t[:-1],
        lambda t: t + "A",
        lambda t: t + "=",
        lambda t: t + ".",
        lambda t: t + "." + t,
        lambda t: f"{t},Bearer {t}",
        lambda t: f"{t} {t}",
        lambda t: t.replace(".", ".."),
        lambda t: t.rsplit(".", 1)[0],
        lambda t: t.rsplit(".", 1)[0] + ".",
        lambda t: "." + t.split(".", 1)[1],
        lambda t: t.upper(),
        lambda t: t + "\n",
        lambda t: "\u212a" + t[1:],
        lambda t: json.dumps({"protected": t.split(".")[0]}),
        lambda t: t + "A" * MAX_TOKEN,
        lambda t: encode(b"[" * 9000) + ".e30.AA",
        lambda t: encode(b"\xff") + ".e30.AA",
    ],
)
def test_malformed_tokens_are_invalid(issuer: Any, login: Any, mangle: Any) -> None:
    failure = refused(login, mangle(issuer.token()), ".")
    assert failure.challenge == INVALID


def test_a_token_has_a_greatest_length(issuer: Any, login: Any) -> None:
    assert login(issuer.token(pad="x" * (MAX_TOKEN // 2)))
    refused(login, issuer.token(pad="x" * MAX_TOKEN), "too long")


# --- algorithms and keys


def test_none_is_refused_in_every_spelling(issuer: Any, login: Any) -> None:
    for name in ("none", "None", "NONE", "nOnE", "", None, 0, ["RS256"], {"RS256": 1}):
        head, body = encode({"alg": name, "kid": "r"}), encode(issuer.claims())
        for signature in ("", "AA", issuer.token().split(".")[2]):
            refused(login, f"{head}.{body}.{signature}", "not supported")


def test_the_public_key_is_not_a_shared_secret(issuer: Any, login: Any) -> None:
    """The classic confusion: HMAC with the bytes of the public key."""
    pem = issuer.rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for name, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for secret in (pem, pem.strip(), json.dumps(issuer.keys[0]).encode(), b""):
            signed = f"{encode({'alg': name, 'kid': 'r'})}.{encode(issuer.claims())}"
            signature = encode(hmac.new(secret, signed.encode(), digest).digest())
            refused(login, f"{signed}.{signature}", "not supported")


def test_a_shared_secret_in_the_key_set_is_ignored(issuer: Any, login: Any) -> None:
    secret = b"s" * 32
    token = jwt.encode(issuer.claims(), secret, "HS256", {"kid": "h"})
    keys = [*issuer.keys, {"kty": "oct", "kid": "h", "k": encode(secret)}]
    refused(login, token, "not supported", keys=keys)


@pytest.mark.parametrize("algorithm", ["PS256", "ES384", "EdDSA"])
def test_other_algorithms_are_refused(issuer: Any, login: Any, algorithm: str) -> None:
    head = {"alg": algorithm, "kid": "r"}
    refused(login, f"{encode(head)}.{encode(issuer.claims())}.AA", "not supported")


def test_the_algorithm_must_be_in_the_manifest(issuer: Any, login: Any) -> None:
    for algorithm in ("RS384", "ES256"):
        refused(login, issuer.token(algorithm), "not allowed", algorithms=["RS256"])
        assert login(issuer.token(algorithm), algorithms=["RS256", algorithm])


def test_without_a_list_only_rs256_is_allowed(issuer: Any, login: Any) -> None:
    assert login(issuer.token("RS256"), algorithms=[])
    refused(login, issuer.token("RS512"), "not allowed", algorithms=[])


@pytest.mark.parametrize("name", ["none", "HS256", "PS256", "rs256", ""])
def test_an_unsafe_list_lets_nobody_in(issuer: Any, login: Any, name: str) -> None:
    with pytest.raises(AuthMisconfigured, match="algorithm"):
        login(issuer.token(), algorithms=["RS256", name])


def test_a_key_of_the_other_type_is_not_tried(issuer: Any, login: Any) -> None:
    refused(login, issuer.token("ES256", {"kid": "r"}), "no key")
    refused(login, issuer.token("RS256", {"kid": "e"}), "no key")


def test_the_keys_own_alg_binds(issuer: Any, login: Any) -> None:
    keys = [jwk_of(issuer, "r") | {"alg": "RS512"}]
    assert login(issuer.token("RS512"), keys=keys)
    refused(login, issuer.token("RS256"), "no key", keys=keys)


def test_an_encryption_key_verifies_nothing(issuer: Any, login: Any) -> None:
    keys = [jwk_of(issuer, "r") | {"use": "enc"}, jwk_of(issuer, "e")]
    refused(login, issuer.token("RS256"), "no key", keys=keys)


def test_a_short_rsa_key_verifies_nothing(issuer: Any, login: Any) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    numbers = weak.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "w", "e": "AQAB", "n": encode(numbers.n.to_bytes(128, "big"))}
    head, body = encode({"alg": "RS256", "kid": "w"}), encode(issuer.claims())
    signature = pow(1, 1, numbers.n).to_bytes(128, "big")
    refused(login, f"{head}.{body}.{encode(signature)}", "no key", keys=[*issuer.keys, jwk])


def test_the_kid_must_be_known(issuer: Any, login: Any) -> None:
    for kid in ("unknown", "", "R", "r ", "../r"):
        refused(login, issuer.token(header={"kid": kid}), "no key")


@pytest.mark.parametrize("kid", [1, ["r"], {"a": 1}, True])
def test_the_kid_must_be_text(issuer: Any, login: Any, kid: Any) -> None:
    head = encode({"alg": "RS256", "kid": kid})
    refused(login, f"{head}.{encode(issuer.claims())}.AA", "kid is not a string")


def test_without_kid_the_key_must_be_the_only_one(issuer: Any, login: Any) -> None:
    token = jwt.encode(issuer.claims(), issuer.rsa, "RS256")
    assert login(token).subject == "alice"  # one RSA key, beside an EC key
    other = jwk_of(issuer, "r") | {"kid": "r2"}
    refused(login, token, "no key", keys=[*issuer.keys, other])


def test_keys_may_share_a_kid(issuer: Any, login: Any) -> None:
    """RFC 7517 section 4.5."""
    other = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "r", "e": "AQAB", "n": encode(other.n.to_bytes(256, "big"))}
    keys = [jwk, jwk_of(issuer, "r"), jwk_of(issuer, "e") | {"kid": "r"}]
    assert login(issuer.token(), keys=keys).subject == "alice"


def test_keys_that_the_token_brings_along_are_ignored(issuer: Any, login: Any) -> None:
    attacker = rsa.generate_private_key(65537, 2048)
    numbers = attacker.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "r", "e": "AQAB", "n": encode(numbers.n.to_bytes(256, "big"))}
    for header in (
        {"jwk": jwk},
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/chain"},
        {"x5c": ["AAAA"]},
    ):
        token = jwt.encode(issuer.claims(), attacker, "RS256", {"kid": "r"} | header)
        refused(login, token, "signature is wrong")
        assert login(issuer.token(header=header)).subject == "alice"


def test_psychic_signatures_are_refused(issuer: Any, login: Any) -> None:
    """CVE-2022-21449: r and s of zero."""
    signed = issuer.token("ES256").rsplit(".", 1)[0]
    for signature in (b"\0" * 64, b"\0" * 63 + b"\1", b"\0" * 31 + b"\1" + b"\0" * 32):
        refused(login, f"{signed}.{encode(signature)}", "signature is wrong")


def test_a_signature_covers_header_and_claims(issuer: Any, login: Any) -> None:
    first, second = issuer.token(), issuer.token(sub="mallory")
    a, b = first.split("."), second.split(".")
    refused(login, ".".join([a[0], b[1], a[2]]), "signature is wrong")
    head = encode({"kid": "r", "alg": "RS256"})
    refused(login, ".".join([head, a[1], a[2]]), "signature is wrong")


# --- header parameters


@pytest.mark.parametrize(
    "header",
    [{"crit": ["b64"], "b64": False}, {"crit": []}, {"crit": ["exp"]}, {"b64": False},
     {"b64": True}, {"crit": None}],
)  # fmt: skip
def test_extensions_are_refused(issuer: Any, login: Any, header: dict[str, Any]) -> None:
    head = encode({"alg": "RS256", "kid": "r"} | header)
    refused(login, f"{head}.{encode(issuer.claims())}.AA", "extension")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
def test_tokens_of_these_types_are_taken(issuer: Any, login: Any, kind: str) -> None:
    assert login(issuer.token(header={"typ": kind}))


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "", 1])
def test_tokens_of_other_types_are_refused(issuer: Any, login: Any, kind: Any) -> None:
    head = encode({"alg": "RS256", "kid": "r", "typ": kind})
    refused(login, f"{head}.{encode(issuer.claims())}.AA", "another type")


def test_a_header_with_two_algorithms_is_refused(issuer: Any, login: Any) -> None:
    head = encode(b'{"alg":"none","alg":"RS256","kid":"r"}')
    refused(login, f"{head}.{encode(issuer.claims())}.AA", "twice")


def signed(issuer: Any, payload: bytes) -> str:
    """Sign any payload, well-formed or not."""
    return jwt.api_jws.encode(payload, issuer.rsa, "RS256", {"kid": "r"})


@pytest.mark.parametrize(
    "payload", [b"", b"null", b"[]", b'"alice"', b'{"sub":"a","sub":"b"}', b"\xff{}", b"{"]
)
def test_signed_claims_that_are_no_object_are_refused(
    issuer: Any, login: Any, payload: bytes
) -> None:
    refused(login, signed(issuer, payload), "claims are malformed")


# --- claims


@pytest.mark.parametrize(
    "value",
    [None, "", "https://issuer.example/", "https://ISSUER.example", "https://issuer.exampl",
     "https://issuer.example\n"],
)  # fmt: skip
def test_the_issuer_is_compared_exactly(issuer: Any, login: Any, value: str | None) -> None:
    refused(login, issuer.token(iss=value), "another issuer")


def claims_token(issuer: Any, **changes: Any) -> str:
    """Sign claims that PyJWT would not."""
    return signed(issuer, json.dumps(issuer.claims(**changes)).encode())


@pytest.mark.parametrize("value", [["https://issuer.example"], 1, {"a": 1}, True])
def test_the_issuer_is_text(issuer: Any, login: Any, value: Any) -> None:
    refused(login, claims_token(issuer, iss=value), "another issuer")


@pytest.mark.parametrize("value", ["orders", ["orders"], ["billing", "orders"], ["shop"]])
def test_one_common_audience_is_enough(issuer: Any, login: Any, value: Any) -> None:
    assert login(issuer.token(aud=value), audience=["orders", "shop"])


@pytest.mark.parametrize(
    "value", [None, "", [], "order", "orders2", ["billing"], [["orders"]], {"orders": 1}, 1, [1]]
)
def test_another_audience_is_refused(issuer: Any, login: Any, value: Any) -> None:
    refused(login, claims_token(issuer, aud=value), "another audience")


def test_an_audience_is_not_a_substring(issuer: Any, login: Any) -> None:
    with pytest.raises(AuthMisconfigured):
        login(issuer.token(aud="order"), audience="orders")


def test_exp_counts_with_a_minutes_leeway(issuer: Any, login: Any) -> None:
    now = int(time.time())
    assert login(issuer.token(exp=now - LEEWAY + 20))
    failure = refused(login, issuer.token(exp=now - LEEWAY - 1), "expired")
    assert failure.challenge == f'{INVALID}, error_description="the token has expired"'


def test_exp_is_required(issuer: Any, login: Any) -> None:
    refused(login, issuer.token(exp=None), "no exp")


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_is_not_taken_early(issuer: Any, login: Any, name: str) -> None:
    now = int(time.time())
    assert login(issuer.token(**{name: now + LEEWAY - 20}))
    assert login(issuer.token(**{name: None}))
    refused(login, issuer.token(**{name: now + LEEWAY + 20}), f"{name} is in the future")


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "literal", ["null", '"9999999999"', "true", "[]", "-1", "1e999", "1e300", "9" * 400]
)
def test_dates_are_plain_numbers(issuer: Any, login: Any, name: str, literal: str) -> None:
    body = json.dumps(issuer.claims(**{name: "HERE"})).replace('"HERE"', literal)
    refused(login, signed(issuer, body.encode()), f"{name} is not a date")


def test_dates_may_have_a_fraction(issuer: Any, login: Any) -> None:
    now = time.time()
    assert login(claims_token(issuer, exp=now + 100.5, iat=now - 0.5, nbf=now - 0.5))


@pytest.mark.parametrize("value", [None, "", 7, ["alice"], True])
def test_a_token_names_its_subject(issuer: Any, login: Any, value: Any) -> None:
    refused(login, claims_token(issuer, sub=value), "no sub")


# --- scopes


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": None}, ()),
        ({"scope": ""}, ()),
        ({"scope": "a  b "}, ("a", "b")),
        ({"scope": ["a", "b"]}, ("a", "b")),
        ({"scope": None, "scp": "a b"}, ("a", "b")),
        ({"scope": None, "scp": ["a", "b"]}, ("a", "b")),
        ({"scope": "a", "scp": "b"}, ("a",)),
        ({"scope": "a\u00a0b"}, ("a\u00a0b",)),
    ],
)
def test_scopes_are_read_in_either_form(
    issuer: Any, login: Any, changes: dict[str, Any], scopes: tuple[str, ...]
) -> None:
    assert login(claims_token(issuer, **changes)).scopes == scopes


@pytest.mark.parametrize("value", [1, {"a": 1}, ["a", 1], True])
def test_malformed_scopes_are_refused(issuer: Any, login: Any, value: Any) -> None:
    refused(login, claims_token(issuer, scope=value), "scopes are malformed")


def test_every_required_scope_must_be_there(issuer: Any, login: Any) -> None:
    assert login(issuer.token(), scopes=["write", "read"])
    for held in ("read", "write", "readwrite", "READ WRITE", "read:write", "", None):
        with pytest.raises(AuthFailure) as caught:
            login(issuer.token(scope=held), scopes=["read", "write"])
        assert caught.value.status == 403
        assert (
            caught.value.challenge == 'Bearer error="insufficient_scope", scope="read write"'
        )


def test_an_invalid_token_is_401_even_where_scopes_lack(issuer: Any, login: Any) -> None:
    refused(login, issuer.token(exp=1, scope=None), "expired", scopes=["read"])


@pytest.mark.parametrize("scope", ["a b", 'a"b', "a\\b", "a\r\nx: y", "", "\u00e4"])
def test_a_scope_that_breaks_the_challenge_is_a_misconfiguration(
    issuer: Any, login: Any, scope: str
) -> None:
    with pytest.raises(AuthMisconfigured, match="scope"):
        login(issuer.token(), scopes=[scope])


# --- the specification and the environment


@pytest.mark.parametrize("name", ["issuer", "audience"])
def test_issuer_and_audience_are_never_optional(issuer: Any, login: Any, name: str) -> None:
    values: tuple[Any, ...] = (None, "", [])
    for value in values:
        with pytest.raises(AuthMisconfigured, match="must be given"):
            login(issuer.token(), **{name: value})


@pytest.mark.parametrize("text", ["{", "{}", '{"keys":[]}', '{"keys":{}}', '{"keys":[1,{}]}',
                                  '{"keys":[],"keys":[]}', '{"x":"\udc80"}'])  # fmt: skip
def test_an_unusable_inline_key_set_lets_nobody_in(issuer: Any, text: str) -> None:
    headers = {"authorization": f"Bearer {issuer.token()}"}
    spec = {"issuer": "https://issuer.example", "audience": ["orders"]}
    with pytest.raises(AuthMisconfigured, match="inline key set"):
        authenticate_jwt(headers.get, spec, {"PORTAFAAS_JWKS": text})


# --- mutation


def _mutants(token: str) -> st.SearchStrategy[str]:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n"
    place = st.integers(0, len(token) - 1)
    text = st.text(alphabet, max_size=4)
    return st.one_of(
        st.tuples(place, st.sampled_from(alphabet)).map(
            lambda p: token[: p[0]] + p[1] + token[p[0] + 1 :]
        ),
        st.tuples(place, st.integers(0, 8), text).map(
            lambda p: token[: p[0]] + p[2] + token[p[0] + p[1] :]
        ),
        st.tuples(place, place).map(lambda p: token[: min(p)] + token[max(p) :]),
        st.tuples(place, st.integers(0, 127)).map(
            lambda p: token[: p[0]] + chr(ord(token[p[0]]) ^ p[1]) + token[p[0] + 1 :]
        ),
    )


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_no_mutated_token_is_accepted(issuer: Any, login: Any, algorithm: str) -> None:
    token = issuer.token(algorithm)
    assert login(token).subject == "alice"

    @given(_mutants(token))
    @settings(
        max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @example(token[:-1] + chr(ord(token[-1]) ^ 1))
    def check(mutant: str) -> None:
        # Blanks around a token are the header's, not the token's.
        if mutant.strip(" ") != token:
            refused(login, mutant, ".")

    check()


def test_no_other_last_character_is_accepted(issuer: Any, login: Any) -> None:
    """256 bytes leave 4 spare bits in the last character, 64 bytes as well."""
    for algorithm in ("RS256", "ES256"):
        token = issuer.token(algorithm)
        accepted = []
        for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
            try:
                login(token[:-1] + char)
            except AuthFailure:
                continue
            accepted.append(char)
        assert accepted == [token[-1]]


@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "scope", "scp"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=3), inner, max_size=2),
            max_leaves=4,
        ),
    )
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_claims_are_answered_and_nothing_else_raised(
    issuer: Any, login: Any, claims: dict[str, Any]
) -> None:
    """Whatever a signed token claims, the answer is an identity, 401 or 403."""
    body = json.dumps(issuer.claims() | claims).encode()
    try:
        identity = login(signed(issuer, body), scopes=["read"])
    except AuthFailure as failure:
        assert failure.status in (401, 403)
    else:
        assert identity.claims["iss"] == "https://issuer.example"


def test_reasons_quote_nothing_of_the_token(issuer: Any, login: Any) -> None:
    secret = hashlib.sha256(b"x").hexdigest()
    for token in (
        issuer.token(iss=secret), issuer.token(aud=secret), issuer.token(header={"kid": secret}),
        issuer.token(header={"typ": secret}), f"{secret}.e30.AA",
    ):  # fmt: skip
        failure = refused(login, token, ".")
        assert secret not in str(failure) + repr(failure)


def test_another_issuers_key_does_not_count(issuer: Any, login: Any) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode(issuer.claims(), stranger, "ES256", {"kid": "e"})
    refused(login, token, "signature is wrong")
