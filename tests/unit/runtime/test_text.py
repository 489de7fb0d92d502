"""Percent decoding, queries, cookies and times, held against the standard library."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portafaas.runtime.text import (
    epoch_time,
    parse_cookies,
    parse_query,
    percent_decode,
    percent_encode,
    utc_time,
)

# Text with many signs that matter; lone surrogates cannot come in over HTTP.
TEXTS = st.text(
    st.sampled_from("%%%%=&+;0123456789abcdefABCDEFgGzZ +-_/?#\u00e4\u20ac\U0001f600\u0661")
) | st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
@example("%E2%82%AC%E2%82")
@example("%+1%-1% 1%1 %1")
@example("%C3\u00e4%A4")
@example("%\u0661\u0661")
@example("a%00%7F%25%2525")
def test_percent_decode_is_unquote(text: str) -> None:
    assert percent_decode(text) == unquote(text, errors="replace")


@given(TEXTS, st.sampled_from(["", "/", "/:@"]))
def test_percent_encode_is_quote(text: str, safe: str) -> None:
    assert percent_encode(text, safe) == quote(text, safe=safe)
    assert percent_decode(percent_encode(text, safe)) == text


@given(TEXTS)
@example("a=1&a=2&b=&c&&=&=x&a=b=c")
def test_parse_query_is_parse_qsl(text: str) -> None:
    assert parse_query(text) == parse_qsl(text, keep_blank_values=True)


@given(st.lists(st.tuples(st.text("abcXYZ019-_", min_size=1), st.text("abcXYZ019-_=%/"))))
def test_parse_cookies_reads_what_a_browser_joins(pairs: list[tuple[str, str]]) -> None:
    header = "; ".join(f"{name}={value}" for name, value in pairs)
    assert parse_cookies(header) == pairs


def test_parse_cookies_agrees_with_the_library_on_plain_ones() -> None:
    header = "a=1; session=x-y_z.0; b=2"
    library = SimpleCookie(header)
    assert dict(parse_cookies(header)) == {name: m.value for name, m in library.items()}


@pytest.mark.parametrize(
    ("header", "pairs"),
    [
        ("", []),
        (";;", []),
        ("flag", []),
        ("=x", []),
        ("a=", [("a", "")]),
        ("a = b ;c=d", [("a", "b"), ("c", "d")]),
        ('a="1, 2"', [("a", '"1, 2"')]),
        ("a=1;a=2", [("a", "1"), ("a", "2")]),
    ],
)
def test_cookies(header: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_cookies(header) == pairs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z"),
        ("2026-11-23T10:00:00.1Z", "2026-11-23T10:00:00.100Z"),
        ("2026-11-23T10:00:00.123456789Z", "2026-11-23T10:00:00.123Z"),
        ("2026-11-23T10:00:00.9999999Z", "2026-11-23T10:00:00.999Z"),
        ("2026-11-23T12:30:00+02:30", "2026-11-23T10:00:00.000Z"),
        ("2026-11-23T00:30:00.5+01:00", "2026-11-22T23:30:00.500Z"),
        ("2026-11-23T10:00:00.1234567-00:30", "2026-11-23T10:30:00.123Z"),
        ("2026-11-23T10:00:00", "2026-11-23T10:00:00.000Z"),
        ("2026-11-23T10:00:00.25", "2026-11-23T10:00:00.250Z"),
        ("2026-11-23 10:00:00+00:00", "2026-11-23T10:00:00.000Z"),
        ("yesterday", "yesterday"),
        ("12:30", "12:30"),
        ("2026-11-23T10:00:00.+01:00", "2026-11-23T10:00:00.+01:00"),
        ("0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+01:00"),
    ],
)
def test_utc_time(text: str | None, expected: str | None) -> None:
    assert utc_time(text) == expected


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)),
    st.integers(-14 * 60, 14 * 60),
)
def test_utc_time_is_the_same_instant(moment: datetime, minutes: int) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = utc_time(there.isoformat())
    assert text is not None
    here = datetime.fromisoformat(text)
    assert here == there.replace(microsecond=there.microsecond // 1000 * 1000)
    assert len(text) == 24


@given(st.integers(0, 253_402_300_799_999))
def test_epoch_time(millis: int) -> None:
    text = epoch_time(millis / 1000)
    moment = datetime.fromisoformat(text)
    # A float of this size has room for a tenth of a millisecond.
    assert abs(moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)
               - timedelta(milliseconds=millis)) <= timedelta(milliseconds=0)  # fmt: skip


def test_epoch_time_carries() -> None:
    assert epoch_time(0.9996) == "1970-01-01T00:00:01.000Z"
