from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from portafaas.errors import Diagnostic, PlanError
from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan, HttpTrigger, QueueTrigger, TableTrigger
from portafaas.plan.build import build_plan

SOURCE = """\
from portafaas.runtime import HttpHandler, QueueHandler

class Web(HttpHandler):
    def handle(self, request, context):
        return None

class Work(QueueHandler):
    async def handle(self, message, context):
        return None

def f(event, context):
    return None

async def g(event, context):
    return None
"""


def plan(tmp_path: Path, target: str = "", **document: Any) -> BuildPlan:
    (tmp_path / "m.py").write_text(SOURCE)
    content = {"portafaas": 1, "name": "shop", "functions": {}, **document}
    (tmp_path / "portafaas.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return build_plan(load_manifest(tmp_path / "portafaas.yaml"), target)


def problems(tmp_path: Path, **document: Any) -> list[Diagnostic]:
    with pytest.raises(PlanError) as caught:
        plan(tmp_path, **document)
    assert all(d.line for d in caught.value.diagnostics)
    return list(caught.value.diagnostics)


def http(path: str = "/a", handler: str = "m:f", **more: Any) -> dict[str, Any]:
    trigger = {k: more.pop(k) for k in ("method", "auth", "cors") if k in more}
    return {"handler": handler, "trigger": {"http": {"path": path, **trigger}}, **more}


def queue(name: str = "jobs", handler: str = "m:f", **more: Any) -> dict[str, Any]:
    return {"handler": handler, "trigger": {"queue": {"name": name}}, **more}


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    built = plan(
        tmp_path,
        defaults={"memory": "1GB", "environment": {"A": "1", "B": 2, "C": True}},
        functions={"a": http(environment={"A": "own"}), "b": http("/b", timeout="1m", memory=128)},
    )
    first, second = built.functions
    assert (first.memory, first.timeout, first.concurrency) == (1024, 30, 1)
    assert first.environment == {"A": "own", "B": "2", "C": "true"}
    assert (second.memory, second.timeout) == (128, 60)
    assert first.trigger == HttpTrigger(("GET",), "/a")
    assert first.entry == "a"
    assert (built.python, built.architecture, built.stage) == ("3.12", "x86_64", "")


def test_async_handlers_are_told_from_the_source(tmp_path: Path) -> None:
    built = plan(
        tmp_path,
        functions={"a": http(), "b": http("/b", "m:g"), "c": queue(handler="m:Work")},
        queues={"jobs": {}},
    )
    assert [f.is_async for f in built.functions] == [False, True, True]


def test_resources_and_uses_are_resolved(tmp_path: Path) -> None:
    built = plan(
        tmp_path,
        functions={
            "a": http(
                uses=[{"send": "jobs"}, {"publish": "news"}, {"read": "files"}, {"write": "rows"}]
            )
        },
        queues={"jobs": {"dead-letter": True, "retention": "7d"}},
        topics={"news": None},
        buckets={"files": {}},
        tables={"rows": {"key": "sku", "sort": "place"}},
    )
    assert [(u.verb, u.kind, u.name) for u in built.functions[0].uses] == [
        ("send", "queue", "jobs"),
        ("publish", "topic", "news"),
        ("read", "bucket", "files"),
        ("write", "table", "rows"),
    ]
    assert built.queue("jobs").retention == 7 * 86_400
    assert built.table("rows").sort == "place"


def test_only_the_targets_own_options_are_in_its_plan(tmp_path: Path) -> None:
    functions = {"a": http(targets={"aws": {"x": 1}, "gcp": {"y": 2}})}
    assert plan(tmp_path, "aws", functions=functions).functions[0].options == {"x": 1}
    assert plan(tmp_path, "azure", functions=functions).functions[0].options == {}


def test_functions_of_one_path_share_cors_methods(tmp_path: Path) -> None:
    built = plan(
        tmp_path,
        functions={
            "a": http("/x/{id}", method=["GET", "PUT"], cors=True),
            "b": http("/x/{name}", method="DELETE", cors=True),
        },
    )
    rules = [f.trigger.cors for f in built.functions if isinstance(f.trigger, HttpTrigger)]
    assert [r.methods for r in rules if r] == [("GET", "PUT", "DELETE")] * 2
    assert [r.answers_preflight for r in rules if r] == [True, False]


@pytest.mark.parametrize(
    ("document", "code", "path", "said"),
    [
        ({"functions": {"a": http(handler="mm:f")}}, "PF2004", "$.functions.a.handler", "'m'"),
        ({"functions": {"a": http(handler="m:Wbe")}}, "PF2005", "$.functions.a.handler", "'Web'"),
        ({"functions": {"a": queue("jobz")}, "queues": {"jobs": {}}},
         "PF2002", "$.functions.a.trigger.queue.name", "'jobs'"),
        ({"functions": {"a": http(uses=[{"send": "joobs"}])}, "queues": {"jobs": {}}},
         "PF2002", "$.functions.a.uses[0].send", "'jobs'"),
        ({"functions": {"a": http(uses=[{"publish": "jobs"}])}, "queues": {"jobs": {}}},
         "PF2003", "$.functions.a.uses[0].publish", "it is a queue"),
        ({"functions": {"a": http(uses=[{"send": "jobs"}, {"send": "jobs"}])}, "queues": {"jobs": {}}},
         "PF2003", "$.functions.a.uses[1].send", "twice"),
        ({"functions": {"a": http("/x/{id}"), "b": http("/x/{name}")}},
         "PF2006", "$.functions.b.trigger.http.path", "'a'"),
        ({"functions": {"a": http(method="ANY"), "b": http(method="POST")}},
         "PF2006", "$.functions.b.trigger.http.path", "'a'"),
        ({"functions": {"a": http(method="POST"), "b": http(method="ANY")}},
         "PF2006", "$.functions.b.trigger.http.path", "'a'"),
        ({"functions": {"ab-c": http(), "a-bc": http("/b")}}, "PF2007", "$.functions.a-bc", "hyphens"),
        ({"functions": {"a": {"handler": "m:f", "trigger": {"schedule": {"cron": "0 0 * * *"}}}},
          "queues": {"a": {"dead-letter": True}}}, "PF2027", "$.functions.a", "box"),
        ({"functions": {}, "queues": {"a": {"dead-letter": "b"}, "b": {"dead-letter": "a"}}},
         "PF2008", None, ""),
        ({"functions": {}, "queues": {"a": {"dead-letter": "a"}}}, "PF2008", None, ""),
        ({"functions": {}, "queues": {"a": {"dead-letter": "zz"}}}, "PF2002", None, "zz"),
        ({"functions": {"a": http("/x/{id}/{id}")}}, "PF2009", "$.functions.a.trigger.http.path", "twice"),
        ({"functions": {"a": http("/x/{id*}/y")}}, "PF2009", "$.functions.a.trigger.http.path", "last"),
        ({"functions": {"a": http("/x/a{id}")}}, "PF2009", "$.functions.a.trigger.http.path", "segment"),
        ({"functions": {"a": http("/x//y")}}, "PF2009", "$.functions.a.trigger.http.path", "empty"),
        ({"functions": {"a": http("/x y")}}, "PF2009", "$.functions.a.trigger.http.path", "percent"),
        ({"functions": {"a": http(cors={"origins": ["shop.example"]})}},
         "PF2009", "$.functions.a.trigger.http.cors.origins[0]", "https://"),
        ({"functions": {"a": http(timeout="500ms")}}, "PF2010", "$.functions.a.timeout", "whole"),
        ({"functions": {"a": {"handler": "m:f", "trigger": {"schedule": {"cron": "61 * * * *"}}}}},
         "PF2010", "$.functions.a.trigger.schedule.cron", "61"),
        ({"functions": {"a": {"handler": "m:f", "trigger": {"schedule": {"cron": "0 0 1 * MON"}}}}},
         "PF2010", "$.functions.a.trigger.schedule.cron", "day"),
        ({"functions": {"a": {"handler": "m:f", "trigger": {"schedule": {
            "cron": "0 0 * * *", "timezone": "Europe/Berln"}}}}},
         "PF2010", "$.functions.a.trigger.schedule.timezone", "Europe/Berlin"),
        ({"functions": {"a": http(environment={"AWS_REGION": "x"})}},
         "PF2011", "$.functions.a.environment.AWS_REGION", "reserved"),
        ({"functions": {"a": http(environment={"A": "x" * 5000})}},
         "PF2011", "$.functions.a.environment", "4096"),
        ({"functions": {"a": http(handler="m:Work")}}, "PF2012", "$.functions.a.handler", "queue"),
        ({"functions": {"a": queue(interface="wsgi")}, "queues": {"jobs": {}}},
         "PF2012", "$.functions.a.interface", "http"),
        ({"functions": {"a": http(retry={"attempts": 2})}}, "PF2014", "$.functions.a.retry", "never"),
        ({"functions": {"a": queue(retry={"initial": "2m", "max": "1m"})}, "queues": {"jobs": {}}},
         "PF2014", "$.functions.a.retry", "longer"),
        ({"functions": {"a": queue(), "b": queue()}, "queues": {"jobs": {}}}, "PF2015", None, "'a'"),
        ({"functions": {"a": {"handler": "m:f", "trigger": {"table": {
            "name": "t", "on": ["upsert", "insert"]}}}}, "tables": {"t": {}}},
         "PF2016", "$.functions.a.trigger.table.on", "upsert"),
    ],
)  # fmt: skip
def test_what_no_schema_can_check_is_told(
    tmp_path: Path, document: dict[str, Any], code: str, path: str | None, said: str
) -> None:
    found = problems(tmp_path, **document)
    match = [d for d in found if d.code == code and path in (None, d.path)]
    assert match, [str(d) for d in found]
    assert said in f"{match[0].message} {match[0].hint}"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(): ...", "f() is called with two arguments: message, context"),
        ("def f(message): ...", "f(message) is called with"),
        ("async def f(a, b, c): ...", "f(a, b, c) is called with"),
        ("def f(a, b, *, c): ...", "f(a, b, c) is called with"),
        ("class f:\n  def handle(self, message): ...", "f.handle(message) is called with"),
        ("class f:\n  def run(self): ...", "class f has no method 'handle'"),
        ("def f(a, b, c=1, *, d=2): ...", ""),
        ("def f(*args): ...", ""),
        ("@wrap\ndef f(a): ...", ""),
        ("class f(Base): ...", ""),
        ("class f:\n  def __call__(self, a, b): ...", ""),
        ("class f(QueueHandler):\n  @staticmethod\n  def handle(a, b): ...", ""),
    ],
)
def test_a_handler_that_cannot_be_called_is_told(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "own.py").write_text(f"{source}\n")
    document: dict[str, Any] = {
        "functions": {"a": queue(handler="own:f")},
        "queues": {"jobs": {}},
    }
    if not said:
        assert len(plan(tmp_path, **document).functions) == 1
        return
    (found,) = problems(tmp_path, **document)
    assert (found.code, found.path) == ("PF2012", "$.functions.a.handler")
    assert said in found.message and "message, context)" in str(found.hint)


