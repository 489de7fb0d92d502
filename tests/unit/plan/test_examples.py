"""Samples of schemas are checked; that of `invoke` does not wait for a library's import."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from portafaas.plan.examples import example
from portafaas.plan.patterns import NoExample

schema = {
    "properties": {"id": {"type": "string", "minLength": 3}, "of": {"$ref": "#/$defs/of~1it"}, "way": {"$ref": "#way"}},
    "required": ["id"],
    "$defs": {"of/it": {"type": "integer", "minimum": 7}, "a": {"$anchor": "way", "const": "up"}},
}
assert example(schema) == {"id": "idid", "of": 7, "way": "up"}, example(schema)
assert "jsonschema" not in sys.modules
# What ships cannot tell is left to the library, and so is what it says of a value that does not fit.
assert example({"properties": {"a": {"const": 1}}, "unevaluatedProperties": False}) == {"a": 1}
assert "jsonschema" in sys.modules
try:
    example({"type": "string", "const": 1})
except NoExample as error:
    assert "1 is not of type 'string'" in str(error)
else:
    raise AssertionError
"""


def test_samples_are_checked_without_the_library_where_that_tells_as_much() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
