"""Manifest -> plan: resolve defaults and references, find handlers, check what no schema can.

Reads the project's sources (handlers are found by syntax, never imported). Every problem is
reported at once as PF20xx.

One pass over a manifest, in one class, as its steps share what they have found and the list of
problems.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from portafaas.errors import Diagnostic, PlanError, guess
from portafaas.manifest import Manifest
from portafaas.plan.alerts import alerts, channels, logs
from portafaas.plan.claims import check_claims, with_claims
from portafaas.plan.config import config, variable
from portafaas.plan.contracts import emits, events, message_schema
from portafaas.plan.handlers import (
    Source,
    find_module,
    is_async,
    kind_of,
    misfit,
    read_module,
)
from portafaas.plan.machines import workflows
from portafaas.plan.model import (
    BucketPlan,
    BuildPlan,
    Dependencies,
    FunctionPlan,
    HttpTrigger,
    QueuePlan,
    SecretPlan,
    TablePlan,
    TopicPlan,
    Trigger,
    Use,
)
from portafaas.plan.once import idempotency, with_records
from portafaas.plan.relays import relays
from portafaas.plan.settings import environment, instances, retry
from portafaas.plan.triggers import Findings, build_trigger, share_cors
from portafaas.plan.values import mebibytes, seconds
from portafaas.plan.whole import boxes, consumers, dead_letters, names

#: Variable with the least severe level of the log, unless that is ``info``.
LEVEL = "PORTAFAAS_LOG_LEVEL"

#: verb -> kinds of resource it may name, in order of preference.
_VERBS: dict[str, tuple[str, ...]] = {
    "read": ("bucket", "table", "secret"),
    "write": ("bucket", "table"),
    "send": ("queue",),
    "publish": ("topic",),
    "start": ("workflow",),
}
_PLURAL = {kind: f"{kind}s" for kind in ("queue", "topic", "bucket", "table", "secret", "workflow")}


#: From the path of a module in the project, with ``/``, to its code, if that is at hand.
Code = Callable[[str], CodeType | None]


def build_plan(manifest: Manifest, target: str = "", code: Code = lambda name: None) -> BuildPlan:
    """Return the frozen plan of *manifest* for *target* (whose option blocks it carries).

    Raises PlanError with every PF20xx problem.
    """
    return _Builder(manifest, target, code).build()


class _Builder:
    def __init__(self, manifest: Manifest, target: str, code: Code) -> None:
        self.manifest = manifest
        self.document = manifest.document
        self.target = target
        self.code = code
        self.found = Findings(manifest)
        self.modules: dict[str, Source | None] = {}
        #: Variables that every function gets.
        self.ours: Mapping[str, str] = {}

    def block(self, name: str) -> Mapping[str, Any]:
        return self.document.get(name) or {}

    def options(self, entry: Mapping[str, Any] | None) -> Mapping[str, Any]:
        targets = (entry or {}).get("targets") or {}
        return dict(targets.get(self.target) or {})

    def build(self) -> BuildPlan:
        settings = config(self.found, self.block("config"), self.block("stages"))
        kept = logs(self.block("logs"))
        level = {} if kept.level == "info" else {LEVEL: kept.level}
        self.ours = {**variable(settings), **level}
        queues = tuple(self.queue(name, spec or {}) for name, spec in self.block("queues").items())
        functions = tuple(
            self.function(name, spec) for name, spec in self.block("functions").items()
        )
        declared = events(self.found, self.block("events"))
        functions += relays(self.found, self.document, functions, self.ours)
        names(self.found, functions)
        boxes(self.found, self.document, functions)
        dead_letters(self.found, self.document)
        check_claims(self.found, self.document)
        consumers(self.found, functions)
        functions = share_cors(self.found, functions)
        machines = workflows(self.found, self.document, functions, self.target)
        told = channels(self.block("channels"))
        watched = alerts(
            self.found, self.block("alerts"), self.block("channels"), functions, queues
        )
        if self.found.problems:
            raise PlanError(f"{self.manifest.file.name} cannot be built:", self.found.problems)
        dependencies = self.document.get("dependencies") or {}
        return BuildPlan(
            service=self.document["name"],
            stage=self.manifest.stage,
            python=self.manifest.python,
            architecture=self.document.get("architecture", "x86_64"),
            functions=functions,
            queues=queues,
            topics=tuple(
                TopicPlan(
                    name,
                    bool((spec or {}).get("ordered")),
                    self.options(spec),
                    tuple((spec or {}).get("external", ())),
                    (spec or {}).get("claim-check", ""),
                )
                for name, spec in self.block("topics").items()
            ),
            buckets=tuple(
                BucketPlan(name, bool((spec or {}).get("versioned")), self.options(spec))
                for name, spec in self.block("buckets").items()
            ),
            tables=tuple(
                TablePlan(
                    name,
                    (spec or {}).get("key", "id"),
                    (spec or {}).get("sort", ""),
                    (spec or {}).get("ttl", ""),
                    bool((spec or {}).get("outbox", False)),
                    self.options(spec),
                )
                for name, spec in self.block("tables").items()
            ),
            secrets=tuple(
                SecretPlan(name, self.options(spec)) for name, spec in self.block("secrets").items()
            ),
            workflows=machines,
            logs=kept,
            channels=told,
            alerts=watched,
            dependencies=Dependencies(
                dependencies.get("file", ""),
                tuple(dependencies.get("allow-sdist", ())),
                tuple(dependencies.get("keep", ())),
            ),
            include=self.manifest.include,
            exclude=self.manifest.exclude,
            options=self.options(self.document),
            events=declared,
        )

    def queue(self, name: str, spec: Mapping[str, Any]) -> QueuePlan:
        return QueuePlan(
            name,
            bool(spec.get("ordered")),
            spec.get("dead-letter", False),
            int(seconds(spec.get("retention", "4d"))),
            int(seconds(spec.get("delay", 0))),
            spec.get("max-concurrency", 0),
            self.options(spec),
            message_schema(self.found, ("queues", name), spec),
            tuple(spec.get("external", ())),
            spec.get("claim-check", ""),
        )

    def function(self, name: str, spec: Mapping[str, Any]) -> FunctionPlan:
        path = ("functions", name)
        defaults = self.block("defaults")
        interface = spec.get("interface", "handler")
        trigger = build_trigger(self.found, self.document, path, spec["trigger"], interface)

        def setting(key: str, default: Any) -> Any:
            return spec.get(key, defaults.get(key, default))

        module, _, attribute = spec["handler"].partition(":")
        timeout = seconds(setting("timeout", 30))
        if timeout < 1 or timeout != int(timeout):
            self.found.add(
                "PF2010",
                (*path, "timeout"),
                f"timeout {timeout:g} s is not whole seconds",
                "use 1s or more",
            )
        if interface != "handler" and not isinstance(trigger, HttpTrigger):
            self.found.add(
                "PF2012",
                (*path, "interface"),
                f"interface {interface!r} needs an http trigger, not {trigger.kind}",
                "remove the interface, or change the trigger",
            )
        least, most = instances(self.found, path, defaults, spec)
        if isinstance(trigger, HttpTrigger) and trigger.rate and trigger.rate.burst < (most or 1e9):
            # A share below one request would let nothing through, or more than was declared.
            self.found.add(
                "PF2019",
                (*path, "trigger", "http", "rate"),
                f"each of {most} instances cannot have a share of {trigger.rate.burst} requests"
                if most
                else "a rate needs 'max-instances': each instance enforces its share of it",
                f"burst: {most}, or fewer instances" if most else "max-instances: 10",
            )
        uses = self.uses(path, spec.get("uses", ()))
        once = idempotency(
            self.found, self.document, path, trigger, int(timeout), spec.get("idempotency")
        )
        return FunctionPlan(
            name=name,
            module=module,
            attribute=attribute,
            trigger=trigger,
            interface=interface,
            memory=mebibytes(setting("memory", 256)),
            timeout=int(timeout),
            concurrency=setting("concurrency", 1),
            min_instances=least,
            max_instances=most,
            environment=environment(self.found, path, defaults, spec, self.ours),
            retry=retry(self.found, path, trigger, defaults, spec),
            uses=with_claims(self.document, trigger, with_records(path, uses, once)),
            options=self.options(spec),
            is_async=self.handler(path, module, attribute, trigger, interface),
            emits=emits(self.found, path, spec.get("emits"), uses, self.document),
            guard=spec.get("guard", ""),
            idempotency=once,
        )

    def uses(self, path: tuple[str, ...], entries: Any) -> tuple[Use, ...]:
        out: list[Use] = []
        for index, entry in enumerate(entries):
            verb, name = next(iter(entry.items()))
            where = (*path, "uses", index, verb)
            kinds = [kind for kind in _PLURAL if name in self.block(_PLURAL[kind])]
            fitting = [kind for kind in _VERBS[verb] if kind in kinds]
            if len(fitting) > 1:
                self.found.add(
                    "PF2002",
                    where,
                    f"{name!r} is both a {' and a '.join(fitting)}",
                    "give them different names",
                )
            elif fitting:
                use = Use(verb, fitting[0], name)  # type: ignore[arg-type]
                if use in out:
                    self.found.add(
                        "PF2003", where, f"{verb} {name!r} is listed twice", "remove one"
                    )
                out.append(use)
            elif kinds:
                able = [other for other, allowed in _VERBS.items() if kinds[0] in allowed]
                self.found.add(
                    "PF2003",
                    where,
                    f"cannot {verb} {name!r}: it is a {kinds[0]}; allowed: {', '.join(able)}",
                    None,
                )
            else:
                known = [n for kind in _VERBS[verb] for n in self.block(_PLURAL[kind])]
                places = " or ".join(f"{_PLURAL[kind]}:" for kind in _VERBS[verb])
                self.found.add(
                    "PF2002",
                    where,
                    f"no {' or '.join(_VERBS[verb])} is called {name!r}",
                    guess(name, known) or f"declare it under {places}",
                )
        return tuple(out)

    def handler(
        self, path: tuple[str, ...], module: str, attribute: str, trigger: Trigger, interface: str
    ) -> bool:
        where = (*path, "handler")
        if module not in self.modules:
            file = find_module(self.manifest.root, module)
            if file is None:
                self.modules[module] = None
            else:
                name = file.relative_to(self.manifest.root).as_posix()
                self.modules[module] = read_module(file, self.code(name))
            source = self.modules[module]
            if source is not None and source.error is not None:
                error = source.error
                self.found.problems.append(
                    Diagnostic(
                        "PF2013",
                        f"module {module!r} does not compile: {error.msg}",
                        file=source.file.relative_to(self.manifest.root).as_posix(),
                        line=error.lineno,
                        column=error.offset,
                    )
                )
        source = self.modules[module]
        if source is None:
            expected = f"{module.replace('.', '/')}.py"
            self.found.add(
                "PF2004",
                where,
                f"module {module!r} is not in the project: there is no {expected}",
                self.near_module(module),
            )
            return False
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            # Whatever runs the function has imported many of these before it looks at the project.
            self.found.add(
                "PF2028",
                where,
                f"{top!r} is a module of Python's own: which of the two is imported depends on "
                "what was imported before",
                f"rename {source.file.relative_to(self.manifest.root).as_posix()}",
            )
        if source.error is not None:
            return False
        first = attribute.partition(".")[0]
        plain = source.plain_function(first)
        if plain is not None:
            return plain
        node = source.names.get(first)
        if node is None:
            if not source.open_ended:
                self.found.add(
                    "PF2005",
                    where,
                    f"module {module!r} does not define {first!r}; "
                    f"it defines: {', '.join(source.own_names) or 'nothing'}",
                    guess(first, source.names),
                )
            return False
        kind = kind_of(node)
        if kind is not None and interface == "handler" and kind != trigger.kind:
            self.found.add(
                "PF2012",
                where,
                f"{first} serves {kind} triggers, but the function has a {trigger.kind} trigger",
                None,
            )
        elif interface == "handler" and first == attribute:
            wrong = misfit(node, trigger.kind)
            if wrong is not None:
                self.found.add("PF2012", where, *wrong)
        return is_async(node)

    def near_module(self, module: str) -> str | None:
        root = self.manifest.root
        parent, _, last = module.rpartition(".")
        folder = root.joinpath(*parent.split(".")) if parent else root
        if not folder.is_dir():
            return None
        found = [
            entry.stem
            for entry in sorted(folder.iterdir())
            if entry.suffix == ".py" or (entry / "__init__.py").is_file()
        ]
        near = guess(last, found)
        return near.replace("'", f"'{parent}.", 1) if near and parent else near
