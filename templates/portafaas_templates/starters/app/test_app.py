def test_says_hello(portafaas_app):
    assert portafaas_app.get("/").json() == {"hello": "world"}