def test_a_handler_in_a_module_named_like_one_of_pythons_is_told(tmp_path: Path) -> None:
    (tmp_path / "queue.py").write_text("def f(event, context): ...\n")
    (found,) = problems(tmp_path, functions={"a": http(handler="queue:f")})
    assert (found.code, found.path) == ("PF2028", "$.functions.a.handler")
    assert found.hint == "rename queue.py"


def test_a_source_that_does_not_compile_is_told_with_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("x = 1\ndef f(:\n    pass\n")
    (found,) = problems(tmp_path, functions={"a": http(handler="bad:f")})
    assert (found.code, found.file, found.line) == ("PF2013", "bad.py", 2)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        functions={
            "a": http(handler="none:f"),
            "b": queue("missing"),
            "c": http("/x//y", uses=[{"read": "nothing"}]),
        },
    )
    assert [d.code for d in found] == ["PF2004", "PF2002", "PF2009", "PF2002"]


def test_handlers_are_never_imported(tmp_path: Path) -> None:
    (tmp_path / "danger.py").write_text("raise SystemExit('imported')\ndef f(e, c): ...\n")
    assert plan(tmp_path, functions={"a": http(handler="danger:f")}).functions


def test_packages_and_reexports_are_found(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("from m import *\n")
    (tmp_path / "pkg" / "inner.py").write_text("from m import Web as Other\n")
    assert plan(tmp_path, functions={"a": http(handler="pkg:Web")})
    assert plan(tmp_path, functions={"a": http(handler="pkg.inner:Other")})


def test_the_plan_is_frozen(tmp_path: Path) -> None:
    built = plan(tmp_path, functions={"a": http()})
    with pytest.raises(AttributeError):
        built.service = "other"  # type: ignore[misc]


def test_table_and_queue_defaults(tmp_path: Path) -> None:
    built = plan(
        tmp_path,
        functions={
            "a": queue(),
            "b": {"handler": "m:f", "trigger": {"table": {"name": "t"}}},
        },
        queues={"jobs": None},
        tables={"t": None},
    )
    assert built.functions[0].trigger == QueueTrigger("jobs", 1, 0)
    assert built.functions[1].trigger == TableTrigger("t", ("upsert",), ("new",))
