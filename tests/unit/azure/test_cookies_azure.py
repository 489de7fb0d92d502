"""Cookies through the SDK's converter and the host's writer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.adapter import HttpStimulus
from portafaas.runtime.http import Response
from portafaas_azure.runtime.cookies import (
    CookieRefused,
    canonical,
    divide,
    header_name,
    position_of,
    typed,
)

SAME = {
    "one": ["a=1; Path=/; Secure; HttpOnly; SameSite=Lax"],
    "one of any form": ['a="x y"; Priority=High; Partitioned; path=x'],
    "several": [
        "a=1; Path=/; Secure; HttpOnly; SameSite=Lax",
        "b=; Max-Age=0; Domain=example.org; Path=/shop/%20; SameSite=None",
        "c=50%25%20%C3%A9%22%5C%3B%2C; Path=/; SameSite=Strict",
        "__Host-d=1.2_3-4~",
    ],
    "expires": ["a=1", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/"],
    "one rewritten, not the first": ["a=1", "b=2", "c=x=y&z; Path=/shop", "d=4"],
    "one name twice": ["a=1", "a=2"],
}


@pytest.mark.parametrize("cookies", SAME.values(), ids=SAME.keys())
def test_arrive_as_set(same: Any, cookies: list[str]) -> None:
    body = json.dumps(cookies).encode()
    outcome = same("web", HttpStimulus("POST", "/web/cookies", body=body))
    assert list(outcome.cookies) == cookies


REFUSED = {
    "two values": ["a=x/y", "b=x/y"],
    "value and attribute": ["a=x y", "b=1; Partitioned"],
    "older one would win": ["a=1", "a=x/y"],
}


@pytest.mark.parametrize("cookies", REFUSED.values(), ids=REFUSED.keys())
def test_refused(bench: Any, caplog: pytest.LogCaptureFixture, cookies: list[str]) -> None:
    body = json.dumps(cookies).encode()
    outcome = bench.azure("web", HttpStimulus("POST", "/web/cookies", body=body))
    assert (outcome.status, outcome.cookies) == (500, ())
    assert "Azure Functions" in caplog.text


NOT_TYPED = [
    "a=%2f", "a=%zz", "a=%00", "a=+", "a=x y", "$a=1", "path=1", "a b=1", "a:b=1", "=1",
    "a=1; Max-Age=-1", "a=1; Max-Age=1e3", "a=1; Path=x", "a=1; Path", "a=1; Path=/a b",
    "a=1; Secure=no", "a=1; SameSite=Other", "a=1; Partitioned", "a=1; Path=/; Path=/b",
    "a=1; Expires=Wed, 21 Oct 2026 07:28:00 UTC", "a=1; Expires=Mon, 21 Oct 2026 07:28:00 GMT",
    "a=1; Expires=Wednesday, 21-Oct-26 07:28:00 GMT", "a=1; Domain=\u00e9.example",
]  # fmt: skip


@pytest.mark.parametrize("cookie", NOT_TYPED)
def test_not_typed(cookie: str) -> None:
    assert typed(cookie) is None


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_an_encoded_value_arrives_or_is_not_typed(value: str) -> None:
    from http.cookies import SimpleCookie
    from urllib.parse import quote

    text = quote(value, safe="")
    made = typed(f"a={text}; Path=/")
    if made is None:
        assert any(c < " " or c == "\x7f" for c in value)
        return
    jar = SimpleCookie(made)
    assert quote(jar["a"].value, safe="") == text
    assert jar["a"]["path"] == "/"


def test_what_the_host_writes_reads_as_set_cookie_prints() -> None:
    response = Response()
    response.set_cookie("a", "1", max_age=60, domain="example.org", same_site="Strict")
    written = "a=1; max-age=60; domain=example.org; path=/; secure; samesite=strict; httponly"
    assert canonical(written) == response.cookies[0]


@pytest.mark.parametrize("position", [0, 1, 7, 300, 511])
def test_position(position: int) -> None:
    name = header_name(position)
    assert name.lower() == "set-cookie"
    assert position_of(name) == position


def test_too_many_forms_are_named() -> None:
    with pytest.raises(CookieRefused, match="there are 2: 'a', 'b'"):
        divide(["a=x/y", "b=x/y", "c=1"])
