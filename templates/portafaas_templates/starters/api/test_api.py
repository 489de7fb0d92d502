def test_greets_by_name(app):
    answer = app.get("/greetings/Ada")
    assert answer.status == 200
    assert answer.json() == {"greeting": "Hello, Ada!"}
    assert app.logs("greet").one().message == "greeting Ada"


def test_nothing_else_is_there(app):
    assert app.get("/elsewhere").status == 404
