"""Key sets: fetched from a real server on this machine, kept, refreshed and given up."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from portafaas.runtime import jwks
from portafaas.runtime.auth import AuthFailure, AuthMisconfigured, Identity, authenticate_jwt


def login(token: str, environ: dict[str, str] | None = None, **spec: Any) -> Identity:
    headers = {"authorization": f"Bearer {token}"}
    auth = {
        "scheme": "jwt", "issuer": "https://issuer.example", "audience": ["orders"],
        "algorithms": ["RS256", "ES256"],
    } | spec  # fmt: skip
    return authenticate_jwt(headers.get, auth, environ or {})


def unavailable(token: str, reason: str, **spec: Any) -> None:
    with pytest.raises(AuthFailure, match=reason) as caught:
        login(token, **spec)
    assert (caught.value.status, caught.value.challenge) == (503, None)


def unknown(token: str, **spec: Any) -> None:
    with pytest.raises(AuthFailure, match="no key") as caught:
        login(token, **spec)
    assert caught.value.status == 401


class Rotated:
    """A key the issuer takes up later."""

    def __init__(self, issuer: Any) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        point = [
            jwt.utils.base64url_encode(n.to_bytes(32, "big")).decode()
            for n in (numbers.x, numbers.y)
        ]
        self.jwk = {"kty": "EC", "crv": "P-256", "x": point[0], "y": point[1], "kid": "new"}
        self.token = jwt.encode(issuer.claims(), key, "ES256", {"kid": "new"})


# --- where the set comes from


def test_the_manifest_names_the_url(issuer: Any, site: Any) -> None:
    url = site.serve("/keys?tenant=1", {"keys": issuer.keys})
    assert login(issuer.token(), jwks=url).subject == "alice"
    assert site.seen == ["/keys?tenant=1"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_discovery_finds_the_url(issuer: Any, site: Any, slash: str) -> None:
    name = f"{site.url}/realm{slash}"
    url = site.serve("/keys", {"keys": issuer.keys})
    site.serve(
        "/realm/.well-known/openid-configuration", {"issuer": name, "jwks_uri": url}
    )
    assert login(issuer.token(iss=name), issuer=name).subject == "alice"
    assert site.seen == ["/realm/.well-known/openid-configuration", "/keys"]


def test_a_discovery_document_of_another_issuer_is_a_misconfiguration(
    issuer: Any, site: Any
) -> None:
    url = site.serve("/keys", {"keys": issuer.keys})
    site.serve(
        "/.well-known/openid-configuration", {"issuer": site.url + "/", "jwks_uri": url}
    )
    for _ in range(2):
        with pytest.raises(AuthMisconfigured, match="another issuer"):
            login(issuer.token(iss=site.url), issuer=site.url)
    assert site.seen == ["/.well-known/openid-configuration"]


@pytest.mark.parametrize("uri", [None, 1, ["https://x"]])
def test_a_discovery_document_without_a_uri(issuer: Any, site: Any, uri: Any) -> None:
    site.serve("/.well-known/openid-configuration", {"issuer": site.url, "jwks_uri": uri})
    unavailable(issuer.token(), "no jwks_uri", issuer=site.url)


def test_discovery_cannot_lead_to_plain_http_elsewhere(issuer: Any, site: Any) -> None:
    site.serve(
        "/.well-known/openid-configuration",
        {"issuer": site.url, "jwks_uri": "http://keys.example/"},
    )
    with pytest.raises(AuthMisconfigured, match="https"):
        login(issuer.token(), issuer=site.url)


def test_the_environment_overrides_with_a_url(issuer: Any, site: Any) -> None:
    url = site.serve("/keys", {"keys": issuer.keys})
    environ = {"PORTAFAAS_JWKS": f" {url}\n"}
    identity = login(issuer.token(), environ, jwks="https://keys.invalid/")
    assert identity.subject == "alice"


def test_the_environment_overrides_with_keys(issuer: Any) -> None:
    environ = {"PORTAFAAS_JWKS": "\n" + json.dumps({"keys": issuer.keys}, indent=1)}
    assert login(issuer.token(), environ).subject == "alice"
    for text in ("", " "):
        with pytest.raises(AuthMisconfigured, match="https"):
            login(issuer.token(), {"PORTAFAAS_JWKS": text}, jwks="http://keys.example/")


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/keys",
        "http://127.0.0.1.issuer.example/keys",
        "http://127.evil.0.1/keys",
        "http://localhost.example/keys",
        "http://10.0.0.1/keys",
        "http://[::2]/keys",
        "ftp://127.0.0.1/keys",
        "file:///etc/hosts",
        "data:application/json,{}",
        "//127.0.0.1/keys",
        "keys.json",
    ],
)
def test_only_https_leaves_the_machine(issuer: Any, url: str) -> None:
    for spec in ({"jwks": url}, {"environ": {"PORTAFAAS_JWKS": url}}):
        with pytest.raises(AuthMisconfigured, match=r"https|cannot be read"):
            login(issuer.token(), **spec)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@keys.example/",
        "http://127.0.0.1@keys.example/",
        "https://",
        "https://keys.example:port/",
        "https://keys.example:99999/",
        "https://[::1/",
        "https://keys.example/a b",
        "https://k\u00e9ys.example/",
        "https://keys.example/\x7f",
    ],
)
def test_odd_urls_are_a_misconfiguration(issuer: Any, url: str) -> None:
    with pytest.raises(AuthMisconfigured, match="cannot be read") as caught:
        login(issuer.token(), jwks=url)
    assert "secret" not in str(caught.value)


# --- what the server may answer


@pytest.mark.parametrize(
    "page",
    [
        (404, {}, b""),
        (500, {}, b"{}"),
        (204, {}, b""),
        (302, {"location": "/keys"}, b""),
        (200, {}, b""),
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b'{"keys":{}}'),
        (200, {}, b'{"keys":[]}'),
        (200, {}, b'{"keys":[1,{},{"kty":"oct","k":"AAAA"}]}'),
        (200, {}, json.dumps({"keys": [{}] * 201}).encode()),
        (200, {}, b'{"keys":[' + b" " * jwks.MAX_DOCUMENT + b"]}"),
    ],
)
def test_no_key_set_is_503(issuer: Any, site: Any, page: Any) -> None:
    site.serve("/keys", {"keys": issuer.keys})
    site.pages["/bad"] = page
    unavailable(issuer.token(), ".", jwks=site.url + "/bad")
    assert site.seen == ["/bad"]


@pytest.mark.parametrize("status", [201, 203, 206, 302, 304, 404, 500])
def test_only_a_200_carries_a_key_set(issuer: Any, site: Any, status: int) -> None:
    site.serve("/keys", {"keys": issuer.keys})
    site.pages["/bad"] = (status, {"location": "/keys"}, site.pages["/keys"][2])
    unavailable(issuer.token(), f"status {status}", jwks=site.url + "/bad")
    assert site.seen == ["/bad"]


@pytest.mark.parametrize("more", [0, 1])
def test_a_document_has_a_greatest_length(issuer: Any, site: Any, more: int) -> None:
    body = json.dumps({"keys": issuer.keys}).encode().ljust(jwks.MAX_DOCUMENT + more)
    site.pages["/keys"] = (200, {}, body)
    if more:
        unavailable(issuer.token(), "more than 262144 bytes", jwks=site.url + "/keys")
    else:
        assert login(issuer.token(), jwks=site.url + "/keys")


@pytest.mark.parametrize("more", [0, 1])
def test_a_set_has_a_greatest_number_of_keys(issuer: Any, site: Any, more: int) -> None:
    others: list[Any] = [{}] * (jwks.MAX_KEYS - len(issuer.keys) + more)
    url = site.serve("/keys", {"keys": [*issuer.keys, *others]})
    if more:
        unavailable(issuer.token(), "not a JWK set", jwks=url)
    else:
        assert login(issuer.token(), jwks=url)


def test_nobody_listens(issuer: Any, site: Any) -> None:
    site.close()
    site.close = lambda: None
    unavailable(issuer.token(), "could not be fetched", jwks=site.url + "/keys")


def test_https_needs_a_trusted_certificate(issuer: Any, site: Any) -> None:
    """The server does not even speak TLS; http.client must not fall back."""
    site.serve("/keys", {"keys": issuer.keys})
    url = site.url.replace("http:", "https:") + "/keys"
    unavailable(issuer.token(), "could not be fetched", jwks=url)


def test_a_slow_server_is_given_up(
    issuer: Any, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes keep coming, so no timeout of the socket would ever end it."""
    monkeypatch.setattr(jwks, "TIMEOUT", 0.3)
    stop = threading.Event()

    def drip(handler: Any) -> Any:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not stop.wait(0.05):
            handler.wfile.write(b"x: y\r\n")
        return 200, {}, b""

    site.pages["/keys"] = drip
    started = time.monotonic()
    unavailable(issuer.token(), "in time", jwks=site.url + "/keys")
    assert 0.25 < time.monotonic() - started < 2
    stop.set()


