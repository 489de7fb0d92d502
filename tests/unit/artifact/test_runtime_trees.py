"""The trees of shipped code that all builds of a user share."""

from __future__ import annotations

import os
import time
from pathlib import Path

from portafaas.artifact import runtime
from portafaas.artifact.tree import ensure_tree


def test_a_tree_in_use_stays_however_many_there_are(tmp_path: Path) -> None:
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    scratch.mkdir()
    runtime.ensure("portafaas_aws.runtime", None, str(cache), str(scratch))
    (used,) = (cache / "runtime").iterdir()
    for number in range(40):
        (cache / "runtime" / f"other-{number}").mkdir()
    old = cache / "runtime" / "old"
    old.mkdir()
    long_ago = time.time() - 3 * 86_400
    os.utime(old, (long_ago, long_ago))
    # Another adapter's tree is made, and with it those out of use go.
    runtime.ensure("portafaas_gcp.runtime", None, str(cache), str(scratch))
    assert used.is_dir()
    assert len(list((cache / "runtime").iterdir())) == 42
    assert not old.exists()


def test_use_keeps_a_tree(tmp_path: Path) -> None:
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    scratch.mkdir()
    runtime.ensure("portafaas_aws.runtime", None, str(cache), str(scratch))
    (used,) = (cache / "runtime").iterdir()
    long_ago = time.time() - 3 * 86_400
    os.utime(used, (long_ago, long_ago))
    runtime.ensure("portafaas_aws.runtime", None, str(cache), str(scratch))
    runtime.ensure("portafaas_gcp.runtime", None, str(cache), str(scratch))
    assert used.is_dir()


def test_builds_that_make_one_tree_at_once_leave_each_others_whole(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    inodes: list[int] = []

    def make(fresh: str) -> None:
        for place in (Path(fresh), Path(f"{fresh}.other")):
            place.mkdir(exist_ok=True)
            (place / "blob").write_bytes(b"")
            (place / "index").write_bytes(b"0\n")
        # In the midst of this build another one finishes.
        Path(f"{fresh}.other").rename(folder)
        inodes.append(folder.stat().st_ino)

    tree = ensure_tree(str(folder), make)
    assert tree.folder == str(folder)
    assert folder.stat().st_ino == inodes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_a_broken_tree_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "index").write_bytes(b"7\n")

    def make(fresh: str) -> None:
        (Path(fresh) / "blob").write_bytes(b"")
        (Path(fresh) / "index").write_bytes(b"0\n")

    assert ensure_tree(str(folder), make).size == 0
