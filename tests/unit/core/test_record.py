"""The light records behave as the standard library's frozen dataclasses."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from typing import Any

import pytest

from portafaas import record
from portafaas.plan import BuildPlan, FunctionPlan, HttpTrigger, Retry


def define(dataclass: Any, field: Any) -> Any:
    @dataclass(frozen=True, slots=True)
    class Point:
        """A point."""

        x: int
        y: int = 2
        tags: dict[str, int] = field(default_factory=dict)
        secret: str = field(repr=False, default_factory=str)

        @property
        def total(self) -> int:
            return self.x + self.y

    return Point


@pytest.fixture(params=["light", "standard"])
def point(request: pytest.FixtureRequest) -> Any:
    if request.param == "light":
        return define(record.dataclass, record.field)
    return define(dataclasses.dataclass, dataclasses.field)


def test_making_comparing_and_showing(point: Any) -> None:
    one = point(1, tags={})
    assert (one.x, one.y, one.tags, one.secret, one.total) == (1, 2, {}, "", 3)
    assert one == point(x=1) != point(1, 3)
    assert one != (1, 2, {}, "") and point.__doc__ == "A point."
    assert repr(one).endswith(".Point(x=1, y=2, tags={})")
    assert point(1).tags is not one.tags, "a default is shared"
    assert not hasattr(one, "__dict__")
    match one:
        case point(x, y):
            assert (x, y) == (1, 2)


def test_hashes(point: Any) -> None:
    assert len({point(1, 2, ()), point(1, 2, ()), point(2, 2, ())}) == 2
    with pytest.raises(TypeError):
        hash(point(1))  # a dict inside


@pytest.mark.parametrize("name", ["x", "other"])
def test_frozen(point: Any, name: str) -> None:
    one = point(1)
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        setattr(one, name, 5)
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        delattr(one, name)
    assert one.x == 1


@pytest.mark.parametrize(
    ("args", "given"),
    [((), {}), ((1, 2, {}, "", 5), {}), ((1,), {"x": 1}), ((1,), {"z": 1})],
)
def test_wrong_values(point: Any, args: Any, given: Any) -> None:
    with pytest.raises(TypeError):
        point(*args, **given)


def test_the_standard_librarys_tools_work(point: Any) -> None:
    one: Any = point(1)
    known: bool = dataclasses.is_dataclass(point)
    assert known
    assert [field.name for field in dataclasses.fields(point)] == ["x", "y", "tags", "secret"]
    assert dataclasses.replace(one, y=9) == point(1, 9)
    assert dataclasses.astuple(one) == (1, 2, {}, "")
    assert dataclasses.asdict(one) == {"x": 1, "y": 2, "tags": {}, "secret": ""}
    assert copy.deepcopy(one) == copy.copy(one) == one


def test_a_plan_can_be_pickled() -> None:
    function = FunctionPlan("a", "m", "f", HttpTrigger(("GET",), "/"), retry=Retry(attempts=2))
    plan = BuildPlan("s", "", "3.12", "x86_64", (function,))
    assert pickle.loads(pickle.dumps(plan)) == plan
    with pytest.raises(TypeError, match="knows no"):
        record.field(compare=False)
    with pytest.raises(TypeError, match="frozen"):
        record.dataclass(frozen=False, slots=True)


def test_defining_them_does_not_import_dataclasses() -> None:
    code = "import sys, portafaas.plan.model; sys.exit('dataclasses' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
