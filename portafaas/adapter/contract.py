"""What an adapter must provide. Adapter authors import from ``portafaas.adapter`` only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from portafaas.adapter.capability import Capability, Support
from portafaas.adapter.stimulus import Outcome, Stimulus
from portafaas.errors import Diagnostic, UnsupportedCapabilityError
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.record import dataclass, field

if TYPE_CHECKING:
    from portafaas.adapter.delivery import Emulation
    from portafaas.deployment.contract import Engine

#: Bumped when the contract changes incompatibly.
API_VERSION = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of a package, in bytes, with the page that states them; 0 means no stated limit."""

    zipped: int
    unzipped: int
    source: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How the target wants its package."""

    #: Folder inside the package that holds dependencies; ``""`` is the root.
    dependencies: str
    #: Import package shipped next to ``portafaas.runtime``: ``portafaas_aws.runtime``.
    runtime_package: str
    limits: Limits
    #: Python versions the target runs.
    pythons: tuple[str, ...]
    #: Oldest glibc per Python version: ``{"3.11": "2.17", "3.12": "2.28"}``.
    glibc: Mapping[str, str]
    #: Import packages that the platform adds and the package lacks: ``azure.functions``.
    provided: tuple[str, ...] = ()
    #: Variables that the platform sets, with values that will do for the import check.
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deployment:
    """How one function of the package is started; written beside the package as JSON."""

    function: str
    #: What the platform is told to call: ``_portafaas.create_order``.
    entry: str
    memory: int
    timeout: int
    environment: Mapping[str, str] = field(default_factory=dict)
    #: The native binding or event source, as JSON values; for people and for later stages.
    binding: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lowered:
    """Result of lowering: generated files by path inside the package, and how to start them."""

    files: Mapping[str, bytes]
    deployments: tuple[Deployment, ...]


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing a function is allowed to do, and the line of the manifest that asks for it.

    ``grant`` is the platform's word for it (``sqs:SendMessage``, a role), ``scope`` the narrowest
    resource it can be given on, ``why`` a ``$.path`` or ``platform`` for what every function
    needs.
    """

    function: str
    grant: str
    scope: str
    why: str


@dataclass(frozen=True, slots=True)
class Emitted:
    """One resource of the documents, and one line of the manifest that asks for it.

    A resource that several lines ask for has a record for each. ``name`` is its name or address in
    its document, ``type`` the platform's; ``why`` a ``$.path`` or ``platform`` for what there is in
    any case; ``function`` whose it is, "" for what functions share.
    """

    name: str
    type: str
    why: str
    function: str = ""


