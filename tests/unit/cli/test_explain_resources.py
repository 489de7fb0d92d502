"""Every resource of the documents is explained, by a place that the manifest really has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import Emitted
from portafaas.capabilities import parts
from portafaas.pipeline import Checked, check

#: A service with every trigger, use, resource and alert that all targets have, and what only some
#: have by target.
EVERYTHING: Mapping[str, Any] = {
    "portafaas": 1,
    "name": "all",
    "defaults": {"timeout": "20s", "memory": "512MB"},
    "functions": {
        "web": {
            "handler": "m:f",
            "trigger": {"http": {"method": "POST", "path": "/a/{rest*}", "auth": "key"}},
            "uses": [
                {"write": "rows"}, {"write": "files"}, {"read": "files"}, {"publish": "news"},
                {"send": "spare"}, {"read": "key"}, {"read": "rows"}, {"read": "more-rows"},
            ],
        },
        "signed": {"handler": "m:f", "trigger": {"http": {"path": "/b", "auth": "iam"}}},
        "open": {"handler": "m:f", "trigger": {"http": {"path": "/c"}}},
        "work": {
            "handler": "m:f", "trigger": {"queue": {"name": "jobs"}}, "max-instances": 4,
            "retry": {"attempts": 7, "initial": "3s"}, "concurrency": 2,
        },
        "steps": {"handler": "m:f", "trigger": {"queue": {"name": "steps"}}},
        "more": {"handler": "m:f", "trigger": {"queue": {"name": "more"}}},
        "listen": {
            "handler": "m:f", "trigger": {"topic": {"name": "news", "filter": {"type": ["a.b"]}}},
        },
        "log": {"handler": "m:f", "trigger": {"topic": {"name": "journal"}}},
        "store": {
            "handler": "m:f", "trigger": {"object": {"bucket": "files", "prefix": "in/"}},
        },
        "old": {"handler": "m:f", "trigger": {"object": {"bucket": "kept", "on": ["deleted"]}}},
        "follow": {
            "handler": "m:f", "trigger": {"table": {"name": "rows"}}, "uses": [{"write": "rows"}],
        },
        "tick": {"handler": "m:f", "trigger": {"schedule": {"cron": "0 5 * * *"}}},
        "tock": {
            "handler": "m:f", "trigger": {"schedule": {"cron": "0 6 * * *"}},
            "retry": {"attempts": 3, "backoff": "fixed", "initial": "20s"},
        },
    },
    "queues": {
        "jobs": {"dead-letter": True}, "steps": {"ordered": True, "dead-letter": True},
        "more": {"dead-letter": "lost"}, "lost": {}, "spare": {},
    },
    "topics": {"news": {}, "journal": {"ordered": True}},
    "buckets": {"files": {}, "kept": {"versioned": True}},
    "tables": {"rows": {}, "more-rows": {"key": "id"}},
    "secrets": {"key": {}},
    "logs": {"retention": "90d"},
    "channels": {"ops": {"email": "a@b.example", "webhook": "https://b.example/x"}, "no": {"email": "a@b.c"}},
    "alerts": {
        "fails": {"metric": "errors", "function": "web", "notify": ["ops"]},
        "slow": {"metric": "latency-p95", "function": "work", "threshold": "1s", "notify": ["ops"]},
        "lost-jobs": {"metric": "dead-letters", "queue": "jobs", "notify": ["ops"]},
    },
}  # fmt: skip
OWN: Mapping[str, Any] = {
    "aws": {
        "targets": {"aws": {"stacks": 3}},
        "tables": {"rows": {"ttl": "gone"}},
        "functions": {"open": {"targets": {"aws": {"front": "function-url"}}}},
    },
    "azure": {
        "tables": {"rows": {"ttl": "gone"}},
        "functions": {"web": {"min-instances": 1}, "work": {"min-instances": 2}},
        "targets": {"azure": {"apps": "grouped"}},
    },
    "gcp": {
        "functions": {"web": {"min-instances": 1}},
        "tables": {"rows": {"ttl": "gone"}},
        "targets": {"gcp": {"region": "europe-west1"}},
    },
}


def merged(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}
    return over


@pytest.fixture(params=["aws", "azure", "gcp"])
def item(request: pytest.FixtureRequest, tmp_path: Path) -> Checked:
    """The service as one target gets it."""
    (tmp_path / "m.py").write_text("def f(event, context):\n    return None\n")
    manifest = tmp_path / "portafaas.yaml"
    # JSON is YAML.
    manifest.write_text(json.dumps(merged(EVERYTHING, OWN[request.param]), indent=1))
    (found,) = check(manifest, [request.param])
    return found


def emitted(target: str, documents: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield address and type of every resource of *documents*, without what the adapter says.

    A resource of ARM has no address: a place in the list is one.
    """
    for document in documents.values():
        if target == "aws":
            yield from ((name, body["Type"]) for name, body in document["Resources"].items())
        elif target == "gcp":
            for kind, bodies in document["resource"].items():
                yield from ((f"{kind}.{name}", kind) for name in bodies)
        else:
            yield from ((str(n), body["type"]) for n, body in enumerate(document["resources"]))


def explained(target: str, resources: tuple[Emitted, ...]) -> Iterator[tuple[str, str]]:
    """Yield the same of what the adapter says; names in Azure are told in the list's order."""
    names = dict.fromkeys((found.type, found.name) for found in resources)
    for number, (kind, name) in enumerate(names):
        yield (str(number) if target == "azure" else name, kind)


