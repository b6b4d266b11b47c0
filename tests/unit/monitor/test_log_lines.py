"""The last lines of a run's log: which are kept, and what is cut out of them."""

from __future__ import annotations

from services.monitor.log_lines import last_lines


def record(second: int, message: str) -> dict[str, str]:
    return {"timestamp": f"2026-03-02T09:00:{second:02}.123456Z", "message": message}


def test_the_newest_lines_come_last_with_their_time() -> None:
    found = [record(2, "Finished in state Failed"), record(1, "Traceback:\n\n  File x\nValueError: no rows")]
    assert last_lines(found).splitlines() == [
        "09:00:01 Traceback:",
        "09:00:01   File x",
        "09:00:01 ValueError: no rows",
        "09:00:02 Finished in state Failed",
    ]


def test_ten_lines_at_most_and_long_ones_are_cut() -> None:
    lines = last_lines([record(2, "x" * 900), *[record(1, f"line {n}") for n in reversed(range(30))]]).splitlines()
    assert len(lines) == 10
    assert lines[0] == "09:00:01 line 21"
    assert len(lines[-1]) == 200
    assert len(last_lines([record(1, f"{n}" * 190) for n in range(10)])) <= 1500
    assert last_lines([]) == ""


def test_secrets_are_cut_out() -> None:
    said = (
        "postgresql://lab:hunter2@db/lab Authorization: Bearer abc.def.ghi whsec_c2VjcmV0c2VjcmV0 "
        "password=hunter2 AWS_SECRET_ACCESS_KEY: hunter2 {'api_key': 'hunter2'} token = hunter2; rows=12"
    )
    shown = last_lines([record(1, said)])
    for secret in ("hunter2", "abc.def", "c2Vjc"):
        assert secret not in shown, shown
    assert shown.endswith("rows=12")
