"""Ends a handler that outlives its timeout. Ships; imports load on first use.

Rules D-1 to D-6 of ``docs/spec/invocation.md``. On the main thread an interval timer's signal
raises :class:`HandlerTimeout` inside the handler, blocking calls included. On any other thread
the handler runs in a worker thread: at the deadline the caller gets its answer at once, and the
exception is injected into the worker, which sees it at its next bytecode.

What must not be left halfway is let finish first, for at most :data:`GRACE` seconds: an import, of
which Python keeps the modules that were complete, and which may then fail for as long as the
process lives (https://docs.python.org/3/reference/import.html#loading); and :func:`whole`.
"""

from __future__ import annotations

from time import monotonic

from portafaas.runtime.context import HandlerTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from types import CodeType
    from typing import Any, TypeVar

    C = TypeVar("C", bound=Callable[..., Any])

#: Seconds after the deadline for what is not left halfway; platforms leave five, but one to http on
#: AWS.
GRACE = 4.0
#: Seconds between two looks whether that is over.
LOOK = 0.02
#: The code of functions that are not left halfway.
_whole: set[CodeType] = set()

#: When the running invocation must end, on the monotonic clock; 0 between invocations.
_ends = 0.0
#: When the timer fires that is set, on the same clock; 0 when none is.
_fires = 0.0
#: ``signal.setitimer`` and which timer, once it is known that this process can use them.
_setitimer: Any = None
_timer = 0
_main_ident = 0
_ident: Any = None


def _on_alarm(signum: int, frame: Any) -> None:
    global _fires
    _fires = 0.0
    if not _ends:
        return
    now = monotonic()
    left = _ends - now
    if left > 0:
        # Set for an earlier invocation. The rest of this one's time:
        _fires = _ends
        _setitimer(_timer, left)
    elif left > -GRACE and _halfway(frame):
        _fires = now + LOOK
        _setitimer(_timer, LOOK)
    else:
        raise HandlerTimeout


def whole(function: C) -> C:
    """Have the deadline wait for *function*, a Python one; for a decorator."""
    _whole.add(function.__code__)
    return function


def _halfway(frame: Any) -> bool:
    """Tell whether something runs in *frame*, or called it, that has to come to its end."""
    while frame is not None:
        code = frame.f_code
        if code in _whole or code.co_filename.startswith("<frozen importlib."):
            return True
        frame = frame.f_back
    return False


def halfway(worker: threading.Thread) -> bool:
    """Tell whether *worker* is at something that has to come to its end."""
    from sys import _current_frames

    return _halfway(_current_frames().get(worker.ident or 0))


def _prepare() -> None:
    """Find out once whether this process can use the timer: POSIX, and SIGALRM not taken."""
    global _setitimer, _timer, _main_ident, _ident
    import _thread
    import signal
    import threading

    _ident = _thread.get_ident
    _main_ident = threading.main_thread().ident or 0
    if not hasattr(signal, "setitimer") or _ident() != _main_ident:
        return
    if signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, _on_alarm):
        signal.signal(signal.SIGALRM, _on_alarm)
        _setitimer, _timer = signal.setitimer, signal.ITIMER_REAL


def call(handle: Callable[..., Any], payload: Any, context: Any, seconds: float) -> Any:
    """Call ``handle(payload, context)`` to its end, awaiting a coroutine it returns.

    Raises :class:`HandlerTimeout` after *seconds*.
    """
    global _ends, _fires
    if _ident is None:
        _prepare()
    if _setitimer is None or _ident() != _main_ident:
        return _call_in_thread(handle, payload, context, seconds)
    # A timer that is set for an earlier invocation serves this one too, since it fires sooner:
    # setting and clearing one for each would cost more than the rest of the bridge.
    now = monotonic()
    ends = now + seconds
    if not now < _fires <= ends:
        # None is set, one that some code has cancelled, or one that comes too late.
        _fires = ends
        _setitimer(_timer, seconds)
    _ends = ends
    try:
        result = handle(payload, context)
        if type(result) is not dict and hasattr(result, "__await__"):
            from portafaas.runtime.aio import run

            result = run(result)
    finally:
        _ends = 0.0
    return result


def arm(seconds: float) -> float:
    """Set the timer for several calls in a row that end *seconds* from now.

    Returns when that is, on the monotonic clock: the caller puts it into ``_ends`` for each call
    and 0 behind it, as :func:`call` does, for as long as ``_fires`` is not 0. Returns 0 where there
    is no timer: there each is a matter of :func:`call`.
    """
    global _fires
    if _ident is None:
        _prepare()
    if _setitimer is None or _ident() != _main_ident:
        return 0.0
    now = monotonic()
    ends = now + seconds
    if not now < _fires <= ends:
        _fires = ends
        _setitimer(_timer, seconds)
    return ends


def _call_in_thread(handle: Callable[..., Any], payload: Any, context: Any, seconds: float) -> Any:
    import threading

    done = threading.Event()
    outcome: list[Any] = [None, None]

    def work() -> None:
        try:
            outcome[0] = handle(payload, context)
        except BaseException as exc:
            outcome[1] = exc
        finally:
            done.set()

    ends = monotonic() + seconds
    # Daemon: an abandoned handler must not keep the instance from ending.
    worker = threading.Thread(target=work, name=f"portafaas-{context.function}", daemon=True)
    worker.start()
    if not done.wait(seconds):
        while halfway(worker) and monotonic() < ends + GRACE and not done.wait(LOOK):
            pass
        if not done.is_set():
            interrupt(worker)
            raise HandlerTimeout
    if outcome[1] is not None:
        raise outcome[1]
    if not hasattr(outcome[0], "__await__"):
        return outcome[0]

    from portafaas.runtime.aio import run

    return run(outcome[0], max(0.0, ends - monotonic()))


def interrupt(worker: threading.Thread) -> None:
    """Raise :class:`HandlerTimeout` in *worker* at its next bytecode.

    https://docs.python.org/3/c-api/init.html#c.PyThreadState_SetAsyncExc
    """
    import ctypes

    if worker.ident is not None and worker.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(worker.ident), ctypes.py_object(HandlerTimeout)
        )
