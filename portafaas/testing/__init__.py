"""For tests: of applications, with pytest's fixture ``app``; and of adapters, the conformance kit.

``docs/testing.md`` is about the first: ``plugin`` and ``fixtures`` (pytest), ``app`` (what tests
see), ``events``, ``strategies``, ``loop``, ``clock``, ``executors``, ``packages``, ``records``.

The conformance kit is what every adapter must do, as cases that any adapter can be run against:

``portafaas.testing.cases``    what is delivered to which function, and what must come of it
``portafaas.testing.service``  the functions the cases use, as a manifest
``portafaas.testing.project``  their handlers: data, never imported from here
``portafaas.testing.kit``      builds that service for one target and delivers cases to it
``portafaas.testing.suite``    the kit as a pytest class: an adapter's author subclasses it

Which cases run follows from the adapter's capability table; nothing is skipped. What an adapter
declares must work; what it does not declare must be refused.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from portafaas.runtime.context import Context
    from portafaas.testing.app import App

_ID = "00000000-0000-0000-0000-000000000000"


def application(
    manifest: Path | str = "portafaas.yaml",
    *,
    target: str = "local",
    stage: str | None = None,
    processes: bool = False,
) -> AbstractContextManager[App]:
    """Return a context manager with the application under test, for other than pytest.

    ``with application() as app: ...``; pytest has it as a fixture (``docs/testing.md``). Entering
    raises what a plan or a build does, and PF60xx when the target's runtime cannot be installed.
    """
    from portafaas.testing.session import opened

    return opened(manifest, target, stage, processes)


def make_context(
    function: str = "test", *, service: str = "test", timeout: float = 30.0, attempt: int = 1
) -> Context:
    """Return a context for a test that calls a handler itself; its deadline is not enforced.

    ``timeout`` is in seconds.
    """
    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function

    spec = {
        "name": function,
        "service": service,
        "kind": "http",
        "handler": "test:test",
        "timeout": timeout,
        "memory": 256,
        "source": f"/{service}/tests/{function}",
        "trigger": {},
    }
    return Context(Function(spec), _ID, attempt=attempt)


def context_of(
    manifest: Path | str, function: str, folder: Path | str, *, stage: str | None = None
) -> Context:
    """Return a context for a test of *function* as *manifest* declares it.

    It reaches what the function ``uses``, kept in *folder*: messages and events (:func:`sent`),
    rows and objects, which a second context of the same folder reads; values of secrets are the
    files ``secret/<name>`` there. ``config`` holds the stage's settings. Raises ManifestError or
    PlanError for a manifest that is not valid, KeyError when it has no such function.
    """
    import json
    from pathlib import Path

    from portafaas.manifest.load import load_manifest
    from portafaas.plan.build import build_plan
    from portafaas.plan.config import VARIABLE
    from portafaas.plan.entry import function_spec
    from portafaas.runtime.config import Config
    from portafaas.runtime.context import Context
    from portafaas.runtime.function import Function

    plan = build_plan(load_manifest(Path(manifest).absolute(), stage))
    found = {known.name: known for known in plan.functions}[function]
    spec = function_spec(plan, found)
    for kind, names in spec.get("uses", {}).items():
        for name, grant in names.items():
            grant["address"] = str(Path(folder).absolute() / kind / name)
    context = Context(Function(spec), _ID)
    context.config = Config(json.loads(found.environment.get(VARIABLE, "{}")))
    return context


def sent(folder: Path | str, name: str) -> list[dict[str, Any]]:
    """Return what handlers have sent to the queue or topic *name*, in order.

    Each has ``id``, ``body`` (bytes), ``content_type``, ``attributes``, ``key``, ``delay``,
    ``dedup`` and ``sent`` (seconds since 1970).
    """
    from pathlib import Path

    from portafaas.local.resources import messages

    place = Path(folder)
    return messages(place, "queue", name) + messages(place, "topic", name)
