"""Signed links that hand a signal to a run of a workflow. Ships; loaded at first use.

A token says which signal of which run it is for and until when, maybe with what payload. It is
``<claims>.<mac>``: base64url (RFC 4648 section 5, unpadded) of JSON, and of HMAC-SHA256 (RFC 2104)
over it. Whoever has it may give the signal: it is for links in mails and chats. ``docs/spec/
workflows.md`` has the rules (L-1 to L-5).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Key = str | bytes | Sequence[str | bytes]

#: Bytes of the shortest key: half of what HMAC-SHA256 takes best.
MIN_KEY = 16
#: Characters of the longest token: mail programs and gateways take URLs of at least that.
LONGEST = 1800
#: Seconds that a token may live at most: no wait is longer.
MAX_AGE = 31_536_000
#: Part of what is signed, so that no other use of the same key makes a token.
_PURPOSE = b"portafaas.signal.1\n"


class BadToken(ValueError):
    """A token that opens nothing.

    Attributes:
        reason: ``malformed``, ``forged``, ``expired``, or ``other`` (for another workflow).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the token is {reason}")
        self.reason = reason


class SignalToken:
    """What a token is for.

    Attributes:
        workflow, run, signal: names and id.
        expires: seconds since 1970 (int).
        fixed: whether it carries a payload.
        payload: JSON value, None unless ``fixed``.
    """

    __slots__ = ("expires", "fixed", "payload", "run", "signal", "workflow")

    def __init__(
        self, workflow: str, run: str, signal: str, expires: int, fixed: bool, payload: Any
    ) -> None:
        self.workflow = workflow
        self.run = run
        self.signal = signal
        self.expires = expires
        self.fixed = fixed
        self.payload = payload

    def __repr__(self) -> str:
        return f"<token for {self.signal!r} of run {self.run!r} of {self.workflow!r}>"


def sign(
    workflow: str, run: str, signal: str, *, key: Key, expires: float = 86_400, **payload: Any
) -> str:
    """Return a token that is good for *expires* seconds (1 to a year).

    *key* is a secret of at least 16 bytes, of several the first signs. ``payload=`` fixes what the
    signal carries. Raises ValueError, and TypeError for a payload that is no JSON.
    """
    from time import time

    if set(payload) - {"payload"}:
        raise TypeError(f"sign() knows no {', '.join(sorted(set(payload) - {'payload'}))}")
    for what, value in (("workflow", workflow), ("run", run), ("signal", signal)):
        if not isinstance(value, str) or not value:
            raise ValueError(f"{what} is {value!r}: a token is for one run's signal")
    if not 1 <= expires <= MAX_AGE:
        raise ValueError(f"expires is 1 to {MAX_AGE} seconds, not {expires!r}")
    import json

    claims: dict[str, Any] = {"w": workflow, "r": run, "s": signal, "e": int(time() + expires)}
    if payload:
        claims["p"] = payload["payload"]
    text = json.dumps(claims, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    body = _base64(text.encode("utf-8"))
    token = f"{body}.{_mac(body, _keys(key)[0])}"
    if len(token) > LONGEST:
        raise ValueError(f"the token has {len(token)} characters; at most {LONGEST} fit into links")
    return token


def opened(token: str, *, key: Key, workflow: str | None = None) -> SignalToken:
    """Return what *token* is for; raise :class:`BadToken` for one that is not good (any more).

    *key* as in :func:`sign`; each of several opens, so that keys can be changed. *workflow*: the
    one that it has to be for.
    """
    keys = _keys(key)
    if not isinstance(token, str) or len(token) > LONGEST or not token.isascii():
        raise BadToken("malformed")
    body, dot, mac = token.partition(".")
    if not dot or not body:
        raise BadToken("malformed")
    from hmac import compare_digest

    # All keys, each in constant time; before anything of the token is looked at.
    known = False
    for one in keys:
        known = compare_digest(_mac(body, one).encode(), mac.encode()) or known
    if not known:
        raise BadToken("forged")
    import json
    from base64 import urlsafe_b64decode
    from time import time

    claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    if time() >= claims["e"]:
        raise BadToken("expired")
    if workflow is not None and claims["w"] != workflow:
        raise BadToken("other")
    return SignalToken(
        claims["w"], claims["r"], claims["s"], claims["e"], "p" in claims, claims.get("p")
    )


def linked(url: str, token: str) -> str:
    """Return *url* with the token as the query parameter ``token``; raise ValueError for no URL."""
    scheme, colon, rest = url.partition("://")
    if scheme not in ("https", "http") or not colon or not rest or "#" in url:
        raise ValueError(f"{url!r} is no http(s) URL that takes a query")
    return f"{url}{'&' if '?' in url else '?'}token={token}"


def _keys(key: Key) -> list[bytes]:
    found = [key] if isinstance(key, (str, bytes)) else list(key)
    keys = [one.encode("utf-8") if isinstance(one, str) else bytes(one) for one in found]
    if not keys or any(len(one) < MIN_KEY for one in keys):
        # An empty or short secret must not sign what anybody can guess.
        raise ValueError(f"a key of at least {MIN_KEY} bytes is needed")
    return keys


def _mac(body: str, key: bytes) -> str:
    import hmac

    return _base64(hmac.digest(key, _PURPOSE + body.encode("ascii"), "sha256"))


def _base64(raw: bytes) -> str:
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
