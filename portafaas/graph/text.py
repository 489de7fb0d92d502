"""How wide text is, and what is cut off."""

from __future__ import annotations

import unicodedata

#: Width of a character of a monospaced font, in ems; the usual ones have 0.55 to 0.602.
_EM = 0.605


def width(text: str, size: float) -> float:
    """Return the width of *text* in a monospaced font of *size*."""
    return sum(_cells(character) for character in text) * _EM * size


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, most: int) -> str:
    """Return *text* in at most *most* cells on one line, with an ellipsis for what is left out."""
    # Control characters have no place in XML, nor a width.
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    if sum(map(_cells, text)) <= most:
        return text
    out, used = "", 1
    for character in text:
        used += _cells(character)
        if used > most:
            break
        out += character
    return f"{out}…"


def clean(text: str) -> str:
    """Return *text* without what XML 1.0 does not allow: https://www.w3.org/TR/xml/#charsets."""
    return "".join(
        c
        if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
        else "\ufffd"
        for c in text
    )


def escape(text: str) -> str:
    """Return *text* for the content and the attributes of XML and HTML."""
    from html import escape

    return escape(clean(text), quote=True)
