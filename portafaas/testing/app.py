"""An application under test: the fixture ``app``.

One class of over 300 lines, since it is the surface that tests see: each method is a few lines over
the parts beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portafaas.adapter import HttpOutcome
from portafaas.adapter.stimulus import Stimulus
from portafaas.local.resources import store
from portafaas.local.routing import PREFLIGHT, Routes
from portafaas.local.schedules import fires_after
from portafaas.plan import BuildPlan, ScheduleTrigger
from portafaas.plan.entry import resources_spec
from portafaas.testing.clock import Clock, FrozenBroker, instant_of
from portafaas.testing.executor import Executor
from portafaas.testing.faults import BrokerFaults
from portafaas.testing.kept import Kept
from portafaas.testing.loop import Loop, instant
from portafaas.testing.names import Names
from portafaas.testing.records import Dead, Event, Found, Invocation, Line, Message, Response
from portafaas.testing.requests import stimulus_of
from portafaas.testing.runs import Run
from portafaas.testing.settings import KEY, Settings

if TYPE_CHECKING:
    from portafaas.runtime.buckets import Bucket
    from portafaas.runtime.context import Context
    from portafaas.runtime.queues import Queue
    from portafaas.runtime.tables import Table
    from portafaas.runtime.topics import Topic
    from portafaas.runtime.workflows import Workflow


class App:
    """The application of a manifest, with a store of its own and a clock that stands still.

    What is sent, published, written and started waits until :meth:`settle` (what is due),
    :meth:`drain` (also what is due later) or ``clock.advance``. Names that the manifest does not
    have raise LookupError. Attributes:

        target: ``local``, ``aws``, ``azure``, ``gcp``, ...
        clock: see ``portafaas.testing.clock.Clock``.
        broker: faults of what delivers: ``duplicate``, ``delay``, ``drop_answer``.
        plan: the manifest's build plan; stage: its stage.
        key: an API key that is valid for routes with ``auth: key``.
        folder: where this test's store is.
    """

    def __init__(self, executor: Executor, home: Path, target: str) -> None:
        self.target = target
        self.plan: BuildPlan = executor.plan
        self.stage = self.plan.stage
        self.key = KEY
        self.folder = store(home, self.plan.stage)
        self._home = home
        self._executor = executor
        self._names = Names(self.plan)
        self._routes = Routes(self.plan)
        self._settings = Settings(executor, self._names, home)
        self._open()

    def _open(self) -> None:
        self._executor.begin(self._home)
        self._broker = FrozenBroker(self.folder, self.plan, self._executor.rules())
        self._loop = Loop(self.plan, self._broker, self.folder, self._executor)
        self._kept = Kept(self._broker, self._names)
        self._context = self._made()
        self.clock = Clock(self._broker, self._loop.until)
        self.broker = BrokerFaults(self._names, self._loop, self._broker)
        self._settings.begin()

    def reset(self) -> None:
        """Begin anew: an empty store, the clock of now, no faults, secrets or settings.

        For each example of a test by Hypothesis, whose fixture lives for all of them.
        """
        import shutil

        self.close()
        shutil.rmtree(self._home / ".portafaas", ignore_errors=True)
        self._open()

    def close(self) -> None:
        """End the test: nothing of it goes on."""
        self._executor.end()
        self._loop.close()
        self._broker.close()

    def __repr__(self) -> str:
        return f"<App {self.plan.service} on {self.target}>"

    def _made(self) -> Context:
        from portafaas.runtime.context import Context
        from portafaas.runtime.function import Function

        uses = resources_spec(self.plan)
        for kind, names in uses.items():
            for name, grant in names.items():
                grant["address"] = str(self.folder / kind / name)
        service = self.plan.service
        spec: dict[str, Any] = {
            "name": "test", "service": service, "kind": "schedule", "handler": "test:test",
            "timeout": 86_400, "memory": 256, "source": f"/{service}/tests/test", "trigger": {},
            "uses": uses,
        }  # fmt: skip
        return Context(Function(spec), "test")

    # What happens

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | str | None = None,
        key: str | None = None,
        bearer: str | None = None,
        caller: str | None = None,
    ) -> Response:
        """Send a request and return the answer; it is routed as on the platform.

        *json* is sent as JSON, *data* as it is (a mapping as a form); *query* is appended to
        *path*. *key* is the API key, *bearer* a token, *caller* whom ``auth: iam`` has let in.
        """
        stimulus = stimulus_of(method, path, json, data, headers, query, key, bearer, caller)
        preflight = any(name == PREFLIGHT for name, _ in stimulus.headers)
        found = self._routes.find(stimulus.method, stimulus.path, preflight)
        if isinstance(found, tuple):
            allowed = {"allow": ", ".join(found)} if found else {}
            return Response(405 if found else 404, allowed, (), b"", "")
        answer, invocation = self._loop.request(self._names.function(found), stimulus)
        if answer.value is None:
            # What gateways answer when a function does not.
            return Response(500, {}, (), b"", answer.why)
        outcome = answer.value
        assert isinstance(outcome, HttpOutcome)
        error = invocation.error if outcome.status >= 500 else ""
        return Response(outcome.status, dict(outcome.headers), outcome.cookies, outcome.body, error)

    def get(self, path: str, **more: Any) -> Response:
        """:meth:`request` with GET."""
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> Response:
        """:meth:`request` with POST."""
        return self.request("POST", path, **more)

    def put(self, path: str, **more: Any) -> Response:
        """:meth:`request` with PUT."""
        return self.request("PUT", path, **more)

    def patch(self, path: str, **more: Any) -> Response:
        """:meth:`request` with PATCH."""
        return self.request("PATCH", path, **more)

    def delete(self, path: str, **more: Any) -> Response:
        """:meth:`request` with DELETE."""
        return self.request("DELETE", path, **more)

    def send(self, queue: str, body: Any, **more: Any) -> str:
        """Send a message; arguments are those of ``context.queues[...].send``. Returns its id."""
        sent: str = self.queue(queue).send(body, **more)
        return sent

    def publish(self, topic: str, data: Any, **more: Any) -> str:
        """Publish an event, as ``context.topics[...].publish`` (``type``, ``subject``, ...)."""
        sent: str = self.topic(topic).publish(data, **more)
        return sent

    def put_object(
        self, bucket: str, key: str, data: bytes | str, *, content_type: str | None = None
    ) -> None:
        """Store an object, which functions with an object trigger hear of."""
        self.bucket(bucket).write(key, data, content_type=content_type)

    def fire(self, function: str, at: Any = None) -> str:
        """Have a schedule fire, and return the instant, RFC 3339.

        *at* is an instant of the schedule; by default the next one by the clock, which does not
        move. Raises ValueError for one at which it does not fire.
        """
        found = self._names.function(function, "schedule")
        moment = fires_after(found, self._broker.clock.virtual)
        if at is not None:
            moment = instant_of(at)
            trigger = found.trigger
            assert isinstance(trigger, ScheduleTrigger)
            if fires_after(found, moment) != moment:
                raise ValueError(
                    f"{function!r} does not fire at {instant(moment)}: {trigger.cron!r} in "
                    f"{trigger.timezone} does so next at "
                    f"{instant(fires_after(found, moment))}"
                )
        if moment == float("inf"):
            raise ValueError(f"{function!r} never fires")
        self._broker.fire_at(found, instant(moment))
        return instant(moment)

    def start(self, workflow: str, input: Any = None) -> Run:
        """Start a run of a workflow; :meth:`settle` works on it."""
        self._names.resource("workflow", workflow)
        return Run(self, workflow, self.workflow(workflow).start(input))

    def run(self, workflow: str, run: str) -> Run:
        """Return a run that a function has started."""
        self._names.resource("workflow", workflow)
        found = Run(self, workflow, run)
        _ = found.state
        return found

    def runs(self, workflow: str) -> Found[Run]:
        """Return all runs of a workflow, the oldest first."""
        self._names.resource("workflow", workflow)
        rows = self._broker.rows(
            "select id from runs where workflow = ? order by number", (workflow,)
        )
        found = [Run(self, workflow, str(id)) for (id,) in rows]
        return Found(found, f"runs of workflow {workflow!r}")

    def invoke(self, function: str, event: Stimulus | Mapping[str, Any] | None = None) -> Any:
        """Call a function with a neutral event, by itself, and return what came of it as JSON.

        *event* is of ``portafaas.testing.events``, or its JSON; by default a sample. As
        ``portafaas invoke``: what fails does not come again.
        """
        from portafaas.adapter.neutral import stimulus_from_json
        from portafaas.testing import events

        found = self._names.function(function)
        if event is None:
            event = events.sample(self.plan, found)
        stimulus = stimulus_from_json(event) if isinstance(event, Mapping) else event
        return self._loop.invoke(found, stimulus)

    # Time

    def settle(self) -> None:
        """Deliver until nothing is due; the clock does not move, and nothing is waited for."""
        self._loop.settle()

    def drain(self, *, timeouts: bool = False) -> None:
        """Deliver until nothing waits: the clock moves to whatever is due next.

        Schedules do not fire. With *timeouts* those of signals end, too.
        """
        self._loop.drain(timeouts)

    # Resources, as the test sees them

    def queue(self, name: str) -> Queue:
        """Return a queue's client; all of a handler's methods."""
        found: Queue = self._context.queues[self._names.resource("queue", name)]
        return found

    def topic(self, name: str) -> Topic:
        """Return a topic's client."""
        found: Topic = self._context.topics[self._names.resource("topic", name)]
        return found

    def table(self, name: str) -> Table:
        """Return a table's client: ``get``, ``put``, ``query``, ``scan``, ..."""
        found: Table = self._context.tables[self._names.resource("table", name)]
        return found

    def bucket(self, name: str) -> Bucket:
        """Return a bucket's client: ``read``, ``write``, ``list``, ``delete``, ..."""
        found: Bucket = self._context.buckets[self._names.resource("bucket", name)]
        return found

    def workflow(self, name: str) -> Workflow:
        """Return a workflow's client."""
        found: Workflow = self._context.workflows[self._names.resource("workflow", name)]
        return found

    # Settings

    def secret(self, name: str, value: str | bytes) -> None:
        """Give a secret its value for this test."""
        self._settings.secret(name, value)

    def config(self, **values: Any) -> None:
        """Change settings of ``config`` for this test; ``_`` in a name stands for ``-``, too."""
        self._settings.config(**values)

    def environment(self, _function: str = "", /, **values: str) -> None:
        """Set environment variables of all functions, or of the one that is named first."""
        self._settings.environment(_function, **values)

    def api_keys(self, keys: Mapping[str, str]) -> None:
        """Say which API keys are known: the names of their owners, and the keys."""
        self._settings.api_keys(keys)

    def token(
        self,
        subject: str = "test",
        *,
        scopes: Iterable[str] | None = None,
        function: str | None = None,
        **claims: Any,
    ) -> str:
        """Return a bearer token for routes with ``auth: jwt``: of *function*'s, or the first.

        It has the route's issuer and audience, *scopes* (by default those that it asks for), and
        an hour to live; *claims* are put to it, or in place of these (``exp=0``).
        """
        return self._settings.token(subject, scopes=scopes, function=function, **claims)

    # Faults

    def fail(
        self,
        function: str,
        *,
        times: int = 1,
        error: BaseException | None = None,
        after: bool = False,
    ) -> None:
        """Have a function's handler raise *error* (default: Retryable) its next *times* calls.

        Instead of running; or, with *after*, when it has done its work.
        """
        from portafaas.runtime.taxonomy import Retryable

        error = error if error is not None else Retryable("the test wants it to fail")
        self._fault(function, times, {"what": "fail", "after": after, "error": error})

    def crash(self, function: str, *, times: int = 1, after: bool = False) -> None:
        """Have a function's process end when its handler begins; with *after*, has done its work.

        Nothing that would follow is done: no answer, no record of idempotency.
        """
        self._fault(function, times, {"what": "crash", "after": after})

    def hang(self, function: str, *, times: int = 1, after: bool = False) -> None:
        """Have a function run out of time, without waiting for it."""
        self._fault(function, times, {"what": "hang", "after": after})

    def _fault(self, function: str, times: int, fault: Mapping[str, Any]) -> None:
        self._names.function(function)
        if times < 1:
            raise ValueError(f"times is {times}, not 1 or more")
        self._loop.faults.setdefault(function, []).extend(dict(fault) for _ in range(times))

    # What came of it

    def invocations(self, function: str | None = None) -> Found[Invocation]:
        """Return what was called, in order: of one function, or of all."""
        if function is not None:
            self._names.function(function)
        found = [
            each for each in self._loop.invocations if function is None or each.function == function
        ]
        return Found(found, f"invocations of {function!r}" if function else "invocations")

    def logs(self, function: str | None = None) -> Found[Line]:
        """Return what handlers logged, in order."""
        lines = [line for each in self.invocations(function) for line in each.logs]
        return Found(lines, f"lines logged by {function!r}" if function else "lines logged")

    def messages(self, queue: str) -> Found[Message]:
        """Return all messages that a queue was sent, in order, and how each is (``state``)."""
        return self._kept.messages(queue)

    def waiting(self, queue: str) -> Found[Message]:
        """Return the messages of a queue that nobody has done yet, due or not."""
        return self.messages(queue).where(lambda message: message.state in ("waiting", "leased"))

    def events(self, topic: str) -> Found[Event]:
        """Return all events that were published to a topic, in order."""
        return self._kept.events(topic)

    def dead_letters(self, box: str) -> Found[Dead]:
        """Return what was given up: of a queue, or of a function with another trigger."""
        return self._kept.dead_letters(box)

    def redrive(self, box: str, ids: Iterable[str] | None = None) -> int:
        """Deliver dead letters again, all of a box or those with *ids*; return how many."""
        return self._kept.redrive(box, ids)

    def assert_settled(self) -> None:
        """Raise AssertionError that lists what still waits, and what became a dead letter."""
        from portafaas.deployment.dead_letters import dead_letter_boxes

        told = [f"{count} wait for {name!r}" for name, count in self._loop.waiting().items()]
        for box, _ in dead_letter_boxes(self.plan):
            told += [f"dead letter of {box!r}: {letter!r}" for letter in self.dead_letters(box)]
        for name, faults in self._loop.faults.items():
            if faults:
                told.append(f"{len(faults)} faults of {name!r} did not come: it was not called")
        if told:
            raise AssertionError("not all is done:\n  " + "\n  ".join(told))
