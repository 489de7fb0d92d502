"""A local AWS, and the service *notes* deployed to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws_cloud.cloud import Cloud
from tests.aws_cloud.deploying import built, deploy

PROJECT = Path(__file__).with_name("project")


@pytest.fixture(scope="package")
def aws_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An empty local AWS."""
    with Cloud(tmp_path_factory.mktemp("aws-cloud")) as cloud:
        yield cloud


@pytest.fixture(scope="package")
def deployed(aws_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """The cloud with the service's stack in it."""
    folder = tmp_path_factory.mktemp("notes") / "notes"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("out", "__pycache__"))
    package, template = built(folder, "notes")
    ids = deploy(aws_cloud, "notes", package, template)
    aws_cloud.client("secretsmanager").put_secret_value(
        SecretId=ids["StampSecret"], SecretString="sealed"
    )
    return aws_cloud


@pytest.fixture
def cloud(deployed: Cloud) -> Iterator[Cloud]:
    """The cloud with the service, idle before and after each test."""
    deployed.idle()
    deployed.forget()
    yield deployed
    deployed.idle()
