"""`make faults-lake` asks for tests that are there, and says what came of each fault."""

from __future__ import annotations

import ast

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from tests.faults.lake.__main__ import Outcomes, line_of
from tests.faults.lake.faults import FAULTS


@pytest.mark.parametrize("asked", sorted({test for tests in FAULTS.values() for test in tests}))
def test_what_is_asked_for_is_there(asked: str) -> None:
    file, _, name = asked.partition("::")
    defined = {getattr(node, "name", "") for node in ast.parse((PROJECT_ROOT / file).read_text("utf-8")).body}
    assert name in defined if name else any(found.startswith("test_") for found in defined)


def test_a_fault_fails_with_any_of_its_cases_and_without_any() -> None:
    outcomes = Outcomes()
    outcomes.passed = {"a.py::test_x[1]": True, "a.py::test_x[2]": False, "a.py::test_xy": True, "b.py::test_z": True}
    outcomes.seconds.update({"a.py::test_x[1]": 1.4, "a.py::test_x[2]": 2.2, "b.py::test_z": 9.0})
    assert line_of("x", ("a.py::test_x",), outcomes) == {
        "fault": "x",
        "cases": 2,
        "failed": ["a.py::test_x[2]"],
        "seconds": 4,
    }
    assert line_of("z", ("b.py", "a.py::test_xy"), outcomes)["failed"] == []
    assert line_of("none", ("a.py::test",), outcomes)["cases"] == 0
