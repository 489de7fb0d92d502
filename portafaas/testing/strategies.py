"""Strategies of Hypothesis for events: ``pip install 'portafaas[strategies]'``.

::

    @given(body=strategies.for_queue(PLAN, "payments"))
    def test_any_order(app, body): ...

A fixture lives for all examples of a test: begin each with ``app.reset()``.
https://hypothesis.readthedocs.io/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from portafaas.plan import BuildPlan, FunctionPlan, QueueTrigger, TableTrigger, TopicTrigger
from portafaas.plan.examples import FORMATS, flat, implied, merged, problems
from portafaas.testing import events

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from portafaas.adapter.stimulus import Stimulus

#: References that are followed into one another.
_DEEPEST = 5


def _strategies() -> Any:
    try:
        from hypothesis import strategies
    except ImportError:
        raise ImportError(
            "strategies need Hypothesis: pip install 'portafaas[strategies]'"
        ) from None
    return strategies


def from_schema(schema: Mapping[str, Any]) -> SearchStrategy[Any]:
    """Return JSON values that fit *schema*; for an empty one any that a message may have."""
    st = _strategies()
    found: SearchStrategy[Any]
    if not schema:
        found = _any(st)
        return found
    found = _Made(st, schema).strategy(schema, 0)
    return found.filter(lambda value: not problems(schema, value))


def for_queue(plan: BuildPlan, queue: str) -> SearchStrategy[Any]:
    """Return bodies of messages that fit the queue's schema."""
    return from_schema(plan.queue(queue).schema.document)


def for_event(plan: BuildPlan, type: str) -> SearchStrategy[Any]:
    """Return data of events of *type* that fit its schema."""
    return from_schema(events.schema_of(plan, type))


def for_function(plan: BuildPlan, name: str) -> SearchStrategy[Stimulus]:
    """Return events for a function, as ``app.invoke`` takes them."""
    st = _strategies()
    function = next((each for each in plan.functions if each.name == name), None)
    if function is None:
        raise LookupError(f"no function {name!r}")
    made: SearchStrategy[Stimulus] = _OF[function.kind](st, plan, function)
    return made


def _http(st: Any, plan: BuildPlan, function: FunctionPlan) -> Any:
    plain = events.http(plan, function)
    if not plain.body:
        words = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20)
        names = [
            part[1:-1].rstrip("*")
            for part in function.trigger.path.split("/")  # type: ignore[union-attr]
            if part[:1] == "{"
        ]
        given = st.fixed_dictionaries(dict.fromkeys(names, words))
        return given.map(lambda params: events.http(plan, function, **params))
    return _any(st).map(lambda value: events.http(plan, function, json=value))


def _queue(st: Any, plan: BuildPlan, function: FunctionPlan) -> Any:
    trigger = function.trigger
    assert isinstance(trigger, QueueTrigger)
    bodies = st.lists(for_queue(plan, trigger.queue), min_size=1, max_size=min(trigger.batch, 5))
    return bodies.map(lambda given: events.queue(plan, function, *given))


def _topic(st: Any, plan: BuildPlan, function: FunctionPlan) -> Any:
    trigger = function.trigger
    assert isinstance(trigger, TopicTrigger)
    types = list(dict(trigger.filter).get("type", ())) or events.types_of(plan, trigger.topic)

    def one(type: str) -> Any:
        return for_event(plan, type).map(lambda data: events.topic(plan, function, data, type=type))

    return st.one_of([one(type) for type in types or ["sample.event"]])


def _table(st: Any, plan: BuildPlan, function: FunctionPlan) -> Any:
    trigger = function.trigger
    assert isinstance(trigger, TableTrigger)
    rows = st.dictionaries(_names(st), _leaf(st), max_size=4)
    both = {"upsert": (rows, st.none()), "insert": (rows, st.none()), "update": (rows, rows),
            "delete": (st.none(), rows)}  # fmt: skip

    def one(kind: str) -> Any:
        new, old = both[kind]
        return st.tuples(new, old).map(
            lambda pair: events.table(plan, function, pair[0], old=pair[1])
        )

    return st.one_of([one(kind) for kind in trigger.on])


def _object(st: Any, plan: BuildPlan, function: FunctionPlan) -> Any:
    trigger: Any = function.trigger
    names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_/", min_size=1, max_size=30)
    return st.tuples(names, st.sampled_from(trigger.on)).map(
        lambda pair: events.object(
            plan, function, f"{trigger.prefix}{pair[0]}{trigger.suffix}", kind=pair[1]
        )
    )


def _schedule(st: Any, plan: BuildPlan, function: FunctionPlan) -> Any:
    from datetime import UTC, datetime

    moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1))
    return moments.map(
        lambda moment: events.schedule(
            plan, function, after=moment.replace(tzinfo=UTC).isoformat()
        )
    )