@dataclass(frozen=True, slots=True)
class Redelivery:
    """Who gives a function again what it failed at: what the documents say, else the platform.

    ``attempts`` counts deliveries in all, the first included; 0 is no bound. ``until`` is how many
    seconds old what is delivered may get; 0 is no bound.
    """

    function: str
    #: Who delivers, for people: ``SQS``; "" for nobody.
    by: str
    attempts: int = 1
    #: When the next delivery comes, for people: ``2 s after a failure, then up to 60 s``.
    delay: str = ""
    until: int = 0
    #: Where it goes that was given up, for people; "" when it is lost.
    dead_letters: str = ""
    #: The page that states what the documents do not.
    source: str = ""


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """What a package needs around it, for the platform's own engine.

    ``documents`` are JSON values by file name, written beside the package; ``permissions`` is what
    they grant; ``notes`` say what the platform cannot give as narrowly as asked, and, as errors and
    without documents, what its engine would refuse. ``resources`` are those of the documents, every
    one at least once; ``redeliveries`` has one record for each function.
    """

    documents: Mapping[str, Any]
    permissions: tuple[Permission, ...] = ()
    notes: tuple[Diagnostic, ...] = ()
    resources: tuple[Emitted, ...] = ()
    redeliveries: tuple[Redelivery, ...] = ()

    def placed(self, plan: BuildPlan) -> Infrastructure:
        """Return it with the manifest's lines where it names functions of portafaas' own."""
        if not any(function.origin for function in plan.functions):
            return self
        from dataclasses import replace

        def lined(items: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(replace(item, why=plan.line(item.why)) for item in items)

        def noted(note: Diagnostic) -> Diagnostic:
            if not note.path:
                return note
            path = plan.line(note.path)
            return Diagnostic(
                note.code, note.message, path=path, hint=note.hint, severity=note.severity
            )

        return Infrastructure(
            self.documents,
            lined(self.permissions),
            tuple(map(noted, self.notes)),
            lined(self.resources),
            self.redeliveries,
        )


@dataclass(frozen=True, slots=True)
class NativeRequest:
    """One native delivery: a JSON-ready payload, and the ids of the messages it carries."""

    payload: Mapping[str, Any]
    ids: tuple[str, ...] = ()


class Adapter(ABC):
    """Translates a neutral build plan into one platform's package."""

    #: The ``--target`` name; must equal the entry-point name.
    target: ClassVar[str]
    #: Name of the platform for people: ``AWS Lambda``.
    title: ClassVar[str]
    api_version: ClassVar[int] = API_VERSION
    capabilities: ClassVar[Mapping[Capability, Support]]
    layout: ClassVar[Layout]
    #: How often the clients that functions are given try one call, the first attempt included.
    client_attempts: ClassVar[int] = 1

    @abstractmethod
    def options_schema(self) -> Mapping[str, Any]:
        """Return ``{"service": schema, "function": schema}`` for ``targets.<name>`` blocks.

        JSON Schema 2020-12; the core refuses a block that does not fit (PF4001).
        """

    @abstractmethod
    def check(self, plan: BuildPlan) -> Sequence[Diagnostic]:
        """Return what exceeds the target's limits (PF3002), and notes; read-only, no I/O."""

    @abstractmethod
    def lower(self, plan: BuildPlan) -> Lowered:
        """Return platform files for *plan*: a pure function, no I/O, no network, no clock."""

    def requirements(self, plan: BuildPlan) -> Sequence[str]:
        """Return what the package needs besides the project's own dependencies, as pip writes it.

        The client libraries for what functions use; pure. None by default.
        """
        return ()

    def infrastructure(self, plan: BuildPlan) -> Infrastructure:
        """Return what *plan* needs around its package: pure, like :meth:`lower`.

        A target that emits none returns no documents.
        """
        return Infrastructure({})

    def engine(self, plan: BuildPlan) -> Engine:
        """Return what deploys *plan*'s service and stage; no I/O yet.

        Raises UnsupportedCapabilityError (PF8000) for a target that only builds.
        """
        raise UnsupportedCapabilityError(
            f"target {self.target!r} cannot deploy:",
            [Diagnostic("PF8000", f"the adapter of {self.title} only builds packages")],
        )

    @abstractmethod
    def encode(
        self, plan: BuildPlan, function: FunctionPlan, stimulus: Stimulus
    ) -> Sequence[NativeRequest]:
        """Return the native requests that the platform would send to *function*."""

    @abstractmethod
    def decode(
        self,
        plan: BuildPlan,
        function: FunctionPlan,
        stimulus: Stimulus,
        results: Sequence[tuple[NativeRequest, Mapping[str, Any]]],
    ) -> Outcome:
        """Return what the client or broker concludes.

        Each result is ``{"ok": bool, "value": JSON}`` as the vendor session reported it.
        """

    def emulation(self) -> Emulation:
        """Return how the platform delivers, for ``portafaas dev --as``; neutral by default."""
        from portafaas.adapter.delivery import Emulation

        return Emulation(self)

    @abstractmethod
    def vendor_runtime(self) -> Any:
        """Return the target's ``portafaas.vendor.VendorRuntime``; import it here, lazily."""
