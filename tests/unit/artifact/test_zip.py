"""The container: its bytes, its checks, and reading it back."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portafaas.adapter.contract import Limits
from portafaas.artifact import verify, zipper
from portafaas.artifact.member import Member, Packed, content_digest

NAME = st.text("abzAZ09_-.é漢", min_size=1, max_size=8).filter(lambda text: text.strip("."))
FILES = st.dictionaries(
    st.lists(NAME, min_size=1, max_size=3).map("/".join),
    st.tuples(st.binary(max_size=300), st.sampled_from([0o644, 0o755])),
    max_size=6,
)


def members(files: dict[str, tuple[bytes, int]]) -> list[Member]:
    return [Member(name, mode, data, "user") for name, (data, mode) in files.items()]


@settings(max_examples=60, deadline=None)
@given(FILES, st.randoms(use_true_random=False))
def test_any_files_come_back_and_their_order_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, tuple[bytes, int]],
    shuffler: random.Random,
) -> None:
    folder = tmp_path_factory.mktemp("zip")
    one, other = folder / "one.zip", folder / "other.zip"
    shuffled = members(files)
    shuffler.shuffle(shuffled)
    size = zipper.write(str(one), members(files), str(folder))
    zipper.write(str(other), shuffled, str(folder))
    assert one.read_bytes() == other.read_bytes()
    assert size == one.stat().st_size
    assert content_digest(shuffled) == content_digest(members(files))
    with zipfile.ZipFile(one) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(files)
        for entry in archive.infolist():
            data, mode = files[entry.filename]
            assert archive.read(entry) == data
            assert entry.external_attr >> 16 == 0o100000 | mode
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("size", [0, 10, 65_536, 300_000])
def test_large_members_are_cached_and_still_the_same(tmp_path: Path, size: int) -> None:
    for label, data in {"plain": b"x" * size, "noise": random.Random(1).randbytes(size)}.items():
        file = [Member(label, 0o644, data, "user")]
        paths = [tmp_path / f"{label}{turn}.zip" for turn in range(2)]
        for path in paths:
            zipper.write(str(path), file, str(tmp_path / "cache"))
        assert paths[0].read_bytes() == paths[1].read_bytes()
        with zipfile.ZipFile(paths[1]) as archive:
            assert archive.read(label) == data


def test_the_digest_tells_name_mode_and_content_apart() -> None:
    digests = {
        content_digest([Member(name, mode, data, "user")])
        for name in ("a", "b")
        for mode in (0o644, 0o755)
        for data in (b"a", b"b")
    }
    assert len(digests) == 8


def test_the_digest_does_not_depend_on_compression() -> None:
    stored = Packed(0, 1, 0, b"a")
    plain = Member("a", 0o644, b"a", "user")
    packed = Member("a", 0o644, b"", "dependency", packed=stored, sha256=plain.sha256)
    assert content_digest([plain]) == content_digest([packed])


def test_unpack_restores_content_and_modes(tmp_path: Path) -> None:
    files = {"a/b.txt": (b"one", 0o644), "run": (b"two", 0o755)}
    zipper.write(str(tmp_path / "x.zip"), members(files), str(tmp_path))
    zipper.unpack(tmp_path / "x.zip", tmp_path / "x")
    assert (tmp_path / "x/a/b.txt").read_bytes() == b"one"
    assert (tmp_path / "x/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "x/a/b.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a//b", "a\\b"])
def test_unpack_refuses_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "x")
    (tmp_path / "x.zip").write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match="unsafe name"):
        zipper.unpack(tmp_path / "x.zip", tmp_path / "deep" / "x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "x.zip"]


def test_without_isal_the_content_is_the_same(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['isal'] = None\n"
        "from portafaas.artifact import zipper\n"
        "from portafaas.artifact.member import Member\n"
        "assert zipper.compressor()[0].startswith('zlib-')\n"
        "zipper.write(sys.argv[1], [Member('a', 420, b'portafaas' * 99, 'user')], sys.argv[2])\n"
    )
    path = tmp_path / "x.zip"
    subprocess.run([sys.executable, "-c", code, path, tmp_path], check=True)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("a") == b"portafaas" * 99


def codes(*names: str, origin: str = "user") -> list[str]:
    found = [Member(name, 0o644, b"", origin) for name in names]
    return [problem.code for problem in verify.names(found, ("portafaas",))]


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../b", "./a", "a//b", "a\\b", "C:/a", "a\nb", "a\x7fb", "\udce4", ""]
)
def test_unsafe_names(name: str) -> None:
    assert codes(name, origin="generated") == ["PF5001"]


def test_names_that_are_one_where_case_does_not_count() -> None:
    assert codes("app/Mod.py", "app/mod.py") == ["PF5003"]
    assert codes("caf\u00e9.py", "cafe\u0301.py") == ["PF5003"]
    assert codes("stra\u00dfe", "STRASSE") == ["PF5003"]
    assert codes("app/mod.py", "app/mods.py", "lib/mod.py") == []


def test_collisions_with_what_is_shipped() -> None:
    own = Member("host.json", 0o644, b"", "user")
    made = Member("host.json", 0o644, b"", "generated")
    for pair in ([own, made], [made, own]):
        (problem,) = verify.names(pair, ())
        assert (problem.code, problem.file) == ("PF5005", "host.json")
        assert "generated" in problem.message and problem.hint == "rename yours"
    assert codes("portafaas/extra.py") == ["PF5005"]
    assert codes("portafaas.py") == ["PF5005"]
    assert codes("portafaas_tools.py", "app/portafaas.py") == []
    assert codes("portafaas/runtime/x.py", origin="runtime") == []
    assert codes("app", "app/mod.py") == ["PF5005"]
    assert codes("App/x/y.py", "app") == ["PF5005"]


def test_sizes_are_compared_with_the_targets_limits() -> None:
    files = [Member("big/a", 0o644, b"x" * 90_000, "user"), Member("b", 0o644, b"y", "user")]
    limits = Limits(100, 80_000, "https://example.com/limits")
    zipped, unzipped = verify.sizes(files, 101, limits, "acme")
    assert zipped.code == unzipped.code == "PF5020"
    assert "101 bytes zipped" in zipped.message and limits.source in zipped.message
    assert "0.1 MB unzipped" in unzipped.message and "big 0.1 MB, b 1 bytes" in str(unzipped.hint)
    assert list(verify.sizes(files, 100, Limits(100, 90_001, ""), "acme")) == []
    assert list(verify.sizes(files, 10**12, Limits(0, 0, ""), "acme")) == []
