def test_a_job_is_done(app):
    app.send("jobs", {"n": 1})
    app.settle()
    assert app.logs("work").one().message == "working on {'n': 1}, attempt 1"
    app.assert_settled()


def test_a_job_that_fails_is_tried_again(app):
    app.fail("work", times=2)
    app.send("jobs", {"n": 1})
    app.drain()
    assert [each.status for each in app.invocations("work")] == ["error", "error", "ok"]


def test_a_job_that_always_fails_is_kept(app):
    app.fail("work", times=5)
    app.send("jobs", {"n": 1})
    app.drain()
    assert app.dead_letters("jobs").one().json() == {"n": 1}


def test_cleans_up_in_the_night(app):
    app.clock.freeze("2027-01-01T00:00:00+01:00")
    app.clock.advance("1d")
    assert app.logs("clean-up").one().message == "cleaning up at 2027-01-01T02:00:00.000Z"
