"""Terraform's plan in the words of the contract; pure.

https://developer.hashicorp.com/terraform/internals/json-format#plan-representation
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from portafaas.deployment.contract import Action, Change, Drift
from portafaas_gcp.deployment.documents import MARK, Documents, resources, variables

_ACTIONS: Mapping[tuple[str, ...], Action] = {
    ("create",): "add",
    ("update",): "change",
    ("delete",): "remove",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "keep",
}
#: Properties that decide who may do what, or be called by whom.
_GUARDS = {
    "ingress_settings",
    "invoker_iam_disabled",
    "member",
    "members",
    "oidc_token",
    "public_access_prevention",
    "role",
    "service_account",
    "service_account_email",
    "uniform_bucket_level_access",
}
#: Longer values are cut.
_SHOWN = 60

Path = tuple[str, ...]


def changes(plan: Mapping[str, Any], keys: Collection[str] = ()) -> tuple[Change, ...]:
    """Return the changes of ``terraform show -json``, by address.

    *keys* are environment variables that say whose calls are let in.
    """
    found = []
    for item in plan.get("resource_changes") or ():
        change = item["change"]
        action = _ACTIONS.get(tuple(change["actions"]))
        detail, paths = "", list(_paths(change.get("before"), change.get("after")))
        if action is None and change.get("importing"):
            action, detail = "change", "taken over as it is"
        if action is None or item.get("mode") != "managed" or item["type"] == MARK:
            continue
        if action in ("change", "replace") and not detail:
            unknown = _unknown(change.get("after_unknown"), change.get("before"))
            names = {_name(path) for path in paths} | {_name(path) for path in unknown}
            if action == "replace":
                forced = change.get("replace_paths") or ()
                names = {_name(_words(path)) for path in forced} or names
            detail = ", ".join(sorted(names))
        security = is_security(item["type"], paths if action == "change" else (), keys)
        found.append(Change(action, item["address"], item["type"], detail, security))
    return tuple(sorted(found, key=lambda change: change.resource))


def first(documents: Documents) -> tuple[Change, ...]:
    """Return what a first deployment adds: every resource, but lists that are empty so far."""
    found, defaults = [], variables(documents)
    for kind, name, body in resources(documents):
        each = str(body.get("for_each", "")).removeprefix("${var.").removesuffix("}")
        if each and not defaults.get(each, {}).get("default", True):
            continue
        found.append(Change("add", f"{kind}.{name}", kind, "", is_security(kind, ())))
    return tuple(sorted(found, key=lambda change: change.resource))


def is_security(kind: str, paths: Collection[Path], keys: Collection[str] = ()) -> bool:
    """Return whether a change decides who may do what: by its type, or by what it changes."""
    if "_iam_" in kind or kind.startswith("google_service_account"):
        return True
    return any(_GUARDS & set(path) or (set(keys) & set(path)) for path in paths)


def drift(plan: Mapping[str, Any]) -> tuple[Drift, ...]:
    """Return what is not as it was deployed.

    Only what the document says counts: the platform changes revisions, times and tags itself.
    """
    declared = {
        item["address"]: item.get("expressions", {})
        for item in plan.get("configuration", {}).get("root_module", {}).get("resources", ())
    }
    found = []
    for item in plan.get("resource_drift") or ():
        change, address = item["change"], item["address"]
        if item.get("mode") != "managed" or item["type"] == MARK:
            continue
        if change["actions"] == ["delete"]:
            found.append(Drift(address, item["type"], "removed"))
            continue
        said = declared.get(address.partition("[")[0])
        detail = tuple(
            _difference(path, change)
            for path in sorted(_paths(change.get("before"), change.get("after")))
            if said is None or _configured(path, said)
        )
        if detail:
            found.append(Drift(address, item["type"], "changed", detail))
    return tuple(sorted(found, key=lambda one: one.resource))


def _paths(before: Any, after: Any, path: Path = ()) -> Iterator[Path]:
    """Yield where two values differ, as names and indices."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            yield from _paths(before.get(name), after.get(name), (*path, str(name)))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from _paths(*pair, (*path, str(index)))
    elif before != after and not (_nothing(before) and _nothing(after)):
        yield path


def _nothing(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _unknown(value: Any, before: Any, path: Path = ()) -> Iterator[Path]:
    """Yield what had a value and is known only when it is done."""
    if value is True and before is not None:
        yield path
    elif isinstance(value, Mapping) and isinstance(before, Mapping):
        for name, inner in value.items():
            yield from _unknown(inner, before.get(name), (*path, str(name)))
    elif isinstance(value, list) and isinstance(before, list):
        for index, pair in enumerate(zip(value, before, strict=False)):
            yield from _unknown(*pair, (*path, str(index)))


def _name(path: Path) -> str:
    return ".".join(word for word in path if not word.isdigit())


def _words(path: Sequence[Any]) -> Path:
    return tuple(str(word) for word in path)


def _configured(path: Path, said: Any) -> bool:
    """Return whether the document sets what lies at *path*; *said* as in ``configuration``."""
    for word in path:
        if isinstance(said, list) and word.isdigit():
            said = said[int(word)] if int(word) < len(said) else None
            continue
        if isinstance(said, Mapping) and ("constant_value" in said or "references" in said):
            return True
        if not isinstance(said, Mapping) or word not in said:
            return False
        said = said[word]
    return True


def _difference(path: Path, change: Mapping[str, Any]) -> str:
    before, after = _at(change.get("before"), path), _at(change.get("after"), path)
    secret = (
        _is_sensitive(change.get("before_sensitive"), path)
        or _is_sensitive(change.get("after_sensitive"), path)
        # Whoever edits a function's variables by hand may have put a password there.
        or any("environment_variables" in word for word in path)
    )
    if secret:
        return _name(path)
    return f"{_name(path)}: {_shown(before)} expected, {_shown(after)} found"


def _at(value: Any, path: Path) -> Any:
    for word in path:
        if isinstance(value, list):
            value = value[int(word)] if word.isdigit() and int(word) < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(word)
    return value


def _is_sensitive(marks: Any, path: Path) -> bool:
    for word in path:
        if marks is True:
            return True
        if isinstance(marks, list):
            marks = marks[int(word)] if word.isdigit() and int(word) < len(marks) else None
        elif isinstance(marks, Mapping):
            marks = marks.get(word)
    return _marked(marks)


def _marked(marks: Any) -> bool:
    """Return whether anything in *marks* is True: a value that is shown whole shows its parts."""
    if isinstance(marks, Mapping):
        return any(_marked(inner) for inner in marks.values())
    if isinstance(marks, list):
        return any(_marked(inner) for inner in marks)
    return marks is True


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
