"""Projects with tests of their own, run by the pytest under test."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

import pytest

import portafaas

# What is loaded within a run of pytester is forgotten behind it, and classes loaded twice are two.
for _module in pkgutil.walk_packages(portafaas.__path__, "portafaas."):
    if not _module.name.startswith(
        ("portafaas.__main__", "portafaas.testing.project", "portafaas.testing.inside", "portafaas.dev",
         "portafaas.cli")
    ):  # fmt: skip
        importlib.import_module(_module.name)
for _name in ("yaml", "jsonschema", "sqlite3"):
    importlib.import_module(_name)

pytest_plugins = ["pytester"]

MANIFEST = """\
portafaas: 1
name: demo
functions:
  hello:
    handler: handlers:hello
    trigger: {http: {path: "/hello/{who}"}}
    uses: [{send: jobs}]
  work:
    handler: handlers:work
    trigger: {queue: {name: jobs}}
    retry: {attempts: 3, backoff: fixed, initial: 10s, max: 10s, jitter: false}
    uses: [{write: done}, {publish: news}]
  tell:
    handler: handlers:tell
    trigger: {topic: {name: news}}
  nightly:
    handler: handlers:nightly
    trigger: {schedule: {cron: "0 3 * * *", timezone: Europe/Berlin}}
queues: {jobs: {dead-letter: true}}
topics: {news: {}}
tables: {done: {key: id}}
config: {greeting: {type: string, value: Hello}}
stages:
  de: {config: {greeting: {value: Hallo}}}
"""

HANDLERS = """\
import greetings

def hello(request, context):
    who = request.path_params["who"]
    context.queues["jobs"].send({"id": who})
    return {"said": greetings.greet(context.config["greeting"], who)}

def work(message, context):
    context.logger.info("working on %s", message.json()["id"])
    context.tables["done"].put({"id": message.json()["id"], "attempt": message.attempt})
    context.topics["news"].publish(message.json(), type="demo.done")

async def tell(event, context):
    context.logger.info("done: %s", event.data["id"])

def nightly(event, context):
    context.logger.info("it is %s", event.time)
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pytest under test has no plugin but ours: others take their time to load."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "portafaas.testing.plugin")


@pytest.fixture
def demo(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project: a manifest and handlers; tests are to be added."""
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    pytester.makefile(".yaml", portafaas=MANIFEST)
    pytester.makepyfile(
        handlers=HANDLERS, greetings="def greet(word, who):\n    return f'{word}, {who}!'\n"
    )
    return pytester


@pytest.fixture
def passes(demo: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs one module of tests, which must pass; returns the result."""

    def run(source: str, *arguments: str, count: int | None = None) -> pytest.RunResult:
        demo.makepyfile(test_demo=source)
        result = demo.runpytest_inprocess(*arguments)
        outcomes = result.parseoutcomes()
        assert set(outcomes) <= {"passed", "warnings"}, result.stdout.str()
        assert outcomes["passed"] == (count or source.count("def test_"))
        return result

    return run
