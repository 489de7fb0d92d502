"""Spares moto the import of validators that our templates never reach: seconds of each start.

Imported before moto, in the server's process only.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


def _validate(*_: Any, **__: Any) -> None:
    raise NotImplementedError("REST APIs are not emulated")


# Of AWS::ApiGateway (REST), whose checker builds a grammar of all IRIs when it is imported.
_names = ("openapi_spec_validator", "openapi_spec_validator.validation",
          "openapi_spec_validator.validation.exceptions")  # fmt: skip
for _name in _names:
    _module: Any = ModuleType(_name)
    _module.validate = _module.validate_spec = _validate
    _module.OpenAPIValidationError = type("OpenAPIValidationError", (Exception,), {})
    sys.modules[_name] = _module
