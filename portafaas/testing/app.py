"""An application under test: the fixture ``app``.

Long, since it is the surface that tests see: each method is a few lines over the parts beside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from portafaas.adapter import HttpOutcome, HttpStimulus
from portafaas.adapter.stimulus import Stimulus
from portafaas.errors import guess
from portafaas.local.resources import store
from portafaas.local.schedules import fires_after
from portafaas.local.secrets import LocalSecrets
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger, ScheduleTrigger
from portafaas.plan.config import VARIABLE
from portafaas.plan.entry import resources_spec
from portafaas.runtime.auth import JWKS_VARIABLE
from portafaas.runtime.control import CLAIM, carried, split
from portafaas.testing.clock import Clock, Duration, FrozenBroker, instant_of, seconds_of
from portafaas.testing.executors import Executor
from portafaas.testing.loop import Loop, instant
from portafaas.testing.records import Dead, Event, Found, Invocation, Line, Message, Response
from portafaas.testing.runs import Run

if TYPE_CHECKING:
    from portafaas.runtime.buckets import Bucket
    from portafaas.runtime.context import Context
    from portafaas.runtime.queues import Queue
    from portafaas.runtime.tables import Table
    from portafaas.runtime.topics import Topic
    from portafaas.runtime.workflows import Workflow

#: The API key that every ``auth: key`` route of a test knows, as ``app.key``.
KEY = "portafaas-test-key"

#: What was sent is kept for the test, though brokers forget it.
_SENT = """
create table if not exists kit_sent (
    number integer primary key, kind text, name text, id text, body blob, content_type text,
    attributes text, key text, delay integer, dedup text, sent real
);
create trigger if not exists kit_sends after insert on messages begin
    insert into kit_sent values (new.number, new.kind, new.name, new.id, new.body,
        new.content_type, new.attributes, new.key, new.delay, new.dedup,
        coalesce((select value from broker where name = 'held'), new.sent));