def test_unusable_keys_do_not_spoil_the_others(issuer: Any, site: Any) -> None:
    """RFC 7517 section 5: keys that are not understood are ignored."""
    odd = [{"kty": "AKP", "kid": "pq"}, {"kty": "RSA", "kid": "r", "n": "!", "e": "AQAB"}, 7]
    url = site.serve("/keys", {"keys": [*odd, *issuer.keys]})
    assert login(issuer.token(), jwks=url).subject == "alice"


def test_a_token_that_cannot_be_valid_fetches_nothing(issuer: Any, site: Any) -> None:
    url = site.serve("/keys", {"keys": issuer.keys})
    for token in ("", "a.b.c", issuer.token("RS512"), jwt.encode({}, "s" * 32, "HS256")):
        with pytest.raises(AuthFailure):
            login(token, jwks=url)
    assert site.seen == []


# --- how long it is kept


def test_the_set_is_fetched_once(issuer: Any, site: Any, clock: Any) -> None:
    url = site.serve("/keys", {"keys": issuer.keys})
    for algorithm in ("RS256", "ES256", "RS256"):
        login(issuer.token(algorithm), jwks=url)
        clock.now += jwks.TTL / 4
    assert len(site.seen) == 1


def test_an_old_set_is_fetched_again(issuer: Any, site: Any, clock: Any) -> None:
    url = site.serve("/keys", {"keys": issuer.keys})
    login(issuer.token(), jwks=url)
    site.serve("/keys", {"keys": issuer.keys[1:]})
    clock.now += jwks.TTL - 1
    login(issuer.token(), jwks=url)
    clock.now += 1
    unknown(issuer.token(), jwks=url)
    assert len(site.seen) == 2


