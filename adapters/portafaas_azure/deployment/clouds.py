"""Azure's clouds, plain http on this machine, and Microsoft's modules, loaded when needed."""

from __future__ import annotations

from typing import Any

from portafaas.record import dataclass
from portafaas_azure.deployment.refusals import refused

#: (Resource Manager, Log Analytics) by the names that ``az cloud list`` gives.
#: https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure
#: https://learn.microsoft.com/azure/china/resources-developer-guide
CLOUDS = {
    "AzureCloud": ("AZURE_PUBLIC_CLOUD", "https://api.loganalytics.io"),
    "AzureUSGovernment": ("AZURE_US_GOVERNMENT", "https://api.loganalytics.us"),
    "AzureChinaCloud": ("AZURE_CHINA_CLOUD", "https://api.loganalytics.azure.cn"),
}
HOSTS = {"AzureUSGovernment": "AZURE_GOVERNMENT", "AzureChinaCloud": "AZURE_CHINA"}
_INSTALL = "pip install 'portafaas[azure]'"


@dataclass(frozen=True, slots=True)
class Cloud:
    """The endpoints of a cloud, without a slash at the end; ``scope`` is Resource Manager's."""

    arm: str
    scope: str
    logs: str


def is_local(url: str) -> bool:
    """Return whether *url* is plain http on this machine, the only place where it may be."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")


def load(name: str) -> Any:
    """Import one of Microsoft's modules; raises PF8004 when it is not installed."""
    import importlib
    import logging
    import warnings

    # What they warn of is raised too; without a handler Python would print it as well.
    logger = logging.getLogger("azure")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())

    try:
        with warnings.catch_warnings():
            # Microsoft's stacks package has a docstring that compiles with a warning.
            warnings.filterwarnings("ignore", "invalid escape sequence")
            return importlib.import_module(name)
    except ImportError as error:
        hint = _INSTALL
        raise refused("PF8004", f"{error.name or name} is not installed", hint=hint) from None
