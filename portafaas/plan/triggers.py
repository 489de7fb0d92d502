"""Triggers of the manifest -> triggers of the plan, and what only the whole set can tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from portafaas.errors import Diagnostic, guess
from portafaas.manifest import Manifest
from portafaas.plan.model import (
    Auth,
    Cors,
    FunctionPlan,
    HttpTrigger,
    ObjectTrigger,
    QueueTrigger,
    Rate,
    ScheduleTrigger,
    TableTrigger,
    TaskTrigger,
    TopicTrigger,
    Trigger,
)
from portafaas.plan.values import seconds

Path = tuple[str | int, ...]

#: Variable with the digests of the valid API keys unless the manifest names another.
KEYS_VARIABLE = "PORTAFAAS_HTTP_KEYS"

_SEGMENT = re.compile(r"\{([a-z_][a-z0-9_]*)(\*?)\}\Z")


class Findings:
    """Collects the problems of one plan."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.problems: list[Diagnostic] = []

    def add(self, code: str, path: Path, message: str, hint: str | None = None) -> None:
        """Add an error at *path*."""
        self.problems.append(self.manifest.diagnostic(code, path, message, hint))

    def known(self, path: Path) -> bool:
        """Tell whether the file has something at *path*."""
        return path in self.manifest.positions


def build_trigger(
    found: Findings,
    document: Mapping[str, Any],
    function: Path,
    spec: Mapping[str, Any],
    interface: str = "handler",
) -> Trigger:
    """Return the trigger that ``{kind: settings}`` describes; problems go to *found*."""
    kind, values = next(iter(spec.items()))
    path = (*function, "trigger", kind)
    match kind:
        case "http":
            # An application does its own routing.
            usual = "GET" if interface == "handler" else "ANY"
            return _http(found, path, {"method": usual, **values})
        case "schedule":
            return _schedule(found, path, values)
        case "queue":
            name = _resource(found, document, "queue", values["name"], (*path, "name"))
            return QueueTrigger(name, values.get("batch", 1), int(seconds(values.get("window", 0))))
        case "topic":
            name = _resource(found, document, "topic", values["name"], (*path, "name"))
            wanted = {
                key: (value,) if isinstance(value, str) else tuple(value)
                for key, value in (values.get("filter") or {}).items()
            }
            return TopicTrigger(name, tuple(sorted(wanted.items())))
        case "object":
            name = _resource(found, document, "bucket", values["bucket"], (*path, "bucket"))
            return ObjectTrigger(
                name,
                _several(values.get("on", "created")),
                values.get("prefix", ""),
                values.get("suffix", ""),
            )
        case "table":
            return _table(found, document, path, values)
        case "task":
            return TaskTrigger()
        case _:
            # The schema lists the kinds; a new one without a case here is our own mistake.
            raise AssertionError(f"trigger kind {kind!r} is in the schema but not in the plan")


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _resource(
    found: Findings, document: Mapping[str, Any], kind: str, name: str, path: Path
) -> str:
    declared = document.get(f"{kind}s") or {}
    if name not in declared:
        found.add(
            "PF2002",
            path,
            f"no {kind} is called {name!r}",
            guess(name, declared) or f"declare it under {kind}s:",
        )
    return name


def _http(found: Findings, path: Path, values: Mapping[str, Any]) -> HttpTrigger:
    method = values["method"]
    methods = () if method == "ANY" else _several(method)
    template: str = values["path"]
    _check_path(found, (*path, "path"), template)
    auth = _auth(values.get("auth", "none"))
    cors = values.get("cors")
    rules = None
    if cors:
        rules = Cors(("*",), ()) if cors is True else _cors(found, path, cors)
    rate = values.get("rate")
    limit = None
    if rate:
        requests = rate["requests"]
        limit = Rate(requests / seconds(rate.get("per", "1s")), rate.get("burst", requests))
    return HttpTrigger(methods, template, auth, rules, values.get("max-body", 4_500_000), limit)


def _cors(found: Findings, path: Path, cors: Mapping[str, Any]) -> Cors:
    for index, origin in enumerate(cors["origins"]):
        if origin != "*" and not re.fullmatch(r"https?://[^/\s*]+", origin):
            found.add(
                "PF2009",
                (*path, "cors", "origins", index),
                f"{origin!r} is not an origin",
                "write scheme and host, such as https://shop.example, or '*'",
            )
    return Cors(
        tuple(cors["origins"]),
        (),
        tuple(cors.get("headers", ("*",))),
        tuple(cors.get("expose", ())),
        bool(cors.get("credentials")),
        int(seconds(cors.get("max-age", 600))),
    )


def _auth(value: str | Mapping[str, Any]) -> Auth | None:
    if value == "none":
        return None
    if value == "key":
        return Auth("key", keys=KEYS_VARIABLE)
    if value == "iam":
        return Auth("iam")
    assert not isinstance(value, str)
    if "key" in value:
        return Auth("key", keys=value["key"].get("environment", KEYS_VARIABLE))
    jwt = value["jwt"]
    return Auth(
        "jwt",
        issuer=jwt["issuer"],
        audience=_several(jwt["audience"]),
        scopes=tuple(jwt.get("scopes", ())),
        jwks=jwt.get("jwks", ""),
        algorithms=tuple(jwt.get("algorithms", ("RS256",))),
    )


