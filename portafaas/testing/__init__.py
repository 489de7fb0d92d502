"""The conformance kit: what every adapter must do, as cases that any adapter can be run against.

``portafaas.testing.cases``    what is delivered to which function, and what must come of it
``portafaas.testing.service``  the functions the cases use, as a manifest
``portafaas.testing.project``  their handlers: data, never imported from here
``portafaas.testing.kit``      builds that service for one target and delivers cases to it
``portafaas.testing.suite``    the kit as a pytest class: an adapter's author subclasses it

Which cases run follows from the adapter's capability table; nothing is skipped. What an adapter
declares must work; what it does not declare must be refused.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portafaas.runtime.context import Context


def make_context(
    function: str = "test", *, service: str = "test", timeout: float = 30.0, attempt: int = 1
) -> Context:
    """Return a context for a test that calls a handler itself; its deadline is not enforced.

    ``timeout`` is in seconds.
    """
    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function

    spec = {
        "name": function,
        "service": service,
        "kind": "http",
        "handler": "test:test",
        "timeout": timeout,
        "memory": 256,
        "source": f"/{service}/tests/{function}",
        "trigger": {},
    }
    return Context(Function(spec), "00000000-0000-0000-0000-000000000000", attempt=attempt)
