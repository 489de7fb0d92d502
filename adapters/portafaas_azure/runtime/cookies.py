"""Carries ``Set-Cookie`` values through the Functions SDK and host. Ships; imports nothing.

The SDK takes ``Set-Cookie`` headers apart into typed cookies, and the host's ASP.NET Core writes
new headers from those: attributes in lower case and an order of its own, the value
percent-encoded. https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script.Grpc/MessageExtensions/GrpcMessageExtensionUtilities.cs
https://github.com/dotnet/aspnetcore/blob/main/src/Http/Http/src/Internal/ResponseCookies.cs

A cookie means the same to a browser afterwards if its value is percent-encoded in just the way
``Uri.EscapeDataString`` does it, and its attributes are those the typed cookie has fields for. A
response holds one header of each name, so that one cookie, of any form, can go past the SDK as a
plain ``set-cookie`` header, unaltered; the host writes it before the typed ones.
"""

from __future__ import annotations

from portafaas.runtime.text import percent_decode, percent_encode

_TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#%&'*+-.^_`|~")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH = _PLAIN | frozenset("/%!$&'()*+:=@")
# Names http.cookies takes for attributes.
_RESERVED = frozenset(
    ("comment", "domain", "expires", "httponly", "max-age", "partitioned", "path", "samesite",
     "secure", "version")
)  # fmt: skip
_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


class CookieRefused(ValueError):
    """The response's cookies cannot be sent as they are; sending others would be worse."""


def split(text: str) -> tuple[str, str, list[tuple[str, str]]]:
    """Return name, value and (lower-case name, value) attributes (RFC 6265 section 5.2)."""
    pair, *rest = text.split(";")
    name, _, value = pair.partition("=")
    attributes = []
    for piece in rest:
        key, _, content = piece.partition("=")
        attributes.append((key.strip().lower(), content.strip()))
    return name.strip(), value.strip(), attributes


def divide(cookies: list[str]) -> tuple[int, list[str]]:
    """Return which cookie to send as a plain header, and texts of the others for the SDK.

    Raises :class:`CookieRefused` when more than one needs the plain header, or when sending it
    first would let an older cookie of the same name win.
    """
    texts = [typed(cookie) for cookie in cookies]
    needy = [index for index, text in enumerate(texts) if text is None]
    if len(needy) > 1:
        names = ", ".join(repr(split(cookies[index])[0]) for index in needy)
        raise CookieRefused(
            f"Azure Functions can send only one cookie of a form it would rewrite; there are "
            f"{len(needy)}: {names} (percent-encode their values, and use only standard attributes)"
        )
    plain = needy[0] if needy else 0
    name = split(cookies[plain])[0]
    if any(split(cookie)[0] == name for cookie in cookies[:plain]):
        raise CookieRefused(
            f"Azure Functions would send the second cookie named {name!r} before the first"
        )
    del texts[plain]
    return plain, [text for text in texts if text is not None]


def header_name(position: int) -> str:
    """Return ``set-cookie``, with *position* (0 to 511) written in the case of its letters.

    To host and client all spellings are one name, and the order of differently named cookies means
    nothing. The adapter's ``decode`` reads it, to report cookies in the order they were set.
    """
    bits = iter(range(9))
    return "".join(
        c.upper() if c != "-" and position >> next(bits) & 1 else c for c in "set-cookie"
    )


def position_of(name: str) -> int:
    """Return the position that :func:`header_name` wrote."""
    letters = name.replace("-", "")
    return sum(1 << bit for bit, letter in enumerate(letters) if letter.isupper())


def typed(cookie: str) -> str | None:
    """Return *cookie* as the SDK must be given it, or None when it would not arrive unaltered."""
    name, value, attributes = split(cookie)
    if not name or name[0] == "$" or not _TOKEN.issuperset(name) or name.lower() in _RESERVED:
        return None
    decoded = percent_decode(value)
    if percent_encode(decoded) != value or any(c < " " or c == "\x7f" for c in decoded):
        return None
    if not _PLAIN.issuperset(decoded):
        # http.cookies undoes this quoting; the host then encodes the value again.
        decoded = '"' + decoded.replace("\\", "\\\\").replace('"', '\\"') + '"'
    parts = [f"{name}={decoded}"]
    seen = set()
    for key, content in attributes:
        if key in seen or not _carried(key, content):
            return None
        seen.add(key)
        parts.append(f"{key}={content}" if content else key)
    return "; ".join(parts)


def _carried(key: str, content: str) -> bool:
    if key == "secure" or key == "httponly":
        return not content
    if key == "max-age":
        # A TimeSpan, which the host prints without a sign.
        return content.isdigit() and content.isascii() and len(content) <= 11
    if key == "domain":
        return bool(content) and _PLAIN.issuperset(content)
    if key == "path":
        return content[:1] == "/" and _PATH.issuperset(content)
    if key == "samesite":
        return content.lower() in _SAME_SITE
    return key == "expires" and _date(content)


def _date(text: str) -> bool:
    """Tell whether *text* is an IMF-fixdate since 1970 that comes out as it went in."""
    import time
    from calendar import timegm

    if time.timezone or time.daylight:
        return False  # The worker reads the date as local time.
    try:
        moment = time.strptime(text, "%a, %d %b %Y %H:%M:%S GMT")
        seconds = timegm(moment)
        again = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
    except (ValueError, OverflowError):
        return False
    return seconds >= 0 and again == text


def canonical(text: str) -> str:
    """Return a typed cookie's header as ``Response.set_cookie`` would have written it."""
    name, value, attributes = split(text)
    given = dict(attributes)
    parts = [f"{name}={value}"]
    for key, title in (
        ("expires", "Expires"), ("max-age", "Max-Age"), ("domain", "Domain"), ("path", "Path"),
    ):  # fmt: skip
        if given.get(key):
            parts.append(f"{title}={given[key]}")
    if "secure" in given:
        parts.append("Secure")
    if "httponly" in given:
        parts.append("HttpOnly")
    if given.get("samesite"):
        parts.append("SameSite=" + _SAME_SITE.get(given["samesite"].lower(), given["samesite"]))
    return "; ".join(parts)
