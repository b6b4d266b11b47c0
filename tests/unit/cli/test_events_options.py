"""What people may write on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from datalab.cli.publish import _payload
from datalab.cli.times import since

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("now", NOW),
        ("beginning", None),
        ("10m", NOW - timedelta(minutes=10)),
        ("2d", NOW - timedelta(days=2)),
        ("2026-03-02T09:00:00-03:00", NOW),
    ],
)
def test_a_start_may_be_a_word_a_span_or_a_time(text: str, time: datetime | None) -> None:
    assert since(text, NOW) == time


@pytest.mark.parametrize("text", ["", "10", "10x", "yesterday", "-5m"])
def test_another_start_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--from"):
        since(text, NOW)


def test_a_payload_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('{"a": "ç"}', "utf-8")

    assert _payload(f"@{path}") == _payload('{"a": "ç"}') == {"a": "ç"}


@pytest.mark.parametrize("data", ["", "{", "@/nowhere/at/all.json", "stocks.json"])
def test_a_payload_that_is_no_json_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match="--data"):
        _payload(data)


def test_a_payload_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        _payload(f"@{path}")