end;
"""


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
        self._functions = {function.name: function for function in self.plan.functions}
        self._kinds: dict[str, set[str]] = {
            kind: set(names) for kind, names in resources_spec(self.plan).items()
        }
        self._open()

    def _open(self) -> None:
        self._executor.begin(self._home)
        self._broker = FrozenBroker(self.folder, self.plan, self._executor.rules())
        self._broker.store.connection.executescript(_SENT)
        self._loop = Loop(self.plan, self._broker, self.folder, self._executor)
        self._config: dict[str, Any] = {}
        self._context = self._made()
        self.clock = Clock(self._broker, self._loop.until)
        self.broker = BrokerFaults(self, self._loop, self._broker)
        self.api_keys({"test": KEY})
        if any(
            isinstance(function.trigger, HttpTrigger)
            and function.trigger.auth is not None
            and function.trigger.auth.scheme == "jwt"
            for function in self.plan.functions
        ):
            from portafaas.testing.bearer import jwks

            self.environment(**{JWKS_VARIABLE: jwks()})

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

    def _function(self, name: str, *kinds: str) -> FunctionPlan:
        known = [f.name for f in self.plan.functions if not kinds or f.kind in kinds]
        if name not in known:
            what = f"{' or '.join(kinds)} function" if kinds else "function"
            raise _unknown(what, name, known)
        return self._functions[name]

    def _resource(self, kind: str, name: str) -> str:
        known = self._kinds.get(kind, set())
        if name not in known:
            raise _unknown(kind, name, sorted(known))
        return name

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
        stimulus = _request(method, path, json, data, headers, query, key, bearer, caller)
        function = self._route(stimulus)
        if function is None:
            return Response(404, {}, (), b"", "")
        answer, invocation = self._loop.request(function, stimulus)
        if answer.value is None:
            # What gateways answer when a function does not.
            return Response(500, {}, (), b"", answer.why)
        found = answer.value
        assert isinstance(found, HttpOutcome)
        error = invocation.error if found.status >= 500 else ""
        return Response(found.status, dict(found.headers), found.cookies, found.body, error)

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

    def _route(self, stimulus: HttpStimulus) -> FunctionPlan | None:
        from portafaas.runtime.route import Route
        from portafaas.runtime.text import percent_decode

        path = percent_decode(stimulus.path)
        matching = []
        for function in self.plan.functions:
            trigger = function.trigger
            if isinstance(trigger, HttpTrigger) and Route(trigger.path).match(path) is not None:
                matching.append((_rank(trigger.path), function, trigger))
        if not matching:
            return None
        best = min(rank for rank, _, _ in matching)
        rest = [(function, trigger) for rank, function, trigger in matching if rank == best]
        for function, trigger in rest:
            if not trigger.methods or stimulus.method in trigger.methods:
                return function
        for function, trigger in rest:
            if stimulus.method == "OPTIONS" and trigger.cors and trigger.cors.answers_preflight:
                return function
        return rest[0][0]

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
        found = self._function(function, "schedule")
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
        self._resource("workflow", workflow)
        return Run(self, workflow, self.workflow(workflow).start(input))

    def run(self, workflow: str, run: str) -> Run:
        """Return a run that a function has started."""
        self._resource("workflow", workflow)
        found = Run(self, workflow, run)
        _ = found.state
        return found

    def runs(self, workflow: str) -> Found[Run]:
        """Return all runs of a workflow, the oldest first."""
        self._resource("workflow", workflow)
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

        found = self._function(function)
        if event is None:
            event = events.sample(self.plan, found)
        stimulus = stimulus_from_json(event) if isinstance(event, Mapping) else event
        invocation = Invocation(function, found.kind, self._broker.clock.virtual, 1, input=stimulus)
        answer = self._loop._run(invocation, lambda: self._executor.invoke(found, stimulus))
        if answer.value is None:
            return {"error": answer.why}
        invocation.result = answer.value
        if answer.value.get("failed") or answer.value.get("error"):
            invocation.status = "error"
        return answer.value

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
        found: Queue = self._context.queues[self._resource("queue", name)]
        return found

    def topic(self, name: str) -> Topic:
        """Return a topic's client."""
        found: Topic = self._context.topics[self._resource("topic", name)]
        return found

    def table(self, name: str) -> Table:
        """Return a table's client: ``get``, ``put``, ``query``, ``scan``, ..."""
        found: Table = self._context.tables[self._resource("table", name)]
        return found

    def bucket(self, name: str) -> Bucket:
        """Return a bucket's client: ``read``, ``write``, ``list``, ``delete``, ..."""
        found: Bucket = self._context.buckets[self._resource("bucket", name)]
        return found

    def workflow(self, name: str) -> Workflow:
        """Return a workflow's client."""
        found: Workflow = self._context.workflows[self._resource("workflow", name)]
        return found

    # Settings

    def secret(self, name: str, value: str | bytes) -> None:
        """Give a secret its value for this test."""
        self._resource("secret", name)
        data = value.encode("utf-8") if isinstance(value, str) else value
        LocalSecrets(self._home, self.plan).set(name, data)
        self._executor.renew()

    def config(self, **values: Any) -> None:
        """Change settings of ``config`` for this test; ``_`` in a name stands for ``-``, too."""
        declared: dict[str, Any] = {}
        for function in self.plan.functions:
            declared |= json.loads(function.environment.get(VARIABLE, "{}"))
        for name, value in values.items():
            real = name if name in declared else name.replace("_", "-")
            if real not in declared:
                raise _unknown("setting", name, sorted(declared))
            self._config[real] = value
        text = json.dumps({**declared, **self._config}, ensure_ascii=False, sort_keys=True)
        self.environment(**{VARIABLE: text})

    def environment(self, _function: str = "", /, **values: str) -> None:
        """Set environment variables of all functions, or of the one that is named first."""
        if _function:
            self._function(_function)
        self._executor.variables.setdefault(_function, {}).update(values)
        self._executor.renew()

    def api_keys(self, keys: Mapping[str, str]) -> None:
        """Say which API keys are known: the names of their owners, and the keys."""
        variables = {
            function.trigger.auth.keys
            for function in self.plan.functions
            if isinstance(function.trigger, HttpTrigger)
            and function.trigger.auth is not None
            and function.trigger.auth.keys
        }
        text = ",".join(
            f"{name}={hashlib.sha256(key.encode()).hexdigest()}" for name, key in keys.items()
        )
        if variables:
            self.environment(**dict.fromkeys(variables, text))

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
        from time import time

        from portafaas.testing import bearer

        auths = {
            each.name: each.trigger.auth
            for each in self.plan.functions
            if isinstance(each.trigger, HttpTrigger)
            and each.trigger.auth is not None
            and each.trigger.auth.scheme == "jwt"
        }
        if function is not None and function not in auths:
            raise _unknown("http function with 'auth: jwt'", function, auths)
        if not auths:
            raise LookupError("the manifest has no route with 'auth: jwt'")
        auth = auths[function] if function is not None else next(iter(auths.values()))
        now = int(time())
        found = {
            "iss": auth.issuer, "aud": auth.audience[0] if auth.audience else "", "sub": subject,
            "scope": " ".join(auth.scopes if scopes is None else scopes), "iat": now,
            "exp": now + 3600,
        }  # fmt: skip
        return bearer.token(found | claims, auth.algorithms)

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
        self._function(function)
        if times < 1:
            raise ValueError(f"times is {times}, not 1 or more")
        self._loop.faults.setdefault(function, []).extend(dict(fault) for _ in range(times))

    # What came of it

    def invocations(self, function: str | None = None) -> Found[Invocation]:
        """Return what was called, in order: of one function, or of all."""
        if function is not None:
            self._function(function)
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
        self._resource("queue", queue)
        self._broker.take_in()
        states = self._states(f"queue/{queue}")
        found = []
        for id, body, kind, text, key, delay, dedup, sent in self._sent("queue", queue):
            attributes, control = split(json.loads(text))
            state, attempts = states.get(id, ("done", 0))
            if control and CLAIM in control:
                body = self._claimed(control[CLAIM])
            found.append(
                Message(id, body, kind, attributes, key, sent, delay, dedup, state, attempts)
            )
        return Found(found, f"messages of queue {queue!r}")

    def waiting(self, queue: str) -> Found[Message]:
        """Return the messages of a queue that nobody has done yet, due or not."""
        return self.messages(queue).where(lambda message: message.state in ("waiting", "leased"))

    def events(self, topic: str) -> Found[Event]:
        """Return all events that were published to a topic, in order."""
        from portafaas.runtime.cloudevent import event_from_message

        self._resource("topic", topic)
        found = []
        for id, body, kind, text, key, _, _, sent in self._sent("topic", topic):
            attributes, control = split(json.loads(text))
            if control and CLAIM in control:
                body = self._claimed(control[CLAIM])
            event = event_from_message(
                body, attributes, id=id, source="", content_type=kind, key=key
            )
            plain = {name: v for name, v in attributes.items() if not name.startswith("ce-")}
            found.append(
                Event(event.id, event.type, event.source, event.subject, event.data, plain, key,
                      sent)
            )  # fmt: skip
        return Found(found, f"events of topic {topic!r}")

    def dead_letters(self, box: str) -> Found[Dead]:
        """Return what was given up: of a queue, or of a function with another trigger."""
        found = []
        for item in self._broker.letters.list(self._box(box)):
            facts = json.loads(item.letter or "{}")
            body = item.body
            if CLAIM in item.attributes:
                body = self._claimed(item.attributes[CLAIM])
            found.append(
                Dead(
                    item.id, box, facts.get("reason", ""), facts.get("error", ""),
                    facts.get("attempts", 0), facts.get("function", ""), body,
                    split(item.attributes)[0], item.key,
                )
            )  # fmt: skip
        return Found(found, f"dead letters of {box!r}")

    def redrive(self, box: str, ids: Iterable[str] | None = None) -> int:
        """Deliver dead letters again, all of a box or those with *ids*; return how many."""
        wanted = None if ids is None else set(ids)
        items = self._broker.letters.list(self._box(box))
        return self._broker.letters.redrive([i for i in items if wanted is None or i.id in wanted])

    def _box(self, name: str) -> str:
        from portafaas.deployment.contract import dead_letter_boxes

        known = {box: kind for box, kind in dead_letter_boxes(self.plan)}
        if name not in known:
            raise _unknown("box of dead letters", name, list(known))
        return f"{known[name]}/{name}"

    def _sent(self, kind: str, name: str) -> list[tuple[Any, ...]]:
        return self._broker.rows(
            "select id, body, content_type, attributes, key, delay, dedup, sent from kit_sent "
            "where kind = ? and name = ? order by number",
            (kind, name),
        )

    def _states(self, box: str) -> dict[str, tuple[str, int]]:
        rows: list[tuple[Any, ...]] = self._broker.rows(
            "select id, state, attempts, attributes from deliveries "
            "where box = ? or origin = ? order by number",
            (box, box),
        )
        return {
            id: (state, attempts + carried(json.loads(attributes)))
            for id, state, attempts, attributes in rows
        }

    def _claimed(self, place: str) -> bytes:
        bucket, _, key = place.partition("/")
        rows = self._broker.rows(
            "select data from objects where name = ? and key = ?", (bucket, key)
        )
        data: Any = rows[0][0] if rows else b""
        return bytes(data)

    def assert_settled(self) -> None:
        """Raise AssertionError that lists what still waits, and what became a dead letter."""
        from portafaas.deployment.contract import dead_letter_boxes

        told = [f"{count} wait for {name!r}" for name, count in self._loop.waiting().items()]
        for box, _ in dead_letter_boxes(self.plan):
            told += [f"dead letter of {box!r}: {letter!r}" for letter in self.dead_letters(box)]
        for name, faults in self._loop.faults.items():
            if faults:
                told.append(f"{len(faults)} faults of {name!r} did not come: it was not called")
        if told:
            raise AssertionError("not all is done:\n  " + "\n  ".join(told))


