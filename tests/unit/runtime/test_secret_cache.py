"""Secrets: how long a value is used, who fetches it, what happens when that fails."""

from __future__ import annotations

import threading
import traceback
import types
from collections.abc import Iterator
from typing import Any

import pytest

from portafaas.runtime import secrets
from portafaas.runtime.context import Context
from portafaas.runtime.resources import NotFound, ResourceError


class Store(types.ModuleType):
    """A driver whose secret tests set."""

    def __init__(self) -> None:
        super().__init__("store_of_tests")
        self.value: Any = b"s3cret-value"
        self.calls: list[str] = []
        self.hold: threading.Event | None = None

    def secret(self, address: str) -> bytes:
        self.calls.append(address)
        if self.hold is not None:
            assert self.hold.wait(10)
        if isinstance(self.value, Exception):
            raise self.value
        found: bytes = self.value
        return found


class Clock:
    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock(monkeypatch: Any) -> Clock:
    made = Clock()
    monkeypatch.setattr(secrets, "monotonic", made)
    return made


@pytest.fixture
def store(monkeypatch: Any) -> Iterator[Store]:
    import sys

    made = Store()
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setenv("PORTAFAAS_RESOURCES", made.__name__)
    monkeypatch.setenv("PORTAFAAS_SECRET_PAYMENT_KEY", "address-of-key")
    monkeypatch.setattr(secrets, "redacted", {})
    secrets.forget()
    yield made
    secrets.forget()


@pytest.fixture
def granted(make: Any, store: Store) -> Context:
    function = make()
    function.uses = {"secret": {"payment-key": {"verbs": ["read"]}}}
    return Context(function, "1")


def test_a_value_is_kept_for_a_while(granted: Context, store: Store, clock: Clock) -> None:
    secret = granted.secrets["payment-key"]
    assert secret.get() == "s3cret-value"
    assert secret.get_bytes() == b"s3cret-value"
    store.value = b"rotated-value"
    clock.now += 299
    assert secret.get() == "s3cret-value"
    assert store.calls == ["address-of-key"]
    clock.now += 2
    assert secret.get() == "rotated-value"
    assert len(store.calls) == 2


def test_an_age_of_one_s_own(granted: Context, store: Store, clock: Clock) -> None:
    secret = granted.secrets["payment-key"]
    secret.get()
    clock.now += 10
    secret.get(max_age=11)
    assert len(store.calls) == 1
    secret.get(max_age=5)
    assert len(store.calls) == 2
    secret.get(max_age=0)
    assert len(store.calls) == 3


def test_invocations_share_the_value(make: Any, granted: Context, store: Store) -> None:
    granted.secrets["payment-key"].get()
    other = Context(granted._function, "2")
    other.secrets["payment-key"].get()
    assert len(store.calls) == 1


def test_another_address_is_another_secret(
    granted: Context, store: Store, monkeypatch: Any
) -> None:
    secret = granted.secrets["payment-key"]
    secret.get()
    monkeypatch.setenv("PORTAFAAS_SECRET_PAYMENT_KEY", "other")
    store.value = b"other-value"
    assert secret.get() == "other-value"


def together(granted: Context, store: Store, monkeypatch: Any, count: int = 8) -> list[Any]:
    """Ask from several threads at once, and return what each got."""
    from time import monotonic

    store.hold = threading.Event()
    results: list[Any] = []
    looks: list[float] = []
    lock = threading.Lock()

    def look() -> float:
        with lock:
            looks.append(monotonic())
            # Each looks at the clock when it asks, and the one that fetches once more.
            if len(looks) == count + 1 and store.hold is not None:
                store.hold.set()
            return looks[-1]

    monkeypatch.setattr(secrets, "monotonic", look)

    def ask() -> None:
        try:
            results.append(granted.secrets["payment-key"].get(max_age=0))
        except ResourceError as exc:
            results.append(str(exc))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_one_thread_fetches_for_all(granted: Context, store: Store, monkeypatch: Any) -> None:
    assert together(granted, store, monkeypatch) == ["s3cret-value"] * 8
    assert len(store.calls) == 1


def test_one_thread_fails_for_all(granted: Context, store: Store, monkeypatch: Any) -> None:
    store.value = ResourceError("unreachable", retryable=True)
    assert together(granted, store, monkeypatch) == ["unreachable"] * 8
    assert len(store.calls) == 1
    store.value, store.hold = b"back-again", None
    assert granted.secrets["payment-key"].get() == "back-again"


def test_a_stale_value_is_better_than_none(
    granted: Context, store: Store, clock: Clock, capsys: Any, monkeypatch: Any
) -> None:
    secret = granted.secrets["payment-key"]
    secret.get()
    store.value = ResourceError("throttled", retryable=True)
    clock.now += 301
    warned: list[str] = []
    monkeypatch.setattr(
        granted, "logger", types.SimpleNamespace(warning=lambda m, *a: warned.append(m % a))
    )
    assert secret.get() == "s3cret-value"
    (text,) = warned
    assert "payment-key could not be read again, its value of 301 s ago" in text
    assert "throttled" in text
    assert "s3cret-value" not in text
    clock.now += 3000
    assert secret.get() == "s3cret-value"
    clock.now += 300
    with pytest.raises(ResourceError, match="throttled"):
        secret.get()


def test_a_refusal_is_not_glossed_over(granted: Context, store: Store, clock: Clock) -> None:
    secret = granted.secrets["payment-key"]
    secret.get()
    clock.now += 301
    for error in (NotFound("gone"), ResourceError("denied", retryable=False)):
        store.value = error
        with pytest.raises(ResourceError, match=str(error)):
            secret.get()


def test_no_value_yet(granted: Context, store: Store) -> None:
    store.value = ResourceError("unreachable", retryable=True)
    with pytest.raises(ResourceError, match="unreachable"):
        granted.secrets["payment-key"].get()


def test_bytes_that_are_no_text(granted: Context, store: Store) -> None:
    store.value = b"\xff\xfebinary"
    secret = granted.secrets["payment-key"]
    assert secret.get_bytes() == b"\xff\xfebinary"
    with pytest.raises(ResourceError, match="is not UTF-8 text") as caught:
        secret.get()
    told = "".join(traceback.format_exception(caught.value))
    assert "binary" not in told
    assert caught.value.__context__ is None


def test_values_stay_out_of_sight(granted: Context, store: Store) -> None:
    secret = granted.secrets["payment-key"]
    secret.get()
    for text in (repr(secret), str(secret), repr(granted.secrets), repr(secrets._entries)):
        assert "s3cret-value" not in text
    assert list(secrets.redacted) == ["s3cret-value"]


def test_a_handler_that_is_stopped_frees_the_lock(granted: Context, store: Store) -> None:
    from portafaas.runtime.context import HandlerTimeout

    class Stopped(Store):
        def secret(self, address: str) -> bytes:
            raise HandlerTimeout

    real = store.secret
    store.secret = Stopped().secret  # type: ignore[method-assign]
    with pytest.raises(HandlerTimeout):
        granted.secrets["payment-key"].get()
    store.secret = real  # type: ignore[method-assign]
    assert granted.secrets["payment-key"].get() == "s3cret-value"
