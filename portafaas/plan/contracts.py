"""What functions emit, and the schemas of events and messages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from portafaas.errors import guess
from portafaas.plan.model import EventPlan, MessageSchema, Use
from portafaas.plan.triggers import Findings

Path = tuple[str | int, ...]

#: Larger than any sane schema of a message.
MAX_BYTES = 1_048_576


def events(found: Findings, block: Mapping[str, Any]) -> tuple[EventPlan, ...]:
    """Return the types of events in the manifest's order; PF2102 goes to *found*."""
    return tuple(
        EventPlan(
            name,
            (spec or {}).get("description", ""),
            message_schema(found, ("events", name), spec or {}),
        )
        for name, spec in block.items()
    )


def emits(
    found: Findings,
    path: tuple[str, ...],
    spec: Any,
    uses: tuple[Use, ...],
    document: Mapping[str, Any],
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the types by topic of ``emits``; PF2002 and PF2101 go to *found*."""
    if spec is None:
        return ()
    where = (*path, "emits")
    topics = [use.name for use in uses if use.verb == "publish"]
    if isinstance(spec, list):
        _known_types(found, where, spec, document)
        if len(topics) == 1:
            return ((topics[0], tuple(spec)),)
        if topics:
            example = ", ".join(f"{topic}: [{spec[0]}]" for topic in topics)
            found.add(
                "PF2101",
                where,
                f"the function publishes to {' and '.join(topics)}: to which of them these?",
                f"say it by topic: {{{example}}}",
            )
        else:
            found.add(
                "PF2101",
                where,
                "the function publishes to no topic",
                "add '- publish: TOPIC' to its 'uses'",
            )
        return ()
    for topic, types in spec.items():
        _known_types(found, (*where, topic), types, document)
        if topic in topics:
            continue
        if topic in (document.get("topics") or {}):
            found.add(
                "PF2101",
                (*where, topic),
                f"the function may not publish to topic {topic!r}",
                f"add '- publish: {topic}' to its 'uses'",
            )
        else:
            found.add(
                "PF2002",
                (*where, topic),
                f"no topic is called {topic!r}",
                guess(topic, topics) or "declare it under topics:",
            )
    return tuple((topic, tuple(types)) for topic, types in spec.items())


def _known_types(
    found: Findings, path: Path, types: list[str], document: Mapping[str, Any]
) -> None:
    """Refuse types that a manifest with ``events:`` does not have there: a typo would be one."""
    declared = document.get("events")
    if not declared:
        return
    for index, name in enumerate(types):
        if name not in declared:
            found.add(
                "PF2002",
                (*path, index),
                f"no event is called {name!r}",
                guess(name, declared) or "declare it under events:",
            )


def message_schema(found: Findings, path: Path, spec: Mapping[str, Any]) -> MessageSchema:
    """Return the schema that an event or a queue has; PF2102 goes to *found*."""
    given = spec.get("schema")
    where = (*path, "schema")
    file = ""
    document: Mapping[str, Any] = given if isinstance(given, dict) else {}
    if given is None:
        for key in ("schema-version", "compatibility"):
            if key in spec:
                found.add("PF2102", (*path, key), f"{key!r} is of a schema", "add 'schema'")
    elif isinstance(given, str):
        file, document = given, _read(found, where, given)
    if document:
        from portafaas.plan.schemas import problems

        for at, message in problems(document):
            inner = "".join(f"/{_pointer(part)}" for part in at)
            told = f"{file}#{inner}: {message}" if file else message
            found.add("PF2102", where if file else (*where, *at), told)
    return MessageSchema(
        document, spec.get("schema-version", 1), spec.get("compatibility", "backward"), file
    )


def _pointer(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _read(found: Findings, path: Path, name: str) -> Mapping[str, Any]:
    """Return the schema in the file *name* of the project; {} when there is none."""
    root = os.path.realpath(found.manifest.root)
    place = os.path.realpath(os.path.join(root, name))  # noqa: PTH118
    hint: str | None = "name a JSON file of the project, relative to the manifest"
    if os.path.isabs(name) or not place.startswith(f"{root}{os.sep}"):  # noqa: PTH117
        problem = f"{name} is not in the project"
    elif not os.path.isfile(place):  # noqa: PTH113
        problem = f"{name} does not exist, or is no file"
    else:
        document, problem = _parse(place, name)
        hint = "a schema is a JSON object"
        if not problem:
            return document
    found.add("PF2102", path, problem, hint)
    return {}


def _parse(place: str, name: str) -> tuple[Mapping[str, Any], str]:
    """Return the JSON object in *place* and "", or {} and what is wrong."""
    import json

    try:
        with open(place, "rb") as file:  # noqa: PTH123
            data = file.read(MAX_BYTES + 1)
    except OSError as exc:
        return {}, f"{name} cannot be read: {exc.strerror}"
    if len(data) > MAX_BYTES:
        return {}, f"{name} has more than {MAX_BYTES} bytes"
    try:
        document = json.loads(data.decode("utf-8-sig"), parse_constant=_no_number)
    except RecursionError:
        return {}, f"{name} is nested too deeply"
    except ValueError as exc:
        return {}, f"{name} is not JSON: {exc}"
    if not isinstance(document, dict):
        return {}, f"{name} holds no JSON object"
    return document, ""


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")