class BrokerFaults:
    """Faults of what delivers: ``app.broker``. *box* is a queue, or a function of its own box."""

    def __init__(self, app: App, loop: Loop, broker: FrozenBroker) -> None:
        self._app = app
        self._loop = loop
        self._broker = broker

    def duplicate(self, box: str, *, times: int = 1) -> None:
        """Have the next *times* messages delivered again though they were done."""
        name = self._box(box)
        self._loop.repeated[name] = self._loop.repeated.get(name, 0) + times

    def delay(self, box: str, duration: Duration, *, times: int = 1) -> None:
        """Have the next *times* messages come *duration* late, and others overtake them."""
        self._broker.slow.setdefault(self._box(box), []).extend([seconds_of(duration)] * times)

    def drop_answer(self, function: str, *, times: int = 1) -> None:
        """Lose a function's next *times* answers: what it did is done, and comes again."""
        self._app._function(function, "queue", "topic", "object", "table", "schedule")
        self._loop.dropped[function] = self._loop.dropped.get(function, 0) + times

    def _box(self, name: str) -> str:
        queues = [queue.name for queue in self._app.plan.queues]
        functions = [
            f.name for f in self._app.plan.functions if f.kind not in ("http", "task", "queue")
        ]
        if name in queues:
            return f"queue/{name}"
        if name in functions:
            return f"function/{name}"
        raise _unknown("queue, or function with a trigger of its own,", name, queues + functions)


