"""The fixture ``app``, for projects that have none of that name."""

from __future__ import annotations

import pytest

from portafaas.testing.app import App


@pytest.fixture
def app(portafaas_app: App) -> App:
    """The application that the tests are of; see ``portafaas.testing.app.App``."""
    return portafaas_app
