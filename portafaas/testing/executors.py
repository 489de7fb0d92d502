"""Where a test's functions run: in the test's own process, or each in a process of its own.

An executor is told what a function gets, and says what came of it, in the words of the local
broker (``portafaas.local.worker``); what it needs of a target is behind the same methods
(``portafaas.testing.packages``).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portafaas.adapter import HttpOutcome, HttpStimulus, Stimulus
from portafaas.adapter.delivery import DeliveryRules
from portafaas.adapter.neutral import stimulus_to_json
from portafaas.local.boxes import letters_to
from portafaas.local.deliveries import Item, Settled
from portafaas.local.process import Child, described
from portafaas.local.resources import environment
from portafaas.local.worker import order_of
from portafaas.plan import BuildPlan, FunctionPlan
from portafaas.plan.entry import function_spec
from portafaas.runtime import config, deadline, resources
from portafaas.runtime.context import Context, HandlerTimeout, endings
from portafaas.runtime.function import Function
from portafaas.runtime.recovery import delay_of
from portafaas.testing.inside import portafaas_testing_faults as inside
from portafaas.testing.records import Line

#: What marks the effects of tests.
RUN = "test"
#: Folder of what goes into a handler's process.
INSIDE = Path(__file__).parent / "inside"


@dataclass
class Answer:
    """What came of a call: ``value`` as the caller's method says, or why there is none."""

    value: Any = None
    #: ``crash`` or ``timeout``: the process ended without an answer, or was ended.
    ended: str = ""
    why: str = ""
    error: str = ""
    exception: BaseException | None = None
    logs: list[Line] = field(default_factory=list)


