"""kill -9 under load, a few times; ``python -m tests.dev.kills`` does it 200 times."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dev.kills import Evidence, Note, execute, judge, summary

KILLS = int(os.environ.get("KILLS", "10"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="descendants are found in /proc")
def test_kill_at_random_moments_loses_and_repeats_nothing(tmp_path: Path) -> None:
    found = execute(tmp_path, KILLS, 4, clients=4, pause=0.01)
    print(summary(found, 4))
    assert judge(found) == []
    # It was under load, of every kind, and there was something to be lost or repeated.
    assert sum(found.kills[what] for what in ("dev", "all", "worker")) >= KILLS - 2
    assert all(found.acknowledged.values()), summary(found, 4)
    assert {what for what, _, _ in found.commits} == {"settled", "done", "answered", "succeeded"}
    begun = [note.id for note in found.notes if note.what == "begin"]
    assert len(begun) > len(set(begun)), "nothing was killed while it was at work"


def evidence() -> Evidence:
    """One of each kind, done once."""
    found = Evidence()
    for kind, n, function, id_ in (
        ("queue", 1, "work", "m1"),
        ("ordered", 2, "step", "m2"),
        ("ordered", 3, "step", "m3"),
        ("outbox", 4, "pay", "m4"),
        ("run", 5, "first", "r/one!1"),
        ("run", 5, "first", "r/left!1"),
        ("run", 5, "second", "r/right!1"),
        ("run", 5, "second", "r/two!1"),
    ):
        found.asked[n] = found.acknowledged[kind][n] = float(n)
        at = 10.0 + n
        found.notes += [Note("begin", function, id_, n, at, 1), Note("end", function, id_, n, at + 0.1, 1)]
    found.keys.update({2: "k", 3: "k"})
    found.rows.add(4)
    found.runs[5] = "succeeded"
    found.commits.update(
        {
            ("settled", "queue/jobs", "m1"): 11.2,
            ("done", "work", "m1"): 11.15,
            ("done", "pay", "m4"): 14.15,
            ("done", "second", "r/two"): 15.15,
            ("succeeded", "r", "one"): 15.2,
            ("answered", "r", "one!1"): 15.2,
        }
    )
    return found


def without(function: str, n: int) -> Callable[[Evidence], None]:
    def edit(found: Evidence) -> None:
        found.notes = [note for note in found.notes if (note.function, note.n) != (function, n)]

    return edit


def again(function: str, id_: str, n: int, at: float) -> Callable[[Evidence], None]:
    return lambda found: found.notes.append(Note("begin", function, id_, n, at, 2))


def swapped(found: Evidence) -> None:
    found.notes.insert(0, Note("begin", "step", "m3", 3, 11.0, 2))


def test_a_clean_record_is_clean() -> None:
    assert judge(evidence()) == []
    repeated = evidence()
    again("work", "m1", 1, 11.14)(repeated)
    assert judge(repeated) == [], "a begin before the commit is what at least once means"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without("work", 1), "lost: queue 1"),
        (without("pay", 4), "lost: order 4"),
        (without("second", 5), "lost: run 5"),
        (lambda found: found.rows.clear(), "order 4 was not committed"),
        (lambda found: found.runs.clear(), "lost: run 5 was acknowledged, and is not there"),
        (lambda found: found.runs.update({5: "failed"}), "run 5 is failed"),
        (again("work", "m1", 1, 11.17), "began m1 (1) 0.020 s after it was done"),
        (again("work", "m1", 1, 11.25), "after it was settled"),
        (again("pay", "m4", 4, 20.0), "after it was done"),
        (again("first", "r/one!1", 5, 16.0), "after it was answered"),
        (again("first", "r/one!2", 5, 16.0), "after it was succeeded"),
        (again("second", "r/two!2", 5, 16.0), "after it was done"),
        (swapped, "out of order: 3 of k"),
        (lambda found: setattr(found, "dead", 1), "1 dead letters"),
    ],
)
def test_what_is_broken_is_seen(edit: Callable[[Evidence], None], said: str) -> None:
    found = evidence()
    edit(found)
    assert any(said in problem for problem in judge(found)), judge(found)
