"""The HTTP cases of the conformance kit, through a socket: the same as the neutral delivery."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portafaas.adapter import HttpStimulus
from portafaas.adapter.neutral import outcome_to_json
from portafaas.dev.logs import Console
from portafaas.dev.service import Dev
from portafaas.testing import service
from portafaas.testing.cases import CASES, Case, Observation, problems
from portafaas.testing.kit import PYTHON, LocalKit, _Recorder

#: This one takes every path that no other does: the cases of paths that nobody takes go elsewhere.
ALONE = "site"
#: Of a server and of this connection.
SERVERS = frozenset(("date", "content-length", "transfer-encoding", "connection", "server"))
HTTP = [case for case in CASES if isinstance(case.stimulus, HttpStimulus)]
#: One of each other kind: they go the same way.
REST = list(
    {type(c.stimulus): c for c in CASES if not isinstance(c.stimulus, HttpStimulus)}.values()
)


class Served:
    def __init__(self, folder: Path, names: set[str]) -> None:
        self.recorder = _Recorder(folder / "record")
        document = service.document(
            PYTHON, {n: f for n, f in service.FUNCTIONS.items() if n in names}
        )
        self.dev = Dev(
            service.write(folder / "project", document),
            port=0,
            reload=False,
            findings=False,
            # The kit's schedules fire when a case says so, and not of themselves.
            clock="virtual",
            environment=self.recorder.environment(),
            console=Console(quiet=True),
        )
        self.dev.start()

    def observe(self, case: Case) -> Observation:
        stimulus = case.stimulus
        if isinstance(stimulus, HttpStimulus):
            outcome = request(self.dev.port, stimulus)
        else:
            _, outcome = self.dev.run_in_loop(self.dev.invoke(case.function, stimulus), 60)
        return Observation(json.loads(json.dumps(outcome)), self.recorder.take())


def request(port: int, stimulus: HttpStimulus) -> dict[str, Any]:
    """Send it as it is, and return what came back as the kit words outcomes."""
    target = stimulus.path + (f"?{stimulus.query}" if stimulus.query else "")
    lines = [f"{stimulus.method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in stimulus.headers]
    names = {name.lower() for name, _ in stimulus.headers}
    if "host" not in names:
        lines.append(f"host: 127.0.0.1:{port}")
    if stimulus.body and "content-length" not in names:
        lines.append(f"content-length: {len(stimulus.body)}")
    if stimulus.caller is not None:
        lines.append(f"portafaas-caller: {stimulus.caller}")
    lines.append("connection: close")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(head + stimulus.body)
        got = b""
        while part := connection.recv(1 << 20):
            got += part
    head, _, body = got.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in rest]
    if ["transfer-encoding", "chunked"] in pairs:
        raise AssertionError("chunked")
    from portafaas.adapter import HttpOutcome

    kept = sorted((n, v) for n, v in pairs if n not in SERVERS and n != "set-cookie")
    cookies = tuple(value for name, value in pairs if name == "set-cookie")
    return outcome_to_json(
        HttpOutcome(int(first.split(" ")[1]), tuple((n, v) for n, v in kept), cookies, body)
    )


@pytest.fixture(scope="module")
def neutral(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKit]:
    with LocalKit(tmp_path_factory.mktemp("neutral")) as kit:
        yield kit


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Served]]:
    names = set(service.FUNCTIONS)
    made = {
        True: Served(tmp_path_factory.mktemp("alone"), {ALONE}),
        False: Served(tmp_path_factory.mktemp("others"), names - {ALONE}),
    }
    yield made
    for each in made.values():
        each.dev.stop()


def text(observation: Observation) -> str:
    return json.dumps([observation.outcome, observation.seen], sort_keys=True, indent=1)


@pytest.mark.parametrize("case", HTTP, ids=[case.name for case in HTTP])
def test_a_request_is_answered_as_by_the_neutral_delivery(
    case: Case, served: dict[bool, Served], neutral: LocalKit
) -> None:
    observed = served[case.function == ALONE].observe(case)
    assert problems(case, observed) == []
    assert text(observed) == text(neutral.observe(case))


@pytest.mark.parametrize("case", REST, ids=[case.name for case in REST])
def test_an_event_is_delivered_as_by_the_neutral_delivery(
    case: Case, served: dict[bool, Served], neutral: LocalKit
) -> None:
    observed = served[False].observe(case)
    assert problems(case, observed) == []
    assert text(observed) == text(neutral.observe(case))
