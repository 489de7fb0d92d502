"""What handlers rely on of buckets (docs/spec/resources.md), on every back end."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portafaas.runtime import Conflict, NotFound, ResourceError
from portafaas.runtime.objects import CHUNK, PART
from tests.behaviour.backends import Backend

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")

Bucket = Any


@pytest.fixture
def bucket(backend: Backend, client: Callable[..., Any]) -> Bucket:
    return client("bucket", backend.bucket())


KEYS = ["a", "a/b c", "a/\u00fc?#%25+&.bin", "b", "b/1", "b/2", "c" * 900]


def test_objects(bucket: Bucket) -> None:
    with pytest.raises(NotFound):
        bucket.read("a")
    with pytest.raises(NotFound):
        bucket.stat("a")
    with pytest.raises(NotFound):
        bucket.open("a")
    for number, key in enumerate(KEYS):
        bucket.write(key, key.encode() * number, "text/x-own")
    for number, key in enumerate(KEYS):
        assert bucket.read(key) == key.encode() * number
        info = bucket.stat(key)
        assert (info.key, info.size) == (key, len(key.encode()) * number)
        assert info.content_type == "text/x-own" and info.etag
        assert abs(info.modified.timestamp() - time.time()) < 120
    bucket.write("a", "\u00fc")
    assert bucket.read("a") == "\u00fc".encode()
    assert bucket.stat("a").content_type in (
        "text/plain; charset=utf-8", "text/plain"  # gcp-storage-emulator
    )  # fmt: skip
    for key in KEYS:
        bucket.delete(key)
        bucket.delete(key)
    assert bucket.list().rows == []


def test_etags_are_of_the_content(bucket: Bucket) -> None:
    bucket.write("a", b"1")
    one = bucket.stat("a").etag
    assert bucket.stat("a").etag == one == bucket.list().rows[0].etag
    bucket.write("a", b"2")
    assert bucket.stat("a").etag != one


def test_write_if_absent(bucket: Bucket) -> None:
    bucket.write("a", b"1", if_absent=True)
    for data in (b"2", iter([b"x" * PART, b"y"])):
        with pytest.raises(Conflict) as caught:
            bucket.write("a", data, if_absent=True)
        assert not caught.value.retryable
    assert bucket.read("a") == b"1"
    bucket.delete("a")
    bucket.write("a", iter([b"x" * PART, b"y"]), if_absent=True)
    assert bucket.stat("a").size == PART + 1


def test_lists(bucket: Bucket) -> None:
    assert bucket.list().rows == [] and bucket.list().cursor is None
    for key in KEYS:
        bucket.write(key, b"x" * len(key))
    everything = bucket.list()
    wanted = sorted(KEYS, key=lambda key: key.encode())
    assert [info.key for info in everything] == wanted and everything.cursor is None
    assert [info.size for info in everything] == [len(key) for key in wanted]
    assert [info.key for info in bucket.list("b/")] == ["b/1", "b/2"]
    assert [info.key for info in bucket.list("a/\u00fc?#%25+&")] == ["a/\u00fc?#%25+&.bin"]
    assert list(bucket.list("nothing")) == []
    page = bucket.list(limit=3)
    assert [info.key for info in page] == wanted[:3]
    page = bucket.list(limit=3, after=page.cursor)
    assert [info.key for info in page] == wanted[3:6]
    page = bucket.list(limit=3, after=page.cursor)
    assert [info.key for info in page] == wanted[6:] and page.cursor is None
    assert [info.key for info in bucket.list(limit=2).all()] == wanted
    assert [info.key for info in bucket.list("b", limit=1).all()] == ["b", "b/1", "b/2"]


class Source(io.RawIOBase):
    """A file of so many bytes that counts what it has given."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.given = size, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= CHUNK
        data = bytes(self._at(self.given, min(size, self.size - self.given)))
        self.given += len(data)
        return data

    @staticmethod
    def _at(start: int, size: int) -> bytes:
        pattern = bytes(range(256))
        shift = start % 256
        return (pattern * (size // 256 + 2))[shift : shift + size]


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 3 * PART + 12345])
def test_streams(bucket: Bucket, size: int) -> None:
    bucket.write("large", Source(size), "application/x-large")
    info = bucket.stat("large")
    assert (info.size, info.content_type) == (size, "application/x-large")
    with bucket.open("large") as file:
        place = 0
        while piece := file.read(300_001):
            assert piece == Source._at(place, len(piece))
            place += len(piece)
        assert place == size
        assert file.seek(-min(size, 5), 2) == size - min(size, 5)
        assert file.read() == Source._at(max(size - 5, 0), min(size, 5))
        assert file.seek(size // 2) == size // 2 == file.tell()
        assert file.read(10) == Source._at(size // 2, min(10, size - size // 2))


def test_iterables(bucket: Bucket) -> None:
    bucket.write("a", (bytes([n]) * 1000 for n in range(10)))
    assert bucket.read("a") == b"".join(bytes([n]) * 1000 for n in range(10))
    bucket.write("a", io.BytesIO(b"file"))
    assert bucket.read("a") == b"file"
    for wrong in (["text"], [1], io.StringIO("text"), {b"a": 1}, 7, None):
        with pytest.raises(TypeError):
            bucket.write("b", wrong)
    with pytest.raises(NotFound):
        bucket.read("b")


def test_a_stream_that_breaks_stores_nothing(bucket: Bucket) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * PART
        yield b"x" * PART
        raise KeyError("the handler's own")

    bucket.write("a", b"before")
    for key in ("a", "b"):
        with pytest.raises(KeyError, match="the handler's own"):
            bucket.write(key, broken())
    assert bucket.read("a") == b"before"
    with pytest.raises(NotFound):
        bucket.read("b")
    assert [info.key for info in bucket.list()] == ["a"]


def test_a_reader_sees_one_version(bucket: Bucket) -> None:
    bucket.write("a", b"1" * 2 * CHUNK)
    with bucket.open("a") as file:
        assert file.read(10) == b"1" * 10
        bucket.write("a", b"2" * 2 * CHUNK)
        with pytest.raises(Conflict):
            file.read()
    with bucket.open("a") as file:
        assert file.read(10) == b"2" * 10
        bucket.delete("a")
        with pytest.raises(Conflict):
            file.read()


def test_a_bucket_that_is_not_there(backend: Backend, client: Callable[..., Any]) -> None:
    if backend.target == "local":
        return  # there is every bucket
    there = backend.bucket()
    missing = client("bucket", f"{there}-nothing")
    for call in (
        lambda: missing.read("a"),
        lambda: missing.stat("a"),
        lambda: missing.write("a", b""),
        lambda: missing.write("a", iter([b"x" * PART, b"x"])),
        lambda: list(missing.list()),
    ):
        with pytest.raises(ResourceError) as caught:
            call()
        assert not caught.value.retryable
