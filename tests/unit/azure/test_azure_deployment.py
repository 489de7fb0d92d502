"""Microsoft's client deploys the template to a stand-in of Azure Resource Manager."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.deployments.models import Deployment

from portafaas.plan import HttpTrigger, QueueTrigger
from portafaas_azure.infrastructure import emit

Deploy = Callable[..., list[str]]
CLIENT = {"authClientId": "22222222-2222-2222-2222-222222222222"}


class Credential:
    """A token for nobody."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("none", 0)


@pytest.fixture
def made() -> dict[str, Any]:
    """What the resource group has, by id."""
    return {}


@pytest.fixture
def deploy(
    made: dict[str, Any], fake_arm: types.ModuleType
) -> Iterator[Callable[..., list[str]]]:
    """Deploy a template with parameters; return the ids of what is put."""
    with fake_arm.serve(made) as url:
        client = DeploymentsMgmtClient(
            Credential(), "sub", base_url=url, authentication_policy=SansIOHTTPPolicy()
        )

        def run(template: Mapping[str, Any], **given: Any) -> list[str]:
            properties = {
                "mode": "Incremental",
                "template": template,
                "parameters": {name: {"value": value} for name, value in given.items()},
            }
            poller = client.deployments.begin_create_or_update(
                "group", "shop", Deployment({"properties": properties}), polling_interval=0
            )
            result: Any = poller.result()
            return [one.id for one in result.properties.output_resources]

        with client:
            yield run


def template(service: types.ModuleType, **more: Any) -> dict[str, Any]:
    return dict(emit(service.plan(**more)).documents["shop.arm.json"])


def kinds(ids: list[str], kind: str) -> list[str]:
    return [one for one in ids if f"/{kind}/" in one]


def test_first_and_second_deployment(
    deploy: Deploy, made: dict[str, Any], service: types.ModuleType
) -> None:
    document = template(service)
    first = deploy(
        document,
        packageUri="https://example.com/shop.zip?sig=1",
        secretShells=["api-key", "other-key"],
        **CLIENT,
    )
    assert len(first) == len(document["resources"]) == len(made)
    before = dict(made)
    second = deploy(document, packageUri="https://example.com/shop.zip?sig=2", **CLIENT)
    # No secret is written a second time, and nothing is made under another name.
    assert set(first) - set(second) == set(kinds(first, "secrets")) - set(
        kinds(first, "roleAssignments")
    )
    assert made == before


def test_without_a_package_without_locks(deploy: Deploy, service: types.ModuleType) -> None:
    put = deploy(template(service), protectData=False, **CLIENT)
    assert kinds(put, "locks") == []
    assert kinds(put, "extensions") == []
    assert len(kinds(put, "sites")) == len(service.FUNCTIONS) + 1  # and its sign-in


def test_a_function_more_and_one_less(
    deploy: Deploy, made: dict[str, Any], service: types.ModuleType
) -> None:
    deploy(template(service), **CLIENT)
    before = dict(made)
    more = (
        *service.FUNCTIONS,
        service.function("added", QueueTrigger("spare")),
        service.function("page", HttpTrigger(("GET",), "/page")),
    )
    deploy(template(service, functions=more), **CLIENT)
    new = set(made) - set(before)
    assert new
    # A storage account's name has room for three letters of the function's.
    own = ("added", "page", "storageAccounts/add", "storageAccounts/pag", "roleAssignments")
    assert all(any(word in one for word in own) for one in new)
    changed = {one for one in before if made[one] != before[one]}
    assert [one.rpartition("/")[2] for one in changed] == ["spare"]
    after = dict(made)
    deploy(template(service), **CLIENT)
    # Incremental: the function's app stays until the stack or somebody deletes it.
    assert set(made) == set(after)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "authClientId"),
        ({**CLIENT, "secretShells": "api-key"}, "secretShells"),
        ({**CLIENT, "colour": "red"}, "colour"),
    ],
)
def test_parameters_are_asked_for(
    deploy: Deploy,
    made: dict[str, Any],
    service: types.ModuleType,
    given: dict[str, Any],
    says: str,
) -> None:
    with pytest.raises(HttpResponseError, match=says):
        deploy(template(service), **given)
    assert made == {}


def test_the_stand_in_refuses_what_comes_too_early(
    deploy: Deploy, service: types.ModuleType
) -> None:
    document = template(service)
    for resource in document["resources"]:
        if resource["type"] == "Microsoft.ServiceBus/namespaces/topics/subscriptions":
            del resource["dependsOn"]
    with pytest.raises(HttpResponseError):
        deploy(document, **CLIENT)