def _task(st: Any, plan: BuildPlan, function: FunctionPlan) -> Any:
    return _any(st).map(lambda value: events.task(plan, function, value))


_OF = {
    "http": _http, "queue": _queue, "topic": _topic, "table": _table, "object": _object,
    "schedule": _schedule, "task": _task,
}  # fmt: skip


def _names(st: Any) -> Any:
    return st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=10)


def _leaf(st: Any) -> Any:
    # Whole numbers that every target keeps, and text without lone surrogates.
    numbers = st.integers(-(2**53) + 1, 2**53 - 1)
    return st.none() | st.booleans() | numbers | st.text(max_size=30)


def _any(st: Any) -> Any:
    return st.dictionaries(_names(st), _leaf(st) | st.lists(_leaf(st), max_size=3), max_size=4)


class _Made:
    def __init__(self, st: Any, root: Mapping[str, Any]) -> None:
        self._st = st
        self._root = root

    def strategy(self, schema: Any, depth: int) -> Any:
        st = self._st
        if depth > _DEEPEST:
            return st.nothing()
        if schema is True or schema == {}:
            return _leaf(st)
        if schema is False:
            return st.nothing()
        schema = flat(schema, self._root)
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        for word in ("oneOf", "anyOf"):
            if schema.get(word):
                rest = {name: value for name, value in schema.items() if name != word}
                return st.one_of(
                    [
                        self.strategy(merged(rest, flat(option, self._root)), depth + 1)
                        for option in schema[word]
                    ]
                )
        kinds = schema.get("type")
        if kinds is None:
            kinds = implied(schema)
        kinds = [kinds] if isinstance(kinds, str) else kinds
        return st.one_of([getattr(self, f"_{kind}")(schema, depth) for kind in kinds])

    def _object(self, schema: Mapping[str, Any], depth: int) -> Any:
        st = self._st
        required = list(schema.get("required", ()))
        parts = dict(schema.get("properties") or {})
        fixed = {name: self.strategy(parts.pop(name, True), depth + 1) for name in required}
        optional = {
            name: made
            for name, part in parts.items()
            if not (made := self.strategy(part, depth + 1)).is_empty
        }
        return st.fixed_dictionaries(fixed, optional=optional)

    def _array(self, schema: Mapping[str, Any], depth: int) -> Any:
        st = self._st
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        each = self.strategy(schema.get("items", True), depth + 1)
        return st.lists(
            each, min_size=least, max_size=most if most is not None else least + 3,
            unique_by=repr if schema.get("uniqueItems") else None,
        )  # fmt: skip

    def _string(self, schema: Mapping[str, Any], depth: int) -> Any:
        st = self._st
        if schema.get("format") in FORMATS:
            known = {"email": st.emails, "uuid": lambda: st.uuids().map(str),
                     "date": lambda: st.dates().map(str)}  # fmt: skip
            if schema["format"] in known:
                return known[schema["format"]]()
            return st.just(FORMATS[schema["format"]])
        least = schema.get("minLength", 0)
        most = schema.get("maxLength", least + 30)
        if "pattern" in schema:
            # JSON Schema's '$' is the end of the text, Python's may be before a line's end.
            texts = st.from_regex(schema["pattern"]).filter(lambda text: text[-1:] != "\n")
            return texts.filter(lambda text: least <= len(text) <= most)
        # What no queue carries is no message: lone surrogates.
        return st.text(
            st.characters(exclude_categories=("Cs",)), min_size=least, max_size=most
        )

    def _integer(self, schema: Mapping[str, Any], depth: int) -> Any:
        low, high = schema.get("minimum"), schema.get("maximum")
        if (beyond := schema.get("exclusiveMinimum")) is not None:
            low = beyond + 1
        if (below := schema.get("exclusiveMaximum")) is not None:
            high = below - 1
        low = -(2**53) + 1 if low is None else -int(-low // 1)
        high = 2**53 - 1 if high is None else int(high // 1)
        many = schema.get("multipleOf")
        if many and float(many).is_integer():
            many = int(many)
            return self._st.integers(-(-low // many), high // many).map(lambda n: n * many)
        return self._st.integers(low, high)

    def _number(self, schema: Mapping[str, Any], depth: int) -> Any:
        low, high = schema.get("minimum"), schema.get("maximum")
        return self._st.floats(
            low, high, allow_nan=False, allow_infinity=False,
            exclude_min=False, exclude_max=False,
        )  # fmt: skip

    def _boolean(self, schema: Mapping[str, Any], depth: int) -> Any:
        return self._st.booleans()

    def _null(self, schema: Mapping[str, Any], depth: int) -> Any:
        return self._st.none()
