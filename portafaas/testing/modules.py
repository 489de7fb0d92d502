"""Which project's handlers ``import`` finds: those of the project whose tests are at work.

A package has its project first on the import path. In one session of pytest there may be several
projects, with modules of the same names: those of a project that is left are put aside, and are
there again, the same, when it is entered again.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

_entered = ""
_aside: dict[str, dict[str, ModuleType]] = {}


def enter(root: str, importlib_mode: bool = False) -> None:
    """Have ``import`` look into *root* first, and put another project's modules aside.

    *importlib_mode* is pytest's: for a test in ``shop/tests`` it makes a package ``shop`` of the
    project's folder, which would hide a module ``shop`` in it; that is imported before.
    """
    root = os.path.realpath(root)
    _enter(root)
    name = Path(root).name
    if Path(root, name).is_dir() or Path(root, f"{name}.py").is_file():
        known = sys.modules.get(name)
        if known is not None and root in map(os.path.realpath, getattr(known, "__path__", ())):
            del sys.modules[name]
        if importlib_mode:
            # What is wrong with it is told when a test imports it.
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _enter(root: str) -> None:
    global _entered
    if root == _entered:
        if root not in sys.path:
            sys.path.insert(0, root)
        return
    if _entered:
        _aside[_entered] = {
            name: module for name, module in list(sys.modules.items()) if _of(module, _entered)
        }
        for name in _aside[_entered]:
            del sys.modules[name]
        if _entered in sys.path:
            sys.path.remove(_entered)
    _entered = root
    if root not in sys.path:
        sys.path.insert(0, root)
    sys.modules.update(_aside.pop(root, {}))


def _of(module: ModuleType, root: str) -> bool:
    """Tell whether *module* is one of the project's, and none that pytest itself has loaded."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not os.path.realpath(file).startswith(root + os.sep):
        return False
    loader = type(getattr(module, "__loader__", None)).__module__
    inner = Path(os.path.realpath(file)).relative_to(root).parts
    return not loader.startswith("_pytest.") and not {"site-packages", ".venv"} & set(inner)
