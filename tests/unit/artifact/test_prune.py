"""What of the dependencies is left out, and what must not be."""

from __future__ import annotations

import pytest

from portafaas.artifact.globs import matcher
from portafaas.artifact.prune import kept, mentions


def left(
    files: dict[str, str], keep: tuple[str, ...] = (), mentioned: frozenset[str] = frozenset()
) -> list[str]:
    return kept(sorted(files), lambda name: files[name].encode(), matcher(keep), mentioned)


def test_noise_goes_and_metadata_stays() -> None:
    info = "pkg-1.0.dist-info"
    stays = [
        "pkg/__init__.py",
        "pkg/_ext.cpython-312-x86_64-linux-gnu.so",
        "pkg/bin/tool.txt",
        "pkg/data.json",
        "pkg/py.typed",
        f"{info}/METADATA",
        f"{info}/entry_points.txt",
        f"{info}/licenses/LICENSE",
    ]
    goes = [
        *("bin/tool", ".lock", "pkg/__init__.pyi", "pkg/__pycache__/x.cpython-39.pyc"),
        *("pkg/tests/__init__.py", "pkg/tests/test_x.py", "pkg/sub/test/data.bin", "tests/x.py"),
        *(f"{info}/RECORD", f"{info}/INSTALLER", f"{info}/REQUESTED", f"{info}/direct_url.json"),
        *(f"{info}/uv_build.json", f"{info}/uv_cache.json"),
    ]
    assert left(dict.fromkeys([*stays, *goes], "")) == sorted(stays)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("other/__init__.py", "import pkg.tests"),
        ("other/__init__.py", "import pkg.tests.helpers as h"),
        ("other/__init__.py", "from pkg.tests import helpers"),
        ("other/__init__.py", "from pkg import (\n    a,\n    tests,\n)"),
        ("other/__init__.py", "import_module('pkg.tests.helpers')"),
        ("pkg/__init__.py", "from . import tests"),
        ("pkg/__init__.py", "from .tests import helpers"),
        ("pkg/__init__.py", "import_module('.tests', __name__)"),
        ("pkg/sub/mod.py", "from ..tests.helpers import x"),
        ("pkg/sub/mod.py", "from .. import tests as t"),
        ("pkg-1.dist-info/entry_points.txt", "[pytest11]\npkg = pkg.tests.plugin"),
    ],
)
def test_a_test_package_that_something_names_stays(where: str, text: str) -> None:
    files = {where: text, "pkg/tests/helpers.py": "", "pkg/sub/tests/x.py": ""}
    assert left(files) == sorted([where, "pkg/tests/helpers.py"])


def test_a_package_named_testing_is_no_test_folder() -> None:
    assert left({"numpy/testing/__init__.py": ""}) == ["numpy/testing/__init__.py"]


def test_kept_tests_may_need_others() -> None:
    files = {
        "a/__init__.py": "import b.tests",
        "b/tests/__init__.py": "from c import tests",
        "c/tests/__init__.py": "",
        "d/tests/__init__.py": "import a.tests",
        "a/tests/__init__.py": "",
    }
    assert left(files) == ["a/__init__.py", "b/tests/__init__.py", "c/tests/__init__.py"]


def test_the_projects_sources_and_keep_count() -> None:
    files = {"django/test/client.py": "", "pkg/x.pyi": "", "pkg/y.pyi": "", "bin/tool": ""}
    assert left(files) == []
    named = mentions([("app/views.py", b"from django.test import Client\n")])
    assert left(files, mentioned=frozenset(named)) == ["django/test/client.py"]
    assert left(files, keep=("pkg/x.pyi", "bin")) == ["bin/tool", "pkg/x.pyi"]


def test_plain_words_name_nothing() -> None:
    assert mentions([("app/a.py", b"# the tests of test_x; latest = contest.value\n")]) == set()
