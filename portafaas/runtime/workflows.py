"""Runs workflows: ``context.workflows["fulfil"]``. Ships; loaded at first use.

``docs/spec/workflows.md`` has the rules.
"""

from __future__ import annotations

from portafaas.runtime.resources import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    from portafaas.runtime.signals import Key, SignalToken

    State = Literal["running", "succeeded", "failed", "canceled"]


class RunStatus:
    """How a run is.

    Attributes:
        run: its id.
        state: ``running``, ``succeeded``, ``failed`` or ``canceled``.
        output: JSON value of one that has succeeded, else None.
        error, cause: of one that has failed, else "".
        waiting: names of the signals that it waits for.
    """

    __slots__ = ("cause", "error", "output", "run", "state", "waiting")

    def __init__(
        self,
        run: str,
        state: State,
        output: Any = None,
        error: str = "",
        cause: str = "",
        waiting: Sequence[str] = (),
    ) -> None:
        self.run = run
        self.state = state
        self.output = output
        self.error = error
        self.cause = cause
        self.waiting = tuple(waiting)

    def __repr__(self) -> str:
        return f"<run {self.run} {self.state}>"


class InvalidInput(ValueError):
    """What a workflow was to be started with is not what its ``input`` schema says.

    Attributes:
        workflow: its name.
        problems: ``(path, message)`` of each thing that is wrong: ``("$.total", "1 is ...")``.
    """

    def __init__(self, workflow: str, problems: Sequence[tuple[str, str]]) -> None:
        told = "; ".join(f"{path}: {message}" for path, message in problems[:5])
        if len(problems) > 5:
            told += f"; and {len(problems) - 5} more"
        super().__init__(f"the input of {workflow!r}: {told}")
        self.workflow = workflow
        self.problems = tuple(problems)


class Workflow(Client):
    """One workflow that the function may start."""

    __slots__ = ()

    kind = "workflow"

    def start(self, input: Any = None) -> str:
        """Start a run on *input*, a JSON value of at most 262 144 bytes, and return its id.

        Raises TypeError for what is no JSON, ValueError when it is too large, InvalidInput when
        it is not what the workflow's ``input`` schema says, ResourceError when it could not be
        started.
        """
        self._check("start")
        value = checked(input)
        schema = self._grant.get("input")
        if schema is not None:
            from portafaas.runtime.schema import problems

            found = list(problems(schema, value))
            if found:
                raise InvalidInput(self.name, found)
        run: str = self._driver().start_run(self._address(), value)
        return run

    def status(self, run: str) -> RunStatus:
        """Return how a run is; raises NotFound when there is none with that id."""
        self._check("start")
        found: RunStatus = self._driver().run_status(self._address(), run)
        return found

    def signal(self, run: str, name: str, payload: Any = None) -> None:
        """Hand *payload*, a JSON value, to a run that waits for the signal *name*.

        Raises NotFound when there is no such run, NotWaiting when it does not wait for it (any
        more, or yet).
        """
        self._check("start")
        self._driver().signal_run(self._address(), run, name, checked(payload))

    def signal_url(
        self,
        url: str,
        run: str,
        name: str,
        *,
        key: Key,
        expires: float = 86_400,
        **payload: Any,
    ) -> str:
        """Return *url* with a signed token that lets its bearer give a run the signal *name*.

        *url* is of an http function that hands the query parameter ``token`` to
        :meth:`signal_by`. *key*: a secret of at least 16 bytes, or several, of which the first
        signs. It is good for *expires* seconds. ``payload=`` fixes what the signal carries.
        Raises ValueError for what makes no link. :meth:`Task.signal_url` is the same for a step's
        handler, which needs no grant for it.
        """
        from portafaas.runtime.signals import linked, sign

        return linked(url, sign(self.name, run, name, key=key, expires=expires, **payload))

    def signal_by(self, token: str, payload: Any = None, *, key: Key) -> SignalToken:
        """Give the signal that a token of ``signal_url`` is for, and return what it was for.

        *payload* is what it carries unless the token has one. Raises BadToken for a token that is
        forged, altered, expired or for another workflow, and what :meth:`signal` does: NotWaiting
        for a link that is used again, or too late.
        """
        found = self.opened(token, key=key)
        self.signal(found.run, found.signal, found.payload if found.fixed else payload)
        return found

    def opened(self, token: str, *, key: Key) -> SignalToken:
        """Return what a token of ``signal_url`` is for, and give no signal.

        For the page that asks; programs that look into mails open links, too, so that a GET must
        not decide anything. Raises BadToken.
        """
        from portafaas.runtime.signals import opened

        return opened(token, key=key, workflow=self.name)


def checked(value: Any) -> Any:
    """Return *value* as JSON makes it; raise TypeError, or ValueError when it is too large."""
    import json

    from portafaas.runtime.states import LARGEST

    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise TypeError(f"what a workflow gets must be JSON: {exc}") from None
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes of JSON: keep it in a bucket, send its key")
    return json.loads(text)