def _check_path(found: Findings, path: Path, template: str) -> None:
    segments = template[1:].split("/")
    names: list[str] = []
    for index, segment in enumerate(segments):
        match = _SEGMENT.match(segment)
        if match:
            if match[1] in names:
                found.add("PF2009", path, f"{template!r} names {{{match[1]}}} twice", "rename one")
            names.append(match[1])
            if match[2] and index != len(segments) - 1:
                found.add(
                    "PF2009",
                    path,
                    f"{{{match[1]}*}} in {template!r} is not the last segment",
                    "a wildcard takes the rest of the path",
                )
        elif "{" in segment or "}" in segment:
            found.add(
                "PF2009",
                path,
                f"segment {segment!r} of {template!r} is neither text nor one {{name}}",
                "names are lower-case letters, digits and underscores",
            )
        elif not segment and len(segments) > 1:
            found.add(
                "PF2009",
                path,
                f"{template!r} has an empty segment",
                "remove the doubled or final '/'; use {name*} to match below a folder",
            )
        elif not re.fullmatch(r"[A-Za-z0-9._~!$&'()+,;=:@-]*", segment):
            found.add(
                "PF2009",
                path,
                f"segment {segment!r} of {template!r} has characters that need percent-encoding",
                "use letters, digits and -._~",
            )


def _schedule(found: Findings, path: Path, values: Mapping[str, Any]) -> ScheduleTrigger:
    from portafaas.schedule import ScheduleError, parse_cron

    zone = values.get("timezone", "UTC")
    try:
        parse_cron(values["cron"], zone)
    except ScheduleError as exc:
        for problem in exc.problems:
            key = "timezone" if "time zone" in problem else "cron"
            found.add("PF2010", (*path, key), problem)
    return ScheduleTrigger(values["cron"], zone)


def _table(
    found: Findings, document: Mapping[str, Any], path: Path, values: Mapping[str, Any]
) -> TableTrigger:
    name = _resource(found, document, "table", values["name"], (*path, "name"))
    on = _several(values.get("on", "upsert"))
    images = tuple(values.get("images", ("new",)))
    if "upsert" in on and len(on) > 1 and set(on) & {"insert", "update"}:
        found.add(
            "PF2016",
            (*path, "on"),
            "upsert cannot be combined with insert or update",
            "write upsert, or insert and update",
        )
    return TableTrigger(name, on, images)


def share_cors(found: Findings, functions: tuple[FunctionPlan, ...]) -> tuple[FunctionPlan, ...]:
    """Refuse duplicate routes; give all functions of one path the same CORS methods.

    The first function of a path that has CORS answers its preflight requests, for the methods of
    all of them.
    """
    taken: dict[tuple[str, str], str] = {}
    by_path: dict[str, list[FunctionPlan]] = {}
    for function in functions:
        trigger = function.trigger
        if not isinstance(trigger, HttpTrigger):
            continue
        shape = re.sub(r"\{[a-z0-9_]+(\*?)\}", r"{\1}", trigger.path)
        by_path.setdefault(shape, []).append(function)
        for method in trigger.methods or ("ANY",):
            for key in ((shape, method), (shape, "ANY")):
                other = taken.get(key)
                if other is not None:
                    found.add(
                        "PF2006",
                        ("functions", function.name, "trigger", "http", "path"),
                        f"route {method} {trigger.path} is taken by {other!r}",
                        "change the method or the path of one",
                    )
                    break
            else:
                if method == "ANY" and (other := _first(taken, shape)) is not None:
                    found.add(
                        "PF2006",
                        ("functions", function.name, "trigger", "http", "path"),
                        f"route ANY {trigger.path} overlaps a route of {other!r}",
                        "change the method or the path of one",
                    )
                taken[shape, method] = function.name
    out: dict[str, FunctionPlan] = {}
    for sharing in by_path.values():
        methods: list[str] = []
        for function in sharing:
            assert isinstance(function.trigger, HttpTrigger)
            wanted = function.trigger.methods or (
                "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
            )  # fmt: skip
            methods += [method for method in wanted if method not in (*methods, "OPTIONS")]
        answered = False
        for function in sharing:
            trigger = function.trigger
            assert isinstance(trigger, HttpTrigger)
            if trigger.cors is None:
                continue
            rules = replace(
                trigger.cors,
                methods=tuple(methods),
                answers_preflight=not answered and "OPTIONS" not in trigger.methods,
            )
            answered = True
            out[function.name] = replace(function, trigger=replace(trigger, cors=rules))
    return tuple(out.get(function.name, function) for function in functions)


def _first(taken: Mapping[tuple[str, str], str], shape: str) -> str | None:
    return next((name for (other, _), name in taken.items() if other == shape), None)
