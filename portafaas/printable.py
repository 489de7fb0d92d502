"""Text of others, such that a terminal only shows it."""

from __future__ import annotations

import re

#: What a terminal takes for more than text: control characters (ESC and CSI among them), marks that
#: turn the direction of writing, line separators, and lone surrogates, which cannot be encoded.
#: https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str, keep: str = "") -> str:
    """Return *text*, which anybody may have sent, such that a terminal only shows it.

    Control characters but those of *keep* are written as Python does: ``\\x1b``.
    """

    def written(found: re.Match[str]) -> str:
        char = found[0]
        return char if char in keep else char.encode("unicode_escape").decode("ascii")

    return UNSAFE.sub(written, text)
