"""Makes spans of the user's own OpenTelemetry nest in the invocation's. Ships.

Loaded only when the package has ``opentelemetry-api`` or spans are exported.
https://opentelemetry.io/docs/specs/otel/context/#optional-global-operations
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from portafaas.runtime.context import Context


def nested(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Return *handle* with the invocation's span as OpenTelemetry's current one.

    *handle* itself when the package has no ``opentelemetry-api``. Sync or async as it was.
    """
    try:
        from opentelemetry import context as api
        from opentelemetry import trace
    except ImportError:
        return handle

    def enter(context: Context) -> Any:
        span = context.span
        state = trace.TraceState.from_header([span.state]) if span.state else None
        parent = trace.SpanContext(
            int(span.trace_id, 16),
            int(span.span_id, 16),
            # Not of the user's SDK: its samplers treat it as the caller's decision.
            is_remote=True,
            trace_flags=trace.TraceFlags(1 if span.sampled else 0),
            trace_state=state,
        )
        return api.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))

    async def wait(awaitable: Any, context: Context) -> Any:
        # The coroutine runs in a task of its own, which has a context of its own.
        token = enter(context)
        try:
            return await awaitable
        finally:
            api.detach(token)

    def call(payload: Any, context: Context) -> Any:
        token = enter(context)
        try:
            result = handle(payload, context)
        finally:
            api.detach(token)
        if type(result) is not dict and hasattr(result, "__await__"):
            return wait(result, context)
        return result

    return call
