"""The Functions host's settings: host.json, and the app settings that override it. Pure."""

from __future__ import annotations

from typing import Any

from portafaas.plan import FunctionPlan


def host_timeout(functions: tuple[FunctionPlan, ...]) -> int:
    """Return the host's ``functionTimeout`` in seconds.

    It is behind the bridge's own timeout and ends a worker that a handler has blocked. In an app
    of several functions it also runs while an invocation waits for its function's turn.
    """
    longest = max((function.timeout for function in functions), default=30)
    return longest + (5 if len(functions) == 1 else 60)


def host_json(functions: tuple[FunctionPlan, ...]) -> dict[str, Any]:
    """Return host.json for an app of *functions*.

    https://learn.microsoft.com/azure/azure-functions/functions-host-json
    """
    bus = [f for f in functions if f.kind not in ("http", "task")]
    tasks = [f for f in functions if f.kind == "task"]
    calls = max((f.concurrency for f in bus), default=1)
    limit = host_timeout(functions)
    extensions: dict[str, Any] = {
        "http": {
            "routePrefix": "",
            # The bridge keeps each function's own limit; what waits there could run elsewhere.
            "maxConcurrentRequests": sum(f.concurrency for f in functions if f.kind == "http") or 1,
        },
        "serviceBus": {
            "autoCompleteMessages": True,
            "prefetchCount": 0,
            "maxConcurrentCalls": calls,
            "maxConcurrentSessions": calls,
            "maxAutoLockRenewalDuration": timespan(limit + 60),
        },
    }
    if tasks:
        extensions["durableTask"] = {
            # The account is the app's own, and so is the hub.
            "hubName": "portafaas",
            "storageProvider": {"maxQueuePollingInterval": "00:00:10"},
            # The bridge keeps each function's own limit.
            "maxConcurrentActivityFunctions": sum(f.concurrency for f in tasks),
        }
    return {
        "version": "2.0",
        "functionTimeout": timespan(limit),
        "extensionBundle": {
            "id": "Microsoft.Azure.Functions.ExtensionBundle",
            "version": "[4.*, 5.0.0)",
        },
        "logging": {
            "applicationInsights": {
                "samplingSettings": {"isEnabled": True, "excludedTypes": "Request;Exception"}
            }
        },
        "extensions": extensions,
    }


def timespan(seconds: float) -> str:
    """Return ``hh:mm:ss``, for less than a day; partial seconds count as whole ones."""
    whole = min(int(-(-seconds // 1)), 86_399)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def host_settings(function: FunctionPlan, *others: FunctionPlan) -> dict[str, str]:
    """Return the app settings that override host.json in an app of this function alone.

    Of an app of workflows all its functions are given.

    https://learn.microsoft.com/azure/azure-functions/functions-host-json#override-hostjson-values
    """
    functions = (function, *others)
    host = host_json(functions)
    settings = {"functionTimeout": host["functionTimeout"]}
    if function.kind == "http":
        limit = host["extensions"]["http"]["maxConcurrentRequests"]
        settings["extensions__http__maxConcurrentRequests"] = str(limit)
    elif function.kind == "task":
        most = host["extensions"]["durableTask"]["maxConcurrentActivityFunctions"]
        settings["extensions__durableTask__maxConcurrentActivityFunctions"] = str(most)
    else:
        bus = host["extensions"]["serviceBus"]
        for name in ("maxConcurrentCalls", "maxConcurrentSessions", "maxAutoLockRenewalDuration"):
            settings[f"extensions__serviceBus__{name}"] = str(bus[name])
    if function.environment.get("PORTAFAAS_LOG_LEVEL") == "debug":
        # The host drops what handlers log below "information" unless it is told otherwise.
        settings["logging__logLevel__Function"] = "Debug"
    return {f"AzureFunctionsJobHost__{name}": value for name, value in settings.items()}


def instance_memory(memory: int) -> int:
    """Return the smallest instance of the Flex Consumption plan with *memory* MiB."""
    return next((size for size in (512, 2048, 4096) if memory <= size), 4096)
