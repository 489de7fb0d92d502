"""Whether App Service Authentication stands before this app. Ships; loaded for whom it names.

It sets ``x-ms-client-principal-id`` and removes it from what clients send; without it anybody could
set it. ``WEBSITE_AUTH_ENABLED`` tells, on every plan:
https://learn.microsoft.com/azure/app-service/reference-app-settings
https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script.WebHost/Models/HostAssignmentContext.cs
"""

from __future__ import annotations

#: What there is on one plan or another; Flex Consumption has no ``WEBSITE_INSTANCE_ID``.
#: https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script/Environment/EnvironmentExtensions.cs
_PLATFORM = ("WEBSITE_INSTANCE_ID", "CONTAINER_NAME", "WEBSITE_POD_NAME", "LEGION_SERVICE_HOST")


def vouched() -> bool:
    """Tell whether the caller's name may be believed: the gate is there, or this is no platform.

    A developer's machine is what says so: Core Tools' ``AZURE_FUNCTIONS_ENVIRONMENT``, or the
    instance ``local`` of ``portafaas_azure.vendor``. All else is taken for the platform.
    """
    from os import environ

    if environ.get("WEBSITE_AUTH_ENABLED", "").lower() in ("true", "1"):
        return True
    if environ.get("WEBSITE_INSTANCE_ID") == "local":
        return True
    develops = environ.get("AZURE_FUNCTIONS_ENVIRONMENT") == "Development"
    return develops and not any(environ.get(name) for name in _PLATFORM)
