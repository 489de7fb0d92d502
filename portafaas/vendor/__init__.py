"""Run a built package inside the vendor's own runtime code. Build time only; never ships.

``docs/vendor-runtimes.md`` says what is the vendor's code, what is ours, and where both end.
"""

from __future__ import annotations

from portafaas.vendor.contract import (
    NativeError,
    NativeResult,
    Requirements,
    VendorRuntime,
    VendorRuntimeError,
    VendorSession,
)

__all__ = [
    "NativeError",
    "NativeResult",
    "Requirements",
    "VendorRuntime",
    "VendorRuntimeError",
    "VendorSession",
]
