"""Finds, fetches and keeps the key set that tokens are verified with. Ships.

A set comes from a URL (RFC 7517), from an issuer's discovery document (OpenID Connect Discovery
1.0 section 4), or inline from the environment. It is kept for the life of the instance; rules A-20
to A-29 of ``docs/spec/http-auth.md``. The network stack is imported when a set must be fetched.
"""

from __future__ import annotations

from _thread import allocate_lock
from time import time

from portafaas.runtime.jws import Key, Malformed, json_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds a fetched set is used without asking again.
TTL = 600
#: Seconds between two fetches that an unknown ``kid`` or a failed fetch asks for.
PAUSE = 30
#: Seconds a set outlives its fetch while it cannot be fetched again.
STALE = 3600
#: Seconds for one fetch in all: name look-up, connection, TLS, answer (two if discovery is used).
TIMEOUT = 5.0
#: Largest document, in bytes, and most keys in a set.
MAX_DOCUMENT, MAX_KEYS = 262_144, 200

_DISCOVERY = "/.well-known/openid-configuration"


class Unavailable(Exception):
    """No key set could be had now; trying again later may help."""


class BadSource(Exception):
    """The configured source can never give a key set."""


class KeySet:
    """The keys of one source; safe to use from several threads."""

    __slots__ = ("_asked", "_fetched", "_issuer", "_keys", "_lock", "_trouble", "_url")

    def __init__(self, url: str, issuer: str | None = None) -> None:
        """Keys at *url*; with *issuer* it is that issuer's discovery document that is there."""
        self._url = url
        self._issuer = issuer
        self._keys: list[Key] | None = None
        self._fetched = 0.0
        self._asked = 0.0
        self._trouble: Exception | None = None
        self._lock = allocate_lock()

    def candidates(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys that may have signed; [] when the set does not hold one.

        Raises :class:`Unavailable` when there is no set, :class:`BadSource` when there never will.
        """
        found = pick(self._current(), kid, algorithm)
        if not found:
            # The issuer may have begun to use a new key since.
            self._refresh(wait=True)
            found = pick(self._current(), kid, algorithm)
        if not found:
            self._complain()
        return found

    def _complain(self) -> None:
        # A new exception each time: one object raised again would collect tracebacks.
        trouble = self._trouble
        if trouble is not None:
            raise type(trouble)(*trouble.args)

    def _current(self) -> list[Key]:
        # Wall-clock time, since an instance may be frozen between invocations; a clock that was
        # set back makes the set old, not young.
        age = time() - self._fetched
        if self._keys is None or not 0 <= age < TTL:
            # One thread asks; the others go on with what there is.
            self._refresh(wait=self._keys is None)
            age = time() - self._fetched
            if self._keys is None or not 0 <= age < STALE:
                self._complain()
                raise Unavailable("the key set is being fetched")
        return self._keys

    def _refresh(self, *, wait: bool) -> None:
        if not self._lock.acquire(wait, 3 * TIMEOUT if wait else -1):
            return
        try:
            # Asked under the lock: a thread that waited finds the other's answer, not a ban.
            if 0 <= time() - self._asked < PAUSE:
                return
            self._asked = time()
            try:
                self._keys = self._load()
                self._fetched = time()
                self._trouble = None
            except (Unavailable, BadSource) as exc:
                self._trouble = type(exc)(*exc.args)
        finally:
            self._lock.release()

    def _load(self) -> list[Key]:
        url = self._url
        if self._issuer is not None:
            document = _document(fetch(url))
            # OpenID Connect Discovery 1.0 section 4.3: must be identical.
            if document.get("issuer") != self._issuer:
                raise BadSource("the discovery document names another issuer")
            found = document.get("jwks_uri")
            if not isinstance(found, str):
                raise Unavailable("the discovery document has no jwks_uri")
            url = found
        try:
            keys = load(_document(fetch(url)))
        except Malformed as exc:
            raise Unavailable(f"the answer cannot be read: {exc}") from None
        if not keys:
            raise Unavailable("the key set holds no usable key")
        return keys


class InlineKeys:
    """A key set given as text, such as in an environment variable."""

    __slots__ = ("_keys",)

    def __init__(self, text: str) -> None:
        """Load the JWK set *text*; raises :class:`BadSource` when it holds no usable key."""
        try:
            self._keys = load(json_object(text.encode("utf-8", "surrogatepass")))
        except Malformed as exc:
            raise BadSource(f"the inline key set cannot be read: {exc}") from None
        if not self._keys:
            raise BadSource("the inline key set holds no usable key")

    def candidates(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys that may have signed; [] when the set does not hold one."""
        return pick(self._keys, kid, algorithm)


_sources: dict[tuple[str, str], KeySet | InlineKeys] = {}


def key_set(issuer: str, url: str | None, override: str | None) -> KeySet | InlineKeys:
    """Return the instance's key set: from *override* (inline JSON or a URL), *url* or discovery.

    Raises :class:`BadSource`.
    """
    override = (override or "").strip()
    # With discovery the issuer is part of what is checked, so it is part of the name.
    name = ("", override or url or "") if override or url else (issuer, "")
    found = _sources.get(name)
    if found is None:
        if override.startswith("{"):
            found = InlineKeys(override)
        elif override or url:
            found = KeySet(override or url or "")
        else:
            found = KeySet(issuer.rstrip("/") + _DISCOVERY, issuer)
        found = _sources.setdefault(name, found)
    return found


def pick(keys: list[Key], kid: str | None, algorithm: str) -> list[Key]:
    """Return the keys with *kid* that fit; without a kid, the only key that fits, if it is one.

    https://openid.net/specs/openid-connect-core-1_0.html#Signing: with several keys a token must
    say which one signed it.
    """
    fit = [key for key in keys if key.fits(algorithm)]
    if kid is None:
        return fit if len(fit) == 1 else []
    return [key for key in fit if key.kid == kid]


def load(document: dict[str, Any]) -> list[Key]:
    """Return the usable keys of a JWK set, the others left out (RFC 7517 section 5).

    Raises :class:`Malformed` when it is not a JWK set.
    """
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise Malformed("not a JWK set")
    keys = []
    for jwk in listed:
        try:
            if isinstance(jwk, dict):
                keys.append(Key(jwk))
        except Malformed:
            continue
    return keys


def _document(body: bytes) -> dict[str, Any]:
    try:
        return json_object(body)
    except Malformed as exc:
        raise Unavailable(f"the answer cannot be read: {exc}") from None


def _loopback(host: str) -> bool:
    parts = host.split(".")
    return host in ("localhost", "::1") or (
        len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() for part in parts)
    )


