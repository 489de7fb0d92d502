"""Where the data of a service is reached: the driver's URLs, as code of the template. Pure."""

from __future__ import annotations

from portafaas.plan import BuildPlan
from portafaas_azure.flows import PATH
from portafaas_azure.grouping import apps_of
from portafaas_azure.infrastructure.arm import (
    Ref,
    Template,
    expression,
    formatted,
    parameter,
    quote,
)
from portafaas_azure.infrastructure.names import setting
from portafaas_azure.infrastructure.places import Places

#: Name of the output with every address, by the setting that apps have it in.
OUTPUT = "addresses"


def add_addresses(template: Template, plan: BuildPlan, places: Places) -> None:
    """Add one output, as a template has no more than 64: what scripts ask the stack for."""
    found = {
        setting(kind, one.name): expression(address(plan, kind, one.name, places))
        for kind, declared in (
            ("queue", plan.queues), ("topic", plan.topics), ("table", plan.tables),
            ("bucket", plan.buckets), ("secret", plan.secrets),
        )
        for one in declared
    }  # fmt: skip
    if found:
        template.outputs[OUTPUT] = {"type": "object", "value": found}


def bus_host(places: Places) -> str:
    """Return code of the namespace's host name; its endpoint is ``https://<host>:443/``."""
    endpoint = places.namespace.output("serviceBusEndpoint")
    return f"replace(replace({endpoint}, 'https://', ''), ':443/', '')"


def address(plan: BuildPlan, kind: str, name: str, places: Places) -> str:
    """Return code of the URL of a resource's data plane."""
    match kind:
        case "bucket":
            account = Ref("Microsoft.Storage/storageAccounts", places.bucket(plan, name).names[:1])
            return formatted("{0}{1}", account.output("primaryEndpoints.blob"), quote(name))
        case "table":
            cosmos = places.cosmos
            words = "{0}dbs/{1}/colls/{2}"
            return formatted(
                words, cosmos.output("documentEndpoint"), places.database.names[-1], quote(name)
            )
        case "secret":
            return formatted("{0}secrets/{1}", places.vault.output("vaultUri"), quote(name))
        case "workflow":
            # After the # is whom a token must be for.
            site = places.site(next(app for app in apps_of(plan) if app.runs_workflows))
            return formatted(
                f"https://{{0}}/{PATH}/{{1}}#api://{{2}}",
                site.output("defaultHostName"), quote(name), parameter("authClientId"),
            )  # fmt: skip
        case _:
            return formatted("https://{0}/{1}", bus_host(places), quote(name))
