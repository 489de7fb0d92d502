"""What a subscription's filter lets pass, for the grammar that ``grammar.filter_problem`` takes.

https://cloud.google.com/pubsub/docs/subscription-message-filter#filtering_syntax
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_TOKEN = re.compile(r'\s*([A-Za-z][\w-]*|"(?:[^"\\]|\\.)*"|!=|[=:().,-])')


def matches(text: str, attributes: Mapping[str, str]) -> bool:
    """Return whether a message with *attributes* passes the filter *text*."""
    tokens = _TOKEN.findall(text)

    def take(*wanted: str) -> str:
        token: str = tokens.pop(0)
        assert not wanted or token in wanted, (token, wanted)
        return token

    def word() -> str:
        token = take()
        found: str = json.loads(token) if token.startswith('"') else token
        return found

    def expression() -> bool:
        found = term()
        while tokens and tokens[0] in ("AND", "OR"):
            joint, other = take(), term()
            found = (found and other) if joint == "AND" else (found or other)
        return found

    def term() -> bool:
        token = take()
        if token in ("NOT", "-"):
            return not term()
        if token == "(":
            found = expression()
            take(")")
            return found
        if token == "hasPrefix":
            take("("), take("attributes"), take(".")
            name = word()
            take(",")
            value = word()
            take(")")
            return attributes.get(name, "").startswith(value)
        assert token == "attributes", token
        if take(":", ".") == ":":
            return word() in attributes
        name = word()
        sign = take("=", "!=")
        return (attributes.get(name) == word()) is (sign == "=")

    found = expression()
    assert not tokens, tokens
    return found
