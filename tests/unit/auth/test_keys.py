"""API keys: ``authenticate_key``."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portafaas.runtime.auth import MAX_KEY, AuthFailure, AuthMisconfigured, authenticate_key

VARIABLE = "PORTAFAAS_HTTP_KEYS"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def login(key: str | None, value: str | None) -> str:
    headers = {} if key is None else {"x-api-key": key}
    environ = {} if value is None else {VARIABLE: value}
    identity = authenticate_key(headers.get, VARIABLE, environ)
    assert (identity.scheme, identity.scopes, dict(identity.claims)) == ("key", (), {})
    return identity.subject


TWO = f"shop={digest('s3cret')},ops={digest('other')}"


def test_the_subject_is_the_name_of_the_key() -> None:
    assert login("s3cret", TWO) == "shop"
    assert login("other", TWO) == "ops"


@pytest.mark.parametrize("separator", [",", " ", "\n", ", ", "\r\n", " ,\n "])
def test_entries_are_separated_by_commas_and_white_space(separator: str) -> None:
    assert login("other", separator.join(TWO.split(",")) + separator) == "ops"


def test_upper_case_hex_is_read() -> None:
    assert login("s3cret", f"shop={digest('s3cret').upper()}") == "shop"


def test_one_name_may_have_two_keys_while_it_is_rotated() -> None:
    value = f"shop={digest('old')} shop={digest('new')}"
    assert login("old", value) == login("new", value) == "shop"


@pytest.mark.parametrize(
    "key", [None, "", "S3CRET", "s3cret ", digest("s3cret"), "shop", "x" * (MAX_KEY + 1), "\udc80"]
)
def test_missing_and_wrong_keys_are_answered_alike(key: str | None) -> None:
    with pytest.raises(AuthFailure) as caught:
        login(key, TWO)
    assert caught.value.status == 401
    assert caught.value.challenge == 'ApiKey header="x-api-key"'
    assert key is None or len(key) < 2 or key not in caught.value.reason


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ,\n",
        "shop",
        "shop=",
        "shop=s3cret",
        f"={digest('s3cret')}",
        digest("s3cret"),
        f"shop={digest('s3cret')[:-1]}",
        f"shop={digest('s3cret')[:-1]}g",
        f"shop={digest('s3cret')}0",
        f"shop={digest('s3cret')} trailing",
        f"shop={digest('s3cret')} ops={digest('s3cret')}",
    ],
)
def test_an_unusable_variable_lets_nobody_in(value: str | None) -> None:
    for key in ("s3cret", None):
        with pytest.raises(AuthMisconfigured) as caught:
            login(key, value)
        assert VARIABLE in str(caught.value)
        assert "s3cret" not in str(caught.value)


def test_a_key_has_a_greatest_length() -> None:
    assert login("x" * MAX_KEY, f"long={digest('x' * MAX_KEY)}") == "long"
    with pytest.raises(AuthFailure, match="too long"):
        login("x" * (MAX_KEY + 1), f"long={digest('x' * (MAX_KEY + 1))}")


def test_a_changed_variable_counts_at_once() -> None:
    assert login("s3cret", TWO) == "shop"
    with pytest.raises(AuthFailure):
        login("s3cret", f"shop={digest('another')}")
    assert login("s3cret", TWO) == "shop"


def test_two_variables_do_not_share_keys() -> None:
    environ = {"A": f"a={digest('1')}", "B": f"b={digest('2')}"}
    headers = {"x-api-key": "2"}
    with pytest.raises(AuthFailure):
        authenticate_key(headers.get, "A", environ)
    assert authenticate_key(headers.get, "B", environ).subject == "b"


@given(st.text(max_size=40))
def test_only_the_key_itself_is_accepted(key: str) -> None:
    if key == "s3cret":
        assert login(key, TWO) == "shop"
    elif key == "other":
        assert login(key, TWO) == "ops"
    else:
        with pytest.raises(AuthFailure):
            login(key, TWO)