def fetch(url: str) -> bytes:
    """Return what a GET of *url* answers with 200: https, or http to this machine itself.

    Redirects are not followed and proxies not used: both would choose another server than the one
    the manifest names. Raises :class:`Unavailable`, :class:`BadSource` for such a URL.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise BadSource("the URL of the key set cannot be read") from None
    if not host or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
        raise BadSource("the URL of the key set cannot be read")
    secure = parts.scheme == "https"
    if not secure and not (parts.scheme == "http" and _loopback(host)):
        raise BadSource("the key set must be fetched with https")
    import threading

    outcome: list[Any] = []
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # A socket's timeout starts anew with every byte, and a name look-up has none: a thread that is
    # given up is the only limit on the whole.
    worker = threading.Thread(
        target=_get, args=(secure, host, port, path, outcome), name="portafaas-jwks", daemon=True
    )
    worker.start()
    worker.join(TIMEOUT)
    if not outcome:
        raise Unavailable("the key set did not arrive in time")
    if isinstance(outcome[0], Exception):
        raise Unavailable(f"the key set could not be fetched: {outcome[0]}") from outcome[0]
    body: bytes = outcome[0]
    return body


def _get(secure: bool, host: str, port: int, path: str, outcome: list[Any]) -> None:
    try:
        from http.client import HTTPConnection, HTTPSConnection

        kind = HTTPSConnection if secure else HTTPConnection
        connection = kind(host, port, timeout=TIMEOUT)
        try:
            connection.request(
                "GET", path, headers={"accept": "application/json", "user-agent": "portafaas"}
            )
            # The connection lets go of a response that ends it: that one is closed here.
            with connection.getresponse() as response:
                if response.status != 200:
                    raise OSError(f"status {response.status}")
                body = response.read(MAX_DOCUMENT + 1)
            if len(body) > MAX_DOCUMENT:
                raise OSError(f"more than {MAX_DOCUMENT} bytes")
            outcome.append(body)
        finally:
            connection.close()
    except Exception as exc:
        outcome.append(exc)
