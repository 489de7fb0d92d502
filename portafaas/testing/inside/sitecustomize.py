"""Loaded when a process of a handler starts that a test has put this folder on the path of."""

import importlib.abc
import importlib.machinery
import os
import sys

_NAMES = ["portafaas.runtime.function", "portafaas.runtime.log"]


class _Finder(importlib.abc.MetaPathFinder):
    """Changes modules of the package's runtime once they are there."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """Find the module as others do, and change it when it is loaded."""
        if name not in _NAMES:
            return None
        _NAMES.remove(name)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module):  # type: ignore[no-untyped-def]
            load(module)
            import portafaas_testing_faults  # type: ignore[import-not-found]

            portafaas_testing_faults.install(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if os.environ.get("PORTAFAAS_TEST_FAULTS"):
    sys.meta_path.insert(0, _Finder())
