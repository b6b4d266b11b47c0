"""Both languages say everything, and write values in their own way."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from schemas.catalog import EVENT_TYPES
from services.dashboard.language import NOTHING, Phrases, phrases, words

PACKAGE = Path(__file__).resolve().parents[3] / "services" / "dashboard"
ZONE = ZoneInfo("America/Sao_Paulo")
EN, PT = phrases("en", ZONE), phrases("pt", ZONE)


def names(text: str) -> list[str]:
    return sorted(re.findall(r"{(\w+)}", text))


def test_both_languages_have_the_same_texts_with_the_same_names() -> None:
    assert words("en").keys() == words("pt").keys()
    for key, text in words("en").items():
        assert names(text) == names(words("pt")[key]), key
        assert text.strip(), key


def test_every_text_that_the_code_asks_for_exists() -> None:
    asked = {
        key
        for file in PACKAGE.rglob("*.py")
        for key in re.findall(r"""(?:words|phrases)\(\s*"([\w.\-]+)\"""", file.read_text("utf-8"))
    }
    assert len(asked) > 60
    assert asked <= words("en").keys()


def test_every_event_type_has_a_name() -> None:
    assert {f"event.{type_}" for type_ in EVENT_TYPES} <= words("en").keys()


def test_a_value_without_a_word_is_shown_as_it_is() -> None:
    assert EN.name("event", "my.own.type.v1") == "my.own.type.v1"
    with pytest.raises(KeyError):
        EN("no.such.text")


@pytest.mark.parametrize(
    ("value", "digits", "english", "portuguese"),
    [(1234567.891, 2, "1,234,567.89", "1.234.567,89"), (12, 0, "12", "12"), (-1234.5, 1, "-1,234.5", "-1.234,5")],
)
def test_numbers(value: float, digits: int, english: str, portuguese: str) -> None:
    assert (EN.number(value, digits), PT.number(value, digits)) == (english, portuguese)


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.9999, "99.9 %"), (0.5, "50.0 %"), (0.985, "98.5 %"), (1.5, "150.0 %")],
)
def test_only_all_is_a_hundred_percent(share: float, shown: str) -> None:
    assert EN.percent(share) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 s"),
        (9.994, "9.99 s"),
        (59.9, "59.9 s"),
        (59.99, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7260, "2 h 01 min"),
        (100_000, "1.2 days"),
    ],
)
def test_spans(seconds: float, shown: str) -> None:
    assert EN.span(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(3600.0, "3,600"), (0.05, "0.05"), (0.0, "0"), (1e-20, "1e-20"), (31536000.0, "31,536,000")]
)
def test_amounts_have_no_more_digits_than_they_need(value: float, shown: str) -> None:
    assert EN.amount(value) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1,023 B"), (2048, "2 KiB"), (210e6, "200 MiB"), (5e9, "4.7 GiB")]
)
def test_sizes(count: float, shown: str) -> None:
    assert EN.size(count) == shown


def test_times_are_in_the_zone_and_in_the_order_of_the_language() -> None:
    at = datetime(2026, 3, 2, 1, 30, 5, tzinfo=UTC)
    assert (EN.time(at), PT.time(at)) == ("2026-03-01 22:30:05", "01/03/2026 22:30:05")
    assert EN.ago(at, at + timedelta(seconds=125)) == "2 min 05 s ago"
    assert PT.ago(at, at - timedelta(hours=1)) == "há 0,00 s", "clocks differ; nothing lies in the future"


def test_a_state_is_called_by_its_word_unless_its_name_says_more() -> None:
    assert (EN.state("Completed", "COMPLETED"), PT.state("Completed", "COMPLETED")) == ("Completed", "Concluída")
    assert PT.state("AwaitingRetry", "SCHEDULED") == "AwaitingRetry"


def test_what_is_not_known_is_a_dash() -> None:
    forms = (EN.number, EN.percent, EN.span, EN.size, EN.time)
    assert [form(None) for form in forms] == [NOTHING] * len(forms)
    assert isinstance(EN, Phrases)
