"""The clients of handlers, for scripts: the same calls on the same resources from anywhere.

::

    from portafaas.connection import connect

    shop = connect("portafaas.yaml", target="aws", stage="prod")
    shop.queues["payments"].send({"order": "7"})
    for row in shop.tables["orders"].scan(): ...

A script has the rights of who runs it, with the platform's own credentials, and not those of a
function: every declared resource is reachable by every verb.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portafaas.manifest.load import load_manifest
from portafaas.plan import BuildPlan
from portafaas.plan.build import build_plan
from portafaas.plan.config import VARIABLE
from portafaas.plan.entry import resources_spec
from portafaas.runtime.config import Config
from portafaas.runtime.context import Context
from portafaas.runtime.function import Function
from portafaas.runtime.resources import new_id

#: How long a script may take for all that asks the context for the time left: a day.
_TIMEOUT = 86_400


def connect(
    manifest: Path | str = "portafaas.yaml", *, target: str | None = None, stage: str | None = None
) -> Context:
    """Return a context that reaches every resource that *manifest* declares.

    Without a *target* they are those on this machine, as ``portafaas invoke`` keeps them. Raises
    ManifestError or PlanError for a manifest that is not valid, AdapterNotFoundError,
    DeploymentError (PF8010 when nothing is deployed, PF80xx for credentials and settings).
    """
    from portafaas.registry import get_adapter

    file = Path(manifest).absolute()
    plan = build_plan(load_manifest(file, stage), target or "")
    if target is None:
        addresses = _local(plan, file.parent)
    else:
        addresses = dict(get_adapter(target).engine(plan).whereabouts())
    return _context(plan, addresses, target or "local")


def reach(plan: BuildPlan, root: Path) -> Context:
    """Return the same of a *plan* that is there already, for this machine."""
    return _context(plan, _local(plan, root), "local")


def _context(plan: BuildPlan, addresses: Mapping[str, str], target: str) -> Context:
    uses = resources_spec(plan)
    for kind, names in uses.items():
        for name, grant in names.items():
            variable = f"PORTAFAAS_{kind}_{name}".upper().replace("-", "_")
            if variable in addresses:
                grant["address"] = addresses[variable]
    spec: dict[str, Any] = {
        "name": "script",
        "service": plan.service,
        "kind": "schedule",
        "handler": "script:script",
        "timeout": _TIMEOUT,
        "memory": 256,
        "source": f"/{plan.service}/scripts/script",
        "trigger": {},
        "uses": uses,
    }
    if plan.stage:
        spec["stage"] = plan.stage
    context = Context(Function(spec), new_id(), target=target)
    told = [f.environment[VARIABLE] for f in plan.functions if VARIABLE in f.environment]
    context.config = Config(json.loads(told[0] if told else "{}"))
    return context


def _local(plan: BuildPlan, root: Path) -> dict[str, str]:
    from portafaas.local.resources import secret_file, store

    found = {}
    for kind, names in resources_spec(plan).items():
        for name in names:
            if kind == "secret":
                place = secret_file(root, plan.stage, name)
            else:
                place = store(root, plan.stage) / kind / name
            found[f"PORTAFAAS_{kind}_{name}".upper().replace("-", "_")] = str(place)
    return found