def test_a_clock_set_back_makes_the_set_old(issuer: Any, site: Any, clock: Any) -> None:
    url = site.serve("/keys", {"keys": issuer.keys})
    login(issuer.token(), jwks=url)
    clock.now -= 10_000
    login(issuer.token(), jwks=url)
    assert len(site.seen) == 2


def test_a_new_key_is_found_at_once(issuer: Any, site: Any, clock: Any) -> None:
    new = Rotated(issuer)
    url = site.serve("/keys", {"keys": issuer.keys})
    login(issuer.token(), jwks=url)
    site.serve("/keys", {"keys": [*issuer.keys, new.jwk]})
    clock.now += jwks.PAUSE
    assert login(new.token, jwks=url).subject == "alice"
    assert len(site.seen) == 2


def test_unknown_kids_cannot_make_it_fetch_without_end(
    issuer: Any, site: Any, clock: Any
) -> None:
    url = site.serve("/keys", {"keys": issuer.keys})
    for step in range(100):
        unknown(issuer.token(header={"kid": f"k{step}"}), jwks=url)
        clock.now += 1
    assert len(site.seen) == 1 + 99 // jwks.PAUSE
    assert login(issuer.token(), jwks=url)


def test_a_failed_fetch_is_not_repeated_at_once(issuer: Any, site: Any, clock: Any) -> None:
    url = site.url + "/keys"
    for _ in range(5):
        unavailable(issuer.token(), "status 404", jwks=url)
    assert len(site.seen) == 1
    site.serve("/keys", {"keys": issuer.keys})
    unavailable(issuer.token(), "status 404", jwks=url)
    clock.now += jwks.PAUSE
    assert login(issuer.token(), jwks=url).subject == "alice"
    assert len(site.seen) == 2


