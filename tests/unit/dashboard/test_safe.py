"""What others wrote stays text wherever it is put."""

from __future__ import annotations

import csv
import io

import pytest

from services.dashboard.safe import cell, code, link, one_line, plain
from services.dashboard.views.history import to_csv
from tests.unit.dashboard.answers import HOSTILE


def test_every_sign_that_markdown_reads_is_escaped() -> None:
    escaped = plain(HOSTILE)
    for sign in "<>[]()*`:$=":
        assert escaped.count(sign) == escaped.count(f"\\{sign}"), sign
    assert escaped.replace("\\", "") == HOSTILE


@pytest.mark.parametrize("text", ["a`b", "``", "`x", "x`", "a ``` b"])
def test_code_cannot_be_left_from_within(text: str) -> None:
    shown = code(text)
    fence = shown[: len(shown) - len(shown.lstrip("`"))]
    assert shown == f"{fence} {text} {fence}"
    assert fence not in text


def test_lines_are_joined() -> None:
    assert one_line("a\r\n# b\x00\u2028c") == "a # b c"
    assert code("") == "` `"


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@SUM(A1)", "\t=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-5", "+1.5", "plain", 3, -2.5])
def test_numbers_and_words_stay(value: object) -> None:
    assert cell(value) == str(value)


def test_nothing_is_an_empty_cell() -> None:
    assert cell(None) == ""
    assert next(csv.reader(io.StringIO(to_csv([]).decode("utf-8-sig"))))[0] == "run_id"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil", "", None, " http://x"])
def test_a_browser_is_sent_nowhere_but_to_http(url: str | None) -> None:
    assert link(url) is None


def test_links_to_pages_stay() -> None:
    assert link("https://prefect/runs") == "https://prefect/runs"
