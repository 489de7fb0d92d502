"""Signed links for signals: what opens, and what does not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.runtime import BadToken, NotWaiting
from portafaas.runtime.signals import LONGEST, linked, opened, sign
from portafaas.runtime.task import Task
from portafaas.runtime.workflows import Workflow

KEY = "0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=NOW)
    monkeypatch.setattr("time.time", lambda: found.now)
    return found


def reason(token: Any, **more: Any) -> str:
    with pytest.raises(BadToken) as caught:
        opened(token, **{"key": KEY, **more})
    assert caught.value.reason in str(caught.value)
    assert KEY not in str(caught.value)
    return caught.value.reason


def test_what_was_signed_opens() -> None:
    found = opened(sign("fulfil", "run-1", "approved", key=KEY, expires=60), key=KEY, workflow="fulfil")
    assert (found.workflow, found.run, found.signal) == ("fulfil", "run-1", "approved")
    assert (found.expires, found.fixed, found.payload) == (int(NOW) + 60, False, None)
    fixed = opened(sign("f", "r", "s", key=KEY.encode(), payload={"yes": None, "é": [1.5]}), key=KEY)
    assert fixed.fixed and fixed.payload == {"yes": None, "é": [1.5]}
    assert opened(sign("f", "r", "s", key=KEY, payload=None), key=KEY).fixed
    assert "run-1" in repr(found)


def test_the_form_is_the_documented_one() -> None:
    body, mac = sign("f", "r", "s", key=KEY, expires=5).split(".")
    text = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    assert json.loads(text) == {"w": "f", "r": "r", "s": "s", "e": int(NOW) + 5}
    digest = hmac.new(KEY.encode(), b"portafaas.signal.1\n" + body.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == mac


def test_expired(clock: SimpleNamespace) -> None:
    token = sign("f", "r", "s", key=KEY, expires=60)
    clock.now = NOW + 59.9
    assert opened(token, key=KEY).run == "r"
    clock.now = NOW + 60
    assert reason(token) == "expired"
    # An expired forgery is a forgery.
    assert reason(token, key="x" * 32) == "forged"


def test_forged_and_altered() -> None:
    token = sign("f", "r", "s", key=KEY)
    body, mac = token.split(".")
    assert reason(sign("f", "r", "s", key="another key, long enough")) == "forged"
    assert reason(f"{body}.") == reason(f"{body}.{mac[:-1]}") == reason(f"{token}=") == "forged"
    claims = {"w": "f", "r": "r", "s": "s", "e": int(NOW) + 9_999_999}
    later = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert reason(f"{later}.{mac}") == "forged"
    bare = base64.urlsafe_b64encode(hmac.digest(KEY.encode(), later.encode(), "sha256")).decode()
    # The same key for another purpose signs nothing here.
    assert reason(f"{later}.{bare.rstrip('=')}") == "forged"
    assert reason(token, workflow="other") == "other"
    for bad in ("", ".", "a", f".{mac}", token + "é", "a" * LONGEST + ".b", None, b"x", 5):
        assert reason(bad) == "malformed"


@settings(max_examples=200)
@given(st.data())
def test_no_other_text_opens(data: st.DataObject) -> None:
    token = sign("fulfil", "run-1", "approved", key=KEY, payload={"yes": True})
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(max_codepoint=0x7F).filter(lambda c: c != token[at]))
    assert reason(token[:at] + other + token[at + 1 :]) in ("forged", "malformed")


def test_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr("hmac.compare_digest", watched)
    opened(sign("f", "r", "s", key=KEY), key=[KEY, "0" * 16, "1" * 16])
    assert len(compared) == 3


def test_keys_can_be_changed() -> None:
    old, new = "o" * 16, b"n" * 16
    before = sign("f", "r", "s", key=old)
    assert opened(before, key=[new, old]).run == "r"
    assert opened(sign("f", "r", "s", key=[new, old]), key=new).run == "r"
    assert reason(before, key=new) == "forged"


@pytest.mark.parametrize("key", ["", "short", b"123456789012345", [], ["x" * 16, ""]])
def test_weak_keys_neither_sign_nor_open(key: Any) -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        sign("f", "r", "s", key=key)
    with pytest.raises(ValueError, match="at least 16 bytes"):
        opened("a.b", key=key)


@pytest.mark.parametrize(
    "arguments",
    [
        {"run": ""}, {"workflow": None}, {"expires": 0}, {"expires": 4e7}, {"expires": float("nan")},
        {"payload": "x" * LONGEST}, {"payload": float("nan")},
    ],
)  # fmt: skip
def test_what_makes_no_token(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        sign(**{"workflow": "f", "run": "r", "signal": "s", "key": KEY, **arguments})


def test_what_is_no_payload() -> None:
    with pytest.raises(TypeError):
        sign("f", "r", "s", key=KEY, payload=object())
    with pytest.raises(TypeError, match="paylaod"):
        sign("f", "r", "s", key=KEY, paylaod=1)


def test_links() -> None:
    assert linked("https://a.example/x", "t.m") == "https://a.example/x?token=t.m"
    assert linked("http://127.0.0.1:80/x?a=1", "t.m") == "http://127.0.0.1:80/x?a=1&token=t.m"
    for bad in ("/x", "ftp://a/x", "https://", "https://a/x#y", "javascript:alert(1)"):
        with pytest.raises(ValueError):
            linked(bad, "t.m")


class _Driver:
    """Runs that wait once."""

    def __init__(self) -> None:
        self.waiting = {("run-1", "approved")}
        self.given: list[tuple[str, str, str, Any]] = []

    def signal_run(self, address: str, run: str, name: str, payload: Any) -> None:
        if (run, name) not in self.waiting:
            raise NotWaiting(f"run {run} does not wait for {name}")
        self.waiting.remove((run, name))
        self.given.append((address, run, name, payload))


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> tuple[Workflow, _Driver]:
    driver = _Driver()
    monkeypatch.setitem(sys.modules, "signal_driver", driver)
    monkeypatch.setenv("PORTAFAAS_RESOURCES", "signal_driver")
    context: Any = SimpleNamespace(target="local", function="decide")
    return Workflow(context, "fulfil", {"verbs": ("start",), "address": "there"}), driver


def token_in(url: str) -> str:
    (token,) = parse_qs(urlsplit(url).query)["token"]
    return token


def test_a_link_gives_the_signal_once(flow: tuple[Workflow, _Driver]) -> None:
    workflow, driver = flow
    task = Task({}, workflow="fulfil", run="run-1")
    url = task.signal_url("https://a.example/decide", "approved", key=KEY)
    assert url.startswith("https://a.example/decide?token=")
    found = workflow.signal_by(token_in(url), {"yes": True}, key=KEY)
    assert driver.given == [("there", "run-1", "approved", {"yes": True})] and found.signal == "approved"
    with pytest.raises(NotWaiting):
        workflow.signal_by(token_in(url), {"yes": True}, key=KEY)
    assert len(driver.given) == 1


def test_a_fixed_payload_stays(flow: tuple[Workflow, _Driver]) -> None:
    workflow, driver = flow
    url = workflow.signal_url("https://a.example/d", "run-1", "approved", key=KEY, payload={"yes": False})
    workflow.signal_by(token_in(url), {"yes": True}, key=KEY)
    assert driver.given[0][3] == {"yes": False}


def test_bad_links_signal_nothing(flow: tuple[Workflow, _Driver], clock: SimpleNamespace) -> None:
    workflow, driver = flow
    other = Task({}, workflow="another", run="run-1").signal_url("https://a.example", "approved", key=KEY)
    late = Task({}, workflow="fulfil", run="run-1").signal_url("https://a.example", "approved", key=KEY, expires=1)
    clock.now += 2
    for url in (other, late):
        with pytest.raises(BadToken):
            workflow.signal_by(token_in(url), key=KEY)
    assert driver.given == []
