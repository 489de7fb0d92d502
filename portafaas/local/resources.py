"""The driver of target ``local``, and where it keeps what it is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from portafaas.local.driver.portafaas_local_resources import (
    RUN,
    commit,
    database,
    delete,
    get_row,
    list_objects,
    publish,
    query,
    read,
    read_range,
    run_status,
    scan,
    secret,
    send,
    signal_run,
    signed_url,
    start_run,
    stat,
    write,
    write_parts,
    write_row,
)
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.runtime.control import split
from portafaas.runtime.resources import DRIVER

__all__ = [
    "commit",
    "delete",
    "effects",
    "environment",
    "get_row",
    "list_objects",
    "scan",
    "messages",
    "publish",
    "query",
    "read",
    "read_range",
    "run_status",
    "secret",
    "secret_file",
    "send",
    "signal_run",
    "signed_url",
    "start_run",
    "stat",
    "store",
    "write",
    "write_parts",
    "write_row",
]

#: Folder of what belongs to a project but is made by tools.
_STATE = ".portafaas"


def store(root: Path, stage: str) -> Path:
    """Return the folder of what functions of the project in *root* have sent and written."""
    return root.absolute() / _STATE / "local" / (stage or "-")


def secret_file(root: Path, stage: str, name: str) -> Path:
    """Return the file with a secret's local value."""
    return root.absolute() / _STATE / "secrets" / (stage or "-") / name


def environment(
    plan: BuildPlan, function: FunctionPlan, root: Path, run: str, *, packaged: bool
) -> dict[str, str]:
    """Return the variables that lead a function's clients here; none when it uses nothing.

    *run* marks the effects of this run. A *packaged* function runs in a process of a vendor's
    runtime, which has no more of portafaas than the package has.
    """
    if not function.uses:
        return {}
    variables = {RUN: run}
    if packaged:
        variables[DRIVER] = "portafaas_local_resources"
        variables["PYTHONPATH"] = str(Path(__file__).parent / "driver")
    for use in function.uses:
        variable = f"PORTAFAAS_{use.kind}_{use.name}".upper().replace("-", "_")
        if use.kind == "secret":
            place = secret_file(root, plan.stage, use.name)
        else:
            place = store(root, plan.stage) / use.kind / use.name
        variables[variable] = str(place)
    return variables


def effects(folder: Path, run: str) -> list[dict[str, Any]]:
    """Return what a run has sent and written, in order.

    Each has ``kind``, ``name`` and ``verb`` (``send``, ``publish``, ``put``, ``update``,
    ``write``, ``delete``, ``start``, ``signal``) and what was given.
    """
    if not (folder / "resources.db").exists():
        return []
    connection = database(str(folder))
    try:
        found = connection.execute(
            "select effect from effects where run = ? order by number", (run,)
        ).fetchall()
    finally:
        connection.close()
    return [json.loads(effect) for (effect,) in found]


def messages(folder: Path, kind: str, name: str) -> list[dict[str, Any]]:
    """Return the messages that a queue or topic (*kind*) was sent, in order.

    All that wait to be shared out, and of the others those among the newest
    ``portafaas.local.retention.TAIL`` of the store.
    """
    if not (folder / "resources.db").exists():
        return []
    connection = database(str(folder))
    try:
        found = connection.execute(
            "select id, body, content_type, attributes, key, delay, dedup, sent from messages "
            "where kind = ? and name = ? order by number",
            (kind, name),
        ).fetchall()
    finally:
        connection.close()
    names = ("id", "body", "content_type", "attributes", "key", "delay", "dedup", "sent")
    return [
        dict(zip(names, row, strict=True)) | {"attributes": split(json.loads(row[3]))[0]}
        for row in found
    ]