class Executor(ABC):
    """Runs the functions of one project for one test after another."""

    def __init__(self, plan: BuildPlan, root: Path, home: Path) -> None:
        self.plan = plan
        self.root = root
        self.home = home
        #: Variables that the test sets: of all functions (""), and of one.
        self.variables: dict[str, dict[str, str]] = {}

    def environment(self, function: FunctionPlan, *, packaged: bool = False) -> dict[str, str]:
        """Return the variables of a function's process."""
        found = {} if packaged else dict(function.environment)
        found |= environment(self.plan, function, self.home, RUN, packaged=packaged)
        found |= letters_to(self.plan, function)
        return found | self.variables.get("", {}) | self.variables.get(function.name, {})

    @abstractmethod
    def request(self, function: FunctionPlan, stimulus: HttpStimulus) -> Answer:
        """Have an http function answer; ``value`` is an HttpOutcome."""

    @abstractmethod
    def deliver(self, function: FunctionPlan, items: Sequence[Item]) -> Answer:
        """Deliver what is leased; ``value`` is as of ``portafaas.local.worker.attempt``."""

    @abstractmethod
    def call(self, function: FunctionPlan, task: Mapping[str, Any]) -> Answer:
        """Do a workflow's call; ``value`` is ``{"ok"}`` or ``{"error", "cause"}``."""

    @abstractmethod
    def invoke(self, function: FunctionPlan, stimulus: Stimulus) -> Answer:
        """Call it with *stimulus* and nothing around; ``value`` is the neutral outcome's JSON."""

    @abstractmethod
    def faults(self, waiting: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Take the faults that are still to come; :meth:`left` tells what became of them."""

    @abstractmethod
    def left(self) -> dict[str, list[Any]]:
        """Return the faults that have not come yet."""

    def rules(self) -> Mapping[str, DeliveryRules] | None:
        """Return how the target delivers to each function; None for this machine's way."""
        return None

    def gone(self, function: FunctionPlan, items: Sequence[Item]) -> Settled:
        """Return what becomes of deliveries that got no answer."""
        policy = function_spec(self.plan, function).get("retry")
        again = {}
        for item in items:
            if policy is None or item.attempts >= policy["attempts"]:
                # Core buries it at the next delivery.
                again[item.number] = 0.0
            else:
                again[item.number] = delay_of(policy, item.attempts)
        return Settled(again, alone=True)

    def renew(self) -> None:  # noqa: B027 (nothing to do where nothing is kept)
        """Forget what processes keep: the next call is a cold start."""

    def begin(self, home: Path) -> None:
        """Get ready for a test that has *home*."""
        self.home = home
        self.variables = {}

    def end(self) -> None:  # noqa: B027 (nothing to do where nothing is kept)
        """Free what belongs to one test."""

    def close(self) -> None:
        """Free everything."""
        self.end()


def line_of(entry: Mapping[str, Any]) -> Line:
    """Return the line of one object of the structured log."""
    level, message = str(entry.get("severity", "")).lower(), str(entry.get("message", ""))
    return Line(level, message, entry)


class _Collector(logging.Handler):
    """Keeps what is logged, as it would be written."""

    def __init__(self) -> None:
        super().__init__()
        from portafaas.runtime.log import JsonFormatter

        self.setFormatter(JsonFormatter())
        self.lines: list[Line] = []
        self.over = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.over:
            with contextlib.suppress(Exception):
                self.lines.append(line_of(json.loads(self.format(record))))


class _Function(Function):
    """A function of a test: its shutdown is that of the test."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        super().__init__(spec)
        self.shutdowns: list[Callable[[], Any]] = []

    def _load(self) -> None:
        inside.load(self, Function._load)

    def _register(self, shutdown: Callable[[], Any]) -> None:  # type: ignore[override]
        self.shutdowns.append(shutdown)


class InProcess(Executor):
    """Runs functions in this process: coverage, debuggers and monkeypatches see them.

    Modules stay loaded; handlers are made anew for each test.
    """

    def __init__(self, plan: BuildPlan, root: Path, home: Path) -> None:
        super().__init__(plan, root, home)
        self._functions: dict[str, _Function] = {}
        self._faults: dict[str, list[Any]] = {}
        self._crashed = False

    def request(self, function: FunctionPlan, stimulus: HttpStimulus) -> Answer:
        """See Executor."""
        from portafaas.local import runner

        def do(made: Function) -> Any:
            outcome = runner.deliver(made, stimulus)
            assert isinstance(outcome, HttpOutcome)
            return outcome

        return self._run(function, do)

    def deliver(self, function: FunctionPlan, items: Sequence[Item]) -> Answer:
        """See Executor."""
        from portafaas.local.worker import attempt

        return self._run(function, lambda made: attempt(made, order_of(items)))

    def call(self, function: FunctionPlan, task: Mapping[str, Any]) -> Answer:
        """See Executor."""
        from portafaas.local import worker

        return self._run(function, lambda made: worker.task(made, task))

    def invoke(self, function: FunctionPlan, stimulus: Stimulus) -> Answer:
        """See Executor."""
        from portafaas.adapter.neutral import outcome_to_json
        from portafaas.local import runner

        return self._run(function, lambda made: outcome_to_json(runner.deliver(made, stimulus)))

    def faults(self, waiting: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """See Executor."""
        self._faults = {name: list(each) for name, each in waiting.items()}

    def left(self) -> dict[str, list[Any]]:
        """See Executor."""
        return self._faults

    def begin(self, home: Path) -> None:
        """See Executor."""
        super().begin(home)
        self.renew()

    def renew(self) -> None:
        """See Executor."""
        from portafaas.runtime import secrets

        secrets.forget()
        secrets.redacted.clear()
        self.end()

    def end(self) -> None:
        """Shut handlers down."""
        functions, self._functions = self._functions, {}
        for function in functions.values():
            for shutdown in function.shutdowns:
                result = shutdown()
                if hasattr(result, "__await__"):
                    from portafaas.runtime.aio import run

                    run(result)

    def _run(self, function: FunctionPlan, do: Callable[[Function], Any]) -> Answer:
        if _in_a_loop():
            # A test that is a coroutine: its loop is busy with the test.
            found: list[Any] = []

            def work() -> None:
                try:
                    found.append((self._inside(function, do), None))
                except BaseException as exc:
                    found.append((None, exc))

            thread = threading.Thread(target=work, name=f"portafaas-{function.name}")
            thread.start()
            thread.join()
            answer, error = found[0]
            if error is not None:
                raise error
            assert isinstance(answer, Answer)
            return answer
        return self._inside(function, do)

    def _inside(self, function: FunctionPlan, do: Callable[[Function], Any]) -> Answer:
        made = self._functions.get(function.name)
        if made is None:
            spec = function_spec(self.plan, function)
            made = self._functions[function.name] = _Function(spec)
        answer = Answer()
        collector = _Collector()
        self._crashed = False

        def ended(context: Context, payload: Any, result: Any, error: BaseException | None) -> None:
            if error is not None and answer.exception is None:
                answer.exception = error

        def crash() -> None:
            self._crashed = True
            collector.over = True
            raise inside.Crash

        with (
            _variables(self.environment(function)),
            _logging(collector),
            _timer(),
            _folder(self.root),
            _patched(inside, crash=crash, source=self._next),
            _patched(resources, driver=self._driver(resources.driver)),
            _patched(config, _settings=None),
        ):
            endings.append(ended)
            try:
                answer.value = do(made)
            except inside.Crash:
                self._crashed = True
            finally:
                endings.remove(ended)
        answer.logs = collector.lines
        if self._crashed:
            answer.value, answer.exception, answer.ended = None, None, "crash"
            answer.why = f"the function ended its process: {described(inside.STATUS)}"
            # What it had made is gone with it.
            self._functions.pop(function.name, None)
        elif isinstance(answer.exception, HandlerTimeout):
            answer.error = f"handler exceeded its timeout of {function.timeout} s"
        elif answer.exception is not None:
            from portafaas.runtime.recovery import described as told

            answer.error = told(answer.exception)
        return answer

    def _next(self, function: str) -> Any:
        waiting = self._faults.get(function)
        return waiting.pop(0) if waiting else None

    def _driver(self, real: Callable[[str], Any]) -> Callable[[str], Any]:
        def driver(target: str) -> Any:
            if self._crashed:
                # Nothing that is done on the way out of a process that has ended, is.
                raise resources.ResourceError("the process has ended")
            return real(target)

        return driver


def _in_a_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    kept = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _folder(root: Path) -> Iterator[None]:
    """Have *root* as working folder, as a package has."""
    before = os.getcwd()  # noqa: PTH109 (a plain string is all that is wanted)
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _patched(module: Any, **values: Any) -> Iterator[None]:
    kept = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(module, name, value)


@contextlib.contextmanager
def _logging(collector: _Collector) -> Iterator[None]:
    """Hand records to *collector*, and on to pytest's own handlers."""
    from portafaas.runtime.log import level

    root = logging.getLogger("portafaas")
    kept = root.level, root.propagate, root.handlers[:]
    root.handlers[:] = [collector]
    root.setLevel(level())
    root.propagate = True
    try:
        yield
    finally:
        root.setLevel(kept[0])
        root.propagate = kept[1]
        root.handlers[:] = kept[2]


@contextlib.contextmanager
def _timer() -> Iterator[None]:
    """Have handlers end at their deadline, unless somebody debugs them or needs the alarm.

    pytest-timeout may have it; then it is what ends a handler that hangs.
    """
    import signal

    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGALRM)
    # Who has called a handler in this process before, without the kit, has left ours.
    free = main and before in (signal.SIG_DFL, deadline._on_alarm)

    def set_timer(which: int, seconds: float) -> None:
        if free:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def alarm(signum: int, frame: Any) -> None:
        if not _debugging():
            deadline._on_alarm(signum, frame)

    with _patched(
        deadline, _ident=lambda: 0, _main_ident=0, _setitimer=set_timer, _timer=0, _fires=0.0,
        _ends=0.0,
    ):  # fmt: skip
        if not free:
            yield
            return
        signal.signal(signal.SIGALRM, alarm)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _debugging() -> bool:
    """Tell whether a debugger is at work: its pauses are none of the handler's."""
    # Of debugpy and PyCharm alike; it may be imported, and nobody there.
    home = sys.modules.get("_pydevd_bundle.pydevd_constants")
    if home is not None and home.get_global_debugger() is not None:
        return True
    trace = sys.gettrace()
    return trace is not None and (trace.__module__ or "").partition(".")[0] in ("bdb", "pdb")


