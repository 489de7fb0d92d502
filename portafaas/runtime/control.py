"""Attributes that portafaas puts on messages for itself. Ships; imports nothing.

They begin with ``pf-``, are carried by every transport, and never reach a handler's attributes.
Bridges take them off with :func:`split` and hand them to ``Message`` and ``Event`` as *control*.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: The id that ``send`` returned. Brokers number copies anew; handlers see this one.
ID = "pf-id"
#: Deliveries that the platform no longer counts, since what it delivers now is a copy.
ATTEMPT = "pf-attempt"
#: When the first copy was sent, RFC 3339: the age of a copy is that of the first.
SENT = "pf-sent"
#: Seconds since 1970 after which nobody wants it any more.
EXPIRES = "pf-expires"
#: What the sender gave as ``dedup``: the key of idempotency.
DEDUP = "pf-dedup"
#: Where the body is, ``<bucket>/<key>``, when it is too long for a message.
CLAIM = "pf-claim"
#: Prefix of the objects in which such bodies are kept; no function hears of those.
CLAIMS = "pf-claims/"
#: The one function of a topic that a copy is for.
TO = "pf-to"
#: Why it is a dead letter; see ``Letter``.
DEAD = "pf-dead"

#: The transports' own: how a body is encoded and what does not fit elsewhere.
_TRANSPORT = frozenset(("pf-encoding", "pf-key", "pf-attributes", "pf-empty"))


def split(attributes: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str] | None]:
    """Return the attributes a handler sees, and portafaas' own (None when there are none)."""
    visible: dict[str, str] = {}
    ours: dict[str, str] | None = None
    for name, value in attributes.items():
        if name[:3] != "pf-":
            visible[name] = value
        elif name not in _TRANSPORT:
            if ours is None:
                ours = {}
            ours[name] = value
    return visible, ours


def carried(control: Mapping[str, str] | None) -> int:
    """Return how many deliveries came before those that the platform counts."""
    if control is None:
        return 0
    try:
        return max(0, int(control.get(ATTEMPT, 0)))
    except ValueError:
        return 0


def expired(control: Mapping[str, str] | None) -> bool:
    """Tell whether nobody wants it any more. Who consumes dead letters wants them all."""
    if control is None or EXPIRES not in control or DEAD in control:
        return False
    from time import time

    try:
        return time() >= float(control[EXPIRES])
    except ValueError:
        return False