def _unknown(what: str, name: str, known: Iterable[str]) -> LookupError:
    known = list(known)
    hint = guess(name, known)
    rest = f" {hint}" if hint else ""
    return LookupError(
        f"the manifest has no {what} {name!r};{rest} there are: {', '.join(known) or 'none'}"
    )


def _rank(path: str) -> tuple[int, ...]:
    """Order routes: literal segments before parameters, those before the rest of the path."""
    return tuple(
        2 if segment.endswith("*}") else 1 if segment[:1] == "{" else 0
        for segment in path.split("/")
    )


def _request(
    method: str,
    path: str,
    json_: Any,
    data: bytes | str | Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
    query: Mapping[str, Any] | str | None,
    key: str | None,
    bearer: str | None,
    caller: str | None,
) -> HttpStimulus:
    from urllib.parse import quote, urlencode

    if not path.startswith("/"):
        raise ValueError(f"a path begins with '/': {path!r}")
    path, _, text = path.partition("?")
    parts = [text] if text else []
    if query:
        parts.append(query if isinstance(query, str) else urlencode(dict(query), doseq=True))
    found = {name.lower(): value for name, value in (headers or {}).items()}
    if json_ is not None and data is not None:
        raise TypeError("give 'json' or 'data', not both")
    body = b""
    kind: Literal["", "application/json", "application/x-www-form-urlencoded"] = ""
    if json_ is not None:
        body, kind = json.dumps(json_, ensure_ascii=False).encode("utf-8"), "application/json"
    elif isinstance(data, Mapping):
        body, kind = urlencode(dict(data)).encode("ascii"), "application/x-www-form-urlencoded"
    elif data is not None:
        body = data.encode("utf-8") if isinstance(data, str) else bytes(data)
    if kind:
        found.setdefault("content-type", kind)
    if key is not None:
        found.setdefault("x-api-key", key)
    if bearer is not None:
        found.setdefault("authorization", f"Bearer {bearer}")
    encoded = quote(path, safe="/%:@!$&'()*+,;=-._~")
    return HttpStimulus(
        method.upper(), encoded, "&".join(parts), tuple(found.items()), body, caller
    )
