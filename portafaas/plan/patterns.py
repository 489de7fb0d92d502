"""A text that a regular expression is found in, for samples of a JSON Schema."""

from __future__ import annotations

import re
from typing import Any


class NoExample(ValueError):
    """No value could be found that fits a schema."""


def matching(pattern: str, least: int) -> str:
    """Return a text that *pattern* is found in, of *least* characters if that fits.

    Raises NoExample for a pattern that is too clever.
    """
    import re._constants as codes  # type: ignore[import-not-found]
    from re import _parser as parser  # type: ignore[attr-defined]

    def told(parts: Any) -> str:
        text = ""
        for code, argument in parts:
            if code is codes.LITERAL:
                text += chr(argument)
            elif code is codes.IN:
                text += member(argument)
            elif code is codes.ANY:
                text += "x"
            elif code is codes.NOT_LITERAL:
                text += "x" if chr(argument) != "x" else "y"
            elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
                low, high, inner = argument
                text += told(inner) * max(low, 1 if high else 0)
            elif code is codes.SUBPATTERN:
                text += told(argument[3])
            elif code is codes.BRANCH:
                text += told(argument[1][0])
            elif code is not codes.AT:
                raise NoExample(f"no example for the pattern {pattern!r}: add 'examples'")
        return text

    def member(choices: Any) -> str:
        kinds = {codes.CATEGORY_DIGIT: "1", codes.CATEGORY_WORD: "x", codes.CATEGORY_SPACE: " "}
        for code, argument in choices:
            if code is codes.LITERAL:
                return chr(argument)
            if code is codes.RANGE:
                return chr(argument[0])
            if code is codes.CATEGORY and argument in kinds:
                return kinds[argument]
        letters = "x1-_ Aé"
        source = "[^" if choices and choices[0][0] is codes.NEGATE else ""
        compiled = [c for c in letters if source and re.search(pattern, c)]
        return compiled[0] if compiled else "x"

    text = told(parser.parse(pattern))
    if len(text) < least and re.search(pattern, text + text[-1:] * (least - len(text))):
        text += text[-1:] * (least - len(text))
    return text