def test_resources_are_those_of_the_documents(item: Checked) -> None:
    target, made = item.adapter.target, item.adapter.infrastructure(item.plan)
    wanted = list(emitted(target, made.documents))
    assert len(wanted) == len(set(wanted)) > 40
    assert set(explained(target, made.resources)) == set(wanted)
    assert len(made.resources) == len(set(made.resources))


def test_azure_names_are_told_for_what_they_are(item: Checked) -> None:
    if item.adapter.target != "azure":
        return
    made = item.adapter.infrastructure(item.plan)
    (document,) = made.documents.values()
    names = list(dict.fromkeys((found.type, found.name) for found in made.resources))
    for body, (_, name) in zip(document["resources"], names, strict=True):
        if not body["name"].startswith("["):
            assert name.startswith(body["name"])
        assert "resourceId" not in name and "format(" not in name


def test_every_reason_is_a_place_of_the_manifest(item: Checked) -> None:
    made = item.adapter.infrastructure(item.plan)
    functions = {function.name for function in item.plan.functions}
    for found in made.resources:
        assert found.function in functions | {""}, found
        if found.why == "platform":
            assert not found.function, found
            continue
        path = parts(found.why)
        # ``uses[0].write`` is in ``{write: rows}``.
        assert path in item.manifest.positions, found
        if path[0] == "functions" and found.function:
            assert path[1] == found.function, found
    # What a function is made of is its own.
    assert {found.function for found in made.resources} == functions | {""}


def test_every_permission_has_a_place_too(item: Checked) -> None:
    for found in item.adapter.infrastructure(item.plan).permissions:
        assert found.why == "platform" or parts(found.why) in item.manifest.positions, found


def test_each_function_has_one_redelivery(item: Checked) -> None:
    made = item.adapter.infrastructure(item.plan)
    names = [function.name for function in item.plan.functions]
    assert [told.function for told in made.redeliveries] == names
    for told in made.redeliveries:
        assert told.source.startswith("https://")
        assert bool(told.by) or (told.attempts, told.delay, told.until) == (1, "", 0)


#: Function -> (attempts, until, part of the delay, part of where dead letters go).
NUMBERS: Mapping[str, Mapping[str, tuple[int, int, str, str]]] = {
    "aws": {
        "web": (1, 0, "", ""),
        # After a crash: six times the 20 s and five more, of which a message is invisible.
        "work": (7, 86_400, "150 s", "queue all-jobs-dead"),
        "more": (5, 86_400, "150 s", "queue all-lost"),
        "steps": (5, 86_400, "1 s after the first failure", "queue all-steps-dead.fifo"),
        "listen": (5, 86_400, "up to 60 s", "queue all-news-listen-dead"),
        "store": (5, 86_400, "150 s", "queue all-store-failed"),
        "follow": (5, 86_400, "1 s after", "queue all-follow-failed"),
        "tick": (5, 86_400, "150 s", "queue all-tick-failed"),
        "tock": (3, 86_400, "20 s after a failure", "queue all-tock-failed"),
    },
    "azure": {
        "web": (1, 0, "", ""),
        "work": (7, 345_600, "3 s after a failure, then twice as long", "queue jobs-dead"),
        "more": (5, 345_600, "up to 60 s; 60 s after the host is gone", "queue lost"),
        "steps": (5, 345_600, "up to 60 s, as far as the timeout allows", "queue steps-dead"),
        "listen": (5, 0, "then twice as long, up to 60 s", "queue listen-dead"),
        "store": (5, 0, "then twice as long, up to 60 s", "queue store-dead"),
        "follow": (5, 0, "1 s after a failure, then longer, up to 60 s", "queue follow-dead"),
        "tick": (5, 0, "then twice as long, up to 60 s", "queue tick-dead"),
        "tock": (3, 0, "20 s after a failure", "queue tock-dead"),
    },
    "gcp": {
        "web": (1, 0, "", ""),
        "work": (7, 345_600, "3 s after a failure, then longer, up to 60 s", "all-jobs-dead"),
        "more": (5, 345_600, "then longer, up to 60 s; what is to come", "subscription all-lost"),
        "steps": (5, 345_600, "then longer, up to 60 s", "subscription all-steps-dead"),
        "listen": (5, 604_800, "then longer, up to 60 s", "subscription all-listen-dead"),
        "store": (5, 604_800, "then longer, up to 60 s", "subscription all-store-dead"),
        "follow": (5, 86_400, "then longer, up to 60 s", "subscription all-follow-dead"),
        "tick": (5, 0, "then longer, up to 60 s", "subscription all-tick-dead"),
        "tock": (3, 0, "20 s after a failure", "subscription all-tock-dead"),
    },
}  # fmt: skip


def test_redeliveries_are_those_of_the_documents(item: Checked) -> None:
    told = {one.function: one for one in item.adapter.infrastructure(item.plan).redeliveries}
    for name, (attempts, until, delay, dead) in NUMBERS[item.adapter.target].items():
        found = told[name]
        assert (found.attempts, found.until) == (attempts, until), found
        assert delay in found.delay and bool(delay) <= bool(found.delay), found
        assert dead in found.dead_letters and bool(dead) == bool(found.dead_letters), found