class Processes(Executor):
    """Runs each function in a process of its own, from the sources, as ``portafaas deliver``."""

    def __init__(self, plan: BuildPlan, root: Path, home: Path) -> None:
        super().__init__(plan, root, home)
        self._children: dict[str, Child] = {}
        self._printed: list[str] = []

    def request(self, function: FunctionPlan, stimulus: HttpStimulus) -> Answer:
        """See Executor."""
        answer = self.invoke(function, stimulus)
        if answer.value is not None:
            answer.value = http_of(answer.value)
        return answer

    def deliver(self, function: FunctionPlan, items: Sequence[Item]) -> Answer:
        """See Executor."""
        return self._ask(function, {"items": order_of(items)})

    def call(self, function: FunctionPlan, task: Mapping[str, Any]) -> Answer:
        """See Executor."""
        return self._ask(function, {"task": dict(task)})

    def invoke(self, function: FunctionPlan, stimulus: Stimulus) -> Answer:
        """See Executor."""
        return self._ask(function, {"event": stimulus_to_json(stimulus)})

    def faults(self, waiting: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """See Executor."""
        write_faults(self.home / "faults.json", waiting)

    def left(self) -> dict[str, list[Any]]:
        """See Executor."""
        return read_faults(self.home / "faults.json")

    def _ask(self, function: FunctionPlan, order: Mapping[str, Any]) -> Answer:
        child = self._children.get(function.name)
        if child is None:
            variables = self.environment(function) | {
                inside.FAULTS: str(self.home / "faults.json"),
                "PYTHONPATH": os.pathsep.join(
                    filter(None, (str(INSIDE), os.environ.get("PYTHONPATH")))
                ),
            }
            child = self._children[function.name] = Child(
                self.root, variables, observed=self._hear
            )
        self._printed = []
        found = child.ask({"spec": function_spec(self.plan, function), **order, "run": RUN})
        answer = Answer(found)
        if found is None:
            del self._children[function.name]
            answer.ended = "crash"
            answer.why = f"the function ended its process: {described(child.close())}"
        sys.stderr.write("".join(self._printed))
        answer.logs = read_log(self.home / "faults.json")
        answer.error = error_of(answer.logs)
        return answer

    def _hear(self, facts: Mapping[str, Any]) -> None:
        if facts["observed"] == "log":
            self._printed.append(facts["text"])

    def begin(self, home: Path) -> None:
        """See Executor."""
        super().begin(home)
        self.renew()

    def renew(self) -> None:
        """End the processes."""
        self.end()

    def end(self) -> None:
        """End the processes."""
        children, self._children = self._children, {}
        for child in children.values():
            child.close()


def http_of(found: Mapping[str, Any]) -> HttpOutcome:
    """Return the answer of http that ``neutral.outcome_to_json`` has written."""
    import base64

    if "body_base64" in found:
        body = base64.b64decode(found["body_base64"])
    else:
        body = found["body"].encode("utf-8")
    headers = tuple(sorted(found["headers"].items()))
    return HttpOutcome(found["status"], headers, tuple(found["cookies"]), body)


def error_of(lines: Sequence[Line]) -> str:
    """Return what a failed handler's log says of its exception: type and text."""
    for line in lines:
        # Some platforms count failures by what is before it.
        start = line.message.find("handler exceeded its timeout")
        if start >= 0:
            return line.message[start:]
        _, failed, text = line.message.partition("handler failed: ")
        if failed:
            trace = str(line.fields.get("exception") or "").rstrip().rpartition("\n")[2]
            return trace.removeprefix("portafaas.runtime.taxonomy.") or text
    return ""


def write_faults(file: Path, waiting: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the faults to come where a process of a handler takes them from."""
    import base64
    import pickle

    found: dict[str, list[Any]] = {}
    for name, faults in waiting.items():
        found[name] = [dict(fault) for fault in faults]
        for fault in found[name]:
            if isinstance(fault.get("error"), BaseException):
                # Protocol 4 is that of every Python that a target has.
                try:
                    data = pickle.dumps(fault["error"], 4)
                except Exception as exc:
                    raise TypeError(
                        f"{fault['error']!r} cannot get into the function's process: {exc}"
                    ) from exc
                fault["error"] = base64.b64encode(data).decode("ascii")
    file.write_text(json.dumps(found), encoding="utf-8")
    # That there is another order: what has been waited for is over.
    file.with_suffix(inside.ORDER).touch()
    file.with_suffix(inside.LOG).write_bytes(b"")


def read_log(faults: Path) -> list[Line]:
    """Return what handlers logged since :func:`write_faults` wrote the file *faults*."""
    text = faults.with_suffix(inside.LOG).read_text(encoding="utf-8")
    return [line_of(json.loads(line)) for line in text.splitlines()]


def read_faults(file: Path) -> dict[str, list[Any]]:
    """Return what :func:`write_faults` wrote, and no process has taken."""
    try:
        found: dict[str, list[Any]] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found
