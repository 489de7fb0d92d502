"""A package for another processor holds that processor's modules."""

from __future__ import annotations

import zipfile
from pathlib import Path

from portafaas.pipeline import build

MANIFEST = """\
portafaas: 1
name: arm
architecture: aarch64
dependencies: {file: requirements.txt}
functions:
  hello: {handler: "app:hello", trigger: {http: {path: /hello}}}
"""


def test_compiled_modules_are_of_the_target(tmp_path: Path) -> None:
    (tmp_path / "portafaas.yaml").write_text(MANIFEST)
    (tmp_path / "requirements.txt").write_text("markupsafe==3.0.3\n")
    (tmp_path / "app.py").write_text("import markupsafe\n\ndef hello(request, context): ...\n")
    (built,) = build(tmp_path / "portafaas.yaml", ["aws"])
    with zipfile.ZipFile(built.package) as package:
        compiled = [name for name in package.namelist() if name.endswith(".so")]
    assert compiled
    assert all("aarch64" in name for name in compiled)
    # What this machine cannot import is said, not passed over.
    assert "PF5303" in [note.code for note in built.notes]
