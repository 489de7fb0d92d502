"""A handler that cannot be made ready fails its invocation; the next one tries again (D-1)."""

from __future__ import annotations

import pytest

from portafaas.adapter import HttpStimulus, MessageStimulus, QueueStimulus, TopicStimulus

pytestmark = pytest.mark.vendor

MESSAGE = MessageStimulus("m-1", b"{}")
WEB = {
    "import": ("import-web", "/import"),
    "construct": ("construct-web", "/construct"),
    "init": ("init-web", "/init"),
    "async-init": ("async-init-web", "/async-init"),
}
EVENTS = {
    "import": ("import-work", QueueStimulus((MESSAGE,)), "m-1"),
    "construct": ("construct-work", QueueStimulus((MESSAGE,)), "m-1"),
    "init": ("init-work", TopicStimulus(MESSAGE), "event"),
}


@pytest.mark.parametrize("how", ["raise", "system-exit", "exit"])
@pytest.mark.parametrize("stage", [*WEB])
def test_a_web_function_that_cannot_start(service, stage, how):
    function, path = WEB[stage]
    flag = service.flags / f"{stage}-{how}"
    flag.touch()
    try:
        for _ in range(2):
            answer = service.deliver(function, HttpStimulus("GET", path))
            assert answer.outcome["status"] >= 500
            assert answer.seconds < 30
            if how == "raise":
                assert f"no {stage} today" in answer.logs
        flag.unlink()
        assert service.deliver(function, HttpStimulus("GET", path)).outcome["status"] == 200
    finally:
        flag.unlink(missing_ok=True)
        service.end(function)


@pytest.mark.parametrize("how", ["raise", "system-exit", "exit"])
@pytest.mark.parametrize("stage", [*EVENTS])
def test_an_event_function_that_cannot_start(service, stage, how):
    function, stimulus, failed = EVENTS[stage]
    flag = service.flags / f"{stage}-{how}"
    flag.touch()
    try:
        for _ in range(2):
            answer = service.deliver(function, stimulus)
            assert answer.outcome == {"delivered": False, "failed": [failed]}
            if how == "raise":
                assert f"no {stage} today" in answer.logs
        flag.unlink()
        outcome = service.deliver(function, stimulus).outcome
        assert outcome == {"delivered": True, "failed": []}
    finally:
        flag.unlink(missing_ok=True)
        service.end(function)