def test_an_old_set_outlives_a_short_outage_only(issuer: Any, site: Any, clock: Any) -> None:
    new = Rotated(issuer)
    url = site.serve("/keys", {"keys": issuer.keys})
    login(issuer.token(), jwks=url)
    site.pages["/keys"] = (500, {}, b"")
    clock.now += jwks.STALE - 1
    assert login(issuer.token(), jwks=url).subject == "alice"
    # The missing key may be in the set that could not be fetched: not the caller's fault.
    unavailable(new.token, "status 500", jwks=url)
    clock.now += 1
    unavailable(issuer.token(), "status 500", jwks=url)
    clock.now += jwks.PAUSE
    site.serve("/keys", {"keys": issuer.keys})
    assert login(issuer.token(), jwks=url).subject == "alice"


def test_threads_share_one_first_fetch(issuer: Any, site: Any) -> None:
    gate = threading.Barrier(8)
    page: Any = (200, {}, json.dumps({"keys": issuer.keys}).encode())
    arrived = threading.Event()

    def slowly(handler: Any) -> Any:
        arrived.wait(5)
        return page

    site.pages["/keys"] = slowly
    outcome: list[Any] = []
    token = issuer.token()

    def work() -> None:
        gate.wait()
        try:
            outcome.append(login(token, jwks=site.url + "/keys").subject)
        except Exception as exc:
            outcome.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    arrived.set()
    for thread in threads:
        thread.join()
    assert outcome == ["alice"] * 8
    assert len(site.seen) == 1


def test_threads_do_not_wait_for_a_refresh(issuer: Any, site: Any, clock: Any) -> None:
    url = site.serve("/keys", {"keys": issuer.keys})
    login(issuer.token(), jwks=url)
    clock.now += jwks.TTL
    asked, answer = threading.Event(), threading.Event()

    def slowly(handler: Any) -> Any:
        asked.set()
        answer.wait(5)
        return 200, {}, json.dumps({"keys": issuer.keys}).encode()

    site.pages["/keys"] = slowly
    outcome: list[str] = []
    token = issuer.token()
    refresher = threading.Thread(target=lambda: outcome.append(login(token, jwks=url).subject))
    refresher.start()
    assert asked.wait(5)
    assert login(token, jwks=url).subject == "alice"
    assert outcome == []  # answered while the other thread still waits for the server
    answer.set()
    refresher.join()
    assert outcome == ["alice"]


def test_sources_do_not_share_keys(issuer: Any, site: Any) -> None:
    one = site.serve("/one", {"keys": issuer.keys[:1]})
    two = site.serve("/two", {"keys": issuer.keys[1:]})
    assert login(issuer.token("RS256"), jwks=one)
    assert login(issuer.token("ES256"), jwks=two)
    unknown(issuer.token("ES256"), jwks=one)
    unknown(issuer.token("RS256"), jwks=two)


def test_two_issuers_are_discovered_apart(issuer: Any, site: Any) -> None:
    for number, keys in enumerate((issuer.keys[:1], issuer.keys[1:])):
        name = f"{site.url}/{number}"
        url = site.serve(f"/{number}/keys", {"keys": keys})
        site.serve(
            f"/{number}/.well-known/openid-configuration", {"issuer": name, "jwks_uri": url}
        )
    zero, one = f"{site.url}/0", f"{site.url}/1"
    assert login(issuer.token("RS256", iss=zero), issuer=zero)
    assert login(issuer.token("ES256", iss=one), issuer=one)
    unknown(issuer.token("RS256", iss=one), issuer=one)
