"""What every test of the shop begins with."""

import pytest


@pytest.fixture
def shop(app):
    """The shop, which can pay and has some tea."""
    app.secret("payment-key", "sesame-open")
    app.table("stock").put({"sku": "tea", "article": "tea", "change": 500})
    return app
