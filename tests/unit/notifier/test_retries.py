"""What follows an attempt, and what an HTTP answer means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.notifier.delivery import Result
from services.notifier.retries import Dead, Delivered, Retry, decide, judge, retry_after_seconds
from services.notifier.settings import NotifierSettings

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SCHEDULE = (5.0, 30.0, 120.0)


def even() -> float:
    return 1.0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Delivered), (202, Delivered), (204, Delivered), (301, Dead), (307, Dead), (400, Dead), (401, Dead),
        (404, Dead), (408, Retry), (410, Dead), (413, Dead), (425, Retry), (429, Retry), (500, Retry), (503, Retry),
    ],
)  # fmt: skip
def test_what_each_status_leads_to(status: int, kind: type) -> None:
    assert isinstance(decide(judge(status, retry_after=None, text="", now=NOW), 1, SCHEDULE, even), kind)


def test_gone_is_told_apart() -> None:
    assert judge(410, retry_after=None, text="", now=NOW).gone
    assert not judge(404, retry_after=None, text="", now=NOW).gone


def test_the_waits_grow_and_end_with_a_reason() -> None:
    failed = Result(False, "HTTP 503", 503)
    assert [decide(failed, tries, SCHEDULE, even) for tries in (1, 2, 3, 4)] == [
        Retry(5.0),
        Retry(30.0),
        Retry(120.0),
        Dead("gave up after 4 attempts: HTTP 503"),
    ]


def test_the_receivers_own_wish_comes_first() -> None:
    assert decide(Result(False, "busy", 429, retry_after_s=77.0), 1, SCHEDULE, even) == Retry(77.0)
    assert decide(Result(False, "busy", 429, retry_after_s=0.0), 1, SCHEDULE, even) == Retry(1.0)
    assert decide(Result(False, "busy", 429, retry_after_s=1e9), 1, SCHEDULE, even) == Retry(86_400.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Tue, 24 Nov 2026 12:01:30 GMT", 90.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        (None, None),
    ],
)
def test_retry_after_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_the_default_schedule_lasts_for_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFIER_RETRY_S", raising=False)
    schedule = NotifierSettings(_env_file=None).notifier_retry_s
    assert schedule[:7] == (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
    assert sum(schedule) > 48 * 3600 * 0.8
