"""The parameters that a stack was deployed with, so that what-if finds only what was edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portafaas_azure.deployment import stack as stacks
from portafaas_azure.deployment.account import Account
from portafaas_azure.deployment.parameters import app_settings, common, running, sites


def recorded(
    account: Account, document: Mapping[str, Any], found: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parameters of the last deployment.

    Azure keeps no secret ones: the keys' digests are read from the apps, so that a hand-made
    change of them alone is not seen. Shells of secrets are made once and then left alone.
    """
    declared = document["parameters"]
    values = {name: value for name, value in stacks.given(found).items() if name in declared}
    managed = stacks.managed(found)
    apps = sites(managed)
    if "packageDigest" in declared:
        values["packageDigest"] = common(running(account, apps))
    if "secretShells" in declared:
        values["secretShells"] = []
    secure = [
        name for name, one in declared.items()
        if one["type"].startswith("secure") and name != "packageUri"
    ]  # fmt: skip
    for site in apps if secure else ():
        try:
            settings = app_settings(account, site)
        except Exception as error:
            if getattr(error, "diagnostics", None) is None:
                raise
            continue  # the app is gone, which what-if tells
        values |= {name: settings[name] for name in secure if settings.get(name)}
    return values
