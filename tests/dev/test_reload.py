"""Which changes mean anything, and that the watcher tells of them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from portafaas.dev.reload import Watcher, forget, wanted
from tests.dev.project import until


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("app.py", True),
        ("shop/orders.py", True),
        ("schemas/order.json", True),
        ("machines/flow.asl.yaml", True),
        ("templates/mail.html", True),
        ("portafaas.yaml", True),
        ("out/aws/app.py", False),
        (".portafaas/local/-/x.json", False),
        (".venv/lib/app.py", False),
        ("node_modules/x.json", False),
        ("shop/__pycache__/orders.cpython-311.pyc", False),
        (".app.py.swp", False),
        ("data.db", False),
        ("notes.txt", False),
        ("../elsewhere.py", False),
    ],
)
def test_what_means_anything(tmp_path: Path, name: str, means: bool) -> None:
    path = Path(os.path.normpath(tmp_path / name))
    assert wanted(tmp_path, path, tmp_path / "portafaas.yaml") is means


def test_bytecode_of_changed_modules_is_removed(tmp_path: Path) -> None:
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    for name in ("app.cpython-311.pyc", "app.cpython-312.opt-1.pyc", "apple.cpython-311.pyc"):
        (cache / name).touch()
    forget([tmp_path / "app.py", tmp_path / "portafaas.yaml"])
    assert [path.name for path in cache.iterdir()] == ["apple.cpython-311.pyc"]


def test_the_watcher_tells_of_files_in_new_folders_too(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles", reason="portafaas[dev] is not installed")
    real = tmp_path / "real"
    real.mkdir()
    # As a temporary folder on macOS: what is told there is where it really is.
    root = tmp_path / "link"
    root.symlink_to(real)
    told: set[Path] = set()
    lock = threading.Lock()

    def changed(paths: set[Path]) -> None:
        with lock:
            told.update(paths)

    watcher = Watcher(root, root / "portafaas.yaml", changed)
    watcher.start()
    try:

        def write(name: str, expected: Path) -> None:
            # Again and again: a watcher needs a moment until it watches.
            def seen() -> bool:
                (real / name).write_text(str(time.monotonic()))
                with lock:
                    return expected in told

            until(seen)

        write("app.py", real / "app.py")
        write("portafaas.yaml", root / "portafaas.yaml")
        (real / "shop").mkdir()
        write("shop/orders.py", real / "shop" / "orders.py")
    finally:
        watcher.stop()
    assert not any(path.suffix not in (".py", ".yaml") for path in told)
