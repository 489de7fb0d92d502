"""Starts the server: ``python -m tests.aws_cloud``.

Before moto is imported it is spared validators that our templates never reach, and that take
seconds to load.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


def _validate(*_: Any, **__: Any) -> None:
    raise NotImplementedError("REST APIs are not emulated")


def spare() -> None:
    """Have moto find a validator that is quick to load."""
    # Of AWS::ApiGateway (REST), whose checker builds a grammar of all IRIs when it is imported.
    name = "openapi_spec_validator"
    for each in (name, f"{name}.validation", f"{name}.validation.exceptions"):
        module: Any = ModuleType(each)
        module.validate = module.validate_spec = _validate
        module.OpenAPIValidationError = type("OpenAPIValidationError", (Exception,), {})
        sys.modules[each] = module


if __name__ == "__main__":
    spare()
    from tests.aws_cloud.server import main

    main()
