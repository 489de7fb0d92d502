"""Percent decoding, query strings, cookies and times. Ships; no import at module level.

``urllib.parse`` would do the first two, but importing it costs more than the rest of the runtime
together (``docs/adr/0003-runtime-weight.md``); tests hold these functions against it.
"""

from __future__ import annotations


def percent_decode(text: str) -> str:
    """Decode ``%XX`` once as UTF-8, invalid bytes as U+FFFD; a ``%`` without two hex digits stays.

    Same result as ``urllib.parse.unquote`` (https://url.spec.whatwg.org/#percent-decode).
    """
    if "%" not in text:
        return text
    head, *pieces = text.split("%")
    out = bytearray(head, "utf-8", "surrogatepass")
    for piece in pieces:
        code = piece[:2]
        # isalnum keeps int() from taking "+1" or " 1", isascii keeps out other digits.
        if len(code) == 2 and code.isalnum() and code.isascii():
            try:
                out.append(int(code, 16))
            except ValueError:
                out += b"%" + piece.encode("utf-8", "surrogatepass")
            else:
                out += piece[2:].encode("utf-8", "surrogatepass")
        else:
            out += b"%" + piece.encode("utf-8", "surrogatepass")
    return out.decode("utf-8", "replace")


def percent_encode(text: str, safe: str = "") -> str:
    """Encode every byte but unreserved ones (RFC 3986 section 2.3) and *safe* as ``%XX``."""
    keep = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + safe
    return "".join(
        chr(byte) if chr(byte) in keep else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogatepass")
    )


def parse_query(raw: str) -> list[tuple[str, str]]:
    """Split a query string into decoded pairs, in order, empty values kept, ``+`` as a space.

    Same pairs as ``urllib.parse.parse_qsl(keep_blank_values=True)``
    (https://url.spec.whatwg.org/#urlencoded-parsing).
    """
    pairs = []
    plain = "%" not in raw and "+" not in raw
    for piece in raw.split("&"):
        if piece:
            name, _, value = piece.partition("=")
            if not plain:
                name = percent_decode(name.replace("+", " "))
                value = percent_decode(value.replace("+", " "))
            pairs.append((name, value))
    return pairs


def parse_cookies(header: str) -> list[tuple[str, str]]:
    """Split a ``Cookie`` header into pairs, in order; a value keeps its quotes (RFC 6265 5.4)."""
    pairs = []
    for piece in header.split(";"):
        name, equals, value = piece.partition("=")
        name = name.strip()
        if equals and name:
            pairs.append((name, value.strip()))
    return pairs


def utc_time(text: str | None) -> str | None:
    """Return an RFC 3339 time in UTC with exactly three fractional digits, or *text* if unreadable.

    The clouds send 0 to 9 fractional digits and various offsets; milliseconds are what all keep.
    """
    if not text:
        return None
    # The common case, "2026-11-23T10:00:00.1234567Z", without importing datetime.
    if text[-1:] == "Z" and len(text) >= 20 and text[10] == "T" and (text[19] in ".Z"):
        digits = text[20:-1]
        if not digits or digits.isdigit():
            return f"{text[:19]}.{digits[:3]:0<3}Z"
    from datetime import datetime, timezone

    # Python 3.10 reads neither "Z" nor a fraction that has not 3 or 6 digits.
    whole, dot, rest = text.partition(".")
    offset = rest.lstrip("0123456789")
    digits = rest[: len(rest) - len(offset)]
    if not dot:
        whole, offset = (text[:-1], "Z") if text[-1] in "Zz" else (text, "")
    try:
        if dot and not digits:
            return text
        moment = datetime.fromisoformat(whole + ("+00:00" if offset in ("Z", "z") else offset))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)  # noqa: UP017 (datetime.UTC is 3.11)
        moment = moment.astimezone(timezone.utc)  # noqa: UP017
    except (ValueError, OverflowError):
        return text
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{digits[:3]:0<3}Z"


def epoch_time(seconds: float) -> str:
    """Return an RFC 3339 UTC time with three fractional digits for seconds since 1970."""
    from time import gmtime

    whole, millis = divmod(round(seconds * 1000), 1000)
    t = gmtime(whole)
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}"
        f"T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}.{millis:03d}Z"
    )
