"""`make faults-lake`: every fault of the lake. Prints a table and, last, one JSON object with the keys cases, failed,
seconds; writes `bench/results/faults-lake.json`. Exits with 1 if a case failed, or a fault has none.

`--only TEXT` runs the faults whose name holds this.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest

from bench.harness import RESULTS, machine
from tests.faults.lake.faults import FAULTS


class Outcomes:
    """What pytest reports of each test: whether all of its phases passed, and how long they took."""

    def __init__(self) -> None:
        self.passed: dict[str, bool] = {}
        self.seconds = defaultdict[str, float](float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test that was skipped has shown nothing.
        self.passed[report.nodeid] = self.passed.get(report.nodeid, True) and report.passed
        self.seconds[report.nodeid] += report.duration

    def of(self, asked: tuple[str, ...]) -> list[str]:
        """The tests that one of these asks for."""
        return [test for test in self.passed if any(_is_of(test, name) for name in asked)]


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="faults whose name holds this")
    only = parser.parse_args().only
    chosen = {fault: tests for fault, tests in FAULTS.items() if only in fault}
    outcomes, begun = Outcomes(), time.monotonic()
    asked = dict.fromkeys(test for tests in chosen.values() for test in tests)
    code = pytest.main(["-v", "-p", "no:cacheprovider", *asked], plugins=[outcomes])
    found = [line_of(fault, tests, outcomes) for fault, tests in chosen.items()]
    summary = {
        "cases": len(outcomes.passed),
        "failed": sum(not passed for passed in outcomes.passed.values()),
        "seconds": round(time.monotonic() - begun),
    }
    _report(found, summary, kept=not only)
    return 0 if code == pytest.ExitCode.OK and all(line["cases"] and not line["failed"] for line in found) else 1


def line_of(fault: str, tests: tuple[str, ...], outcomes: Outcomes) -> dict[str, Any]:
    """What came of a fault: how many cases, which failed, and how long they took."""
    cases = outcomes.of(tests)
    failed = [case for case in cases if not outcomes.passed[case]]
    return {
        "fault": fault,
        "cases": len(cases),
        "failed": failed,
        "seconds": round(sum(outcomes.seconds[case] for case in cases)),
    }


def _is_of(test: str, asked: str) -> bool:
    """`FILE::TEST[parameters]` is of `FILE`, and of `FILE::TEST`."""
    return test == asked or test.startswith((f"{asked}::", f"{asked}["))


def _report(found: list[dict[str, Any]], summary: dict[str, int], *, kept: bool) -> None:
    print()
    for line in found:
        said = "NOT RUN" if not line["cases"] else f"{len(line['failed'])} FAILED" if line["failed"] else "passed"
        print(f"{line['fault']:<75}{line['cases']:>4} cases{line['seconds']:>6} s  {said}")
    if kept:
        result = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), **summary}
        (RESULTS / "faults-lake.json").write_text(json.dumps({**result, "faults": found}, indent=1) + "\n", "utf-8")
    print(json.dumps(summary))


if __name__ == "__main__":
    sys.exit(main())
