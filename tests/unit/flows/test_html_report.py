"""The layout of reports: everything is escaped, nothing is loaded, and a report is there whole or not at all."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows import charts, html_report
from flows.html_report import Section, badge, cards, code, page, save, svg, table

EVIL = '<script>alert("1")</script> 🎉 $a_{b & ação\' {{ 7*7 }}'


class _Tags(HTMLParser):
    def __init__(self, document: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.text = ""
        self.references: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.references += [v or "" for k, v in attrs if k in {"src", "href", "xlink:href", "action", "data"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def _evil_page() -> str:
    figures = [
        charts.bars({EVIL: 3}),
        charts.lines([date(2024, 1, 1), date(2024, 2, 1)], {EVIL: [1, None], "b": [2, 3]}),
        charts.stacked([EVIL], {EVIL: [1.0]}),
    ]
    blocks = [table((EVIL,), [(EVIL,)]), cards([(EVIL, EVIL, "bad")]), badge(EVIL, "warn"), code(EVIL), EVIL]
    section = Section(EVIL, *blocks, *(svg(figure, label=EVIL) for figure in figures), note=EVIL)
    return page(EVIL, [section], kind=EVIL, verdict=("good", EVIL), lead=EVIL, facts={EVIL: EVIL})


@pytest.mark.filterwarnings("error")
def test_whatever_a_text_holds_it_stays_text() -> None:
    tags = _Tags(_evil_page())
    assert "script" not in tags.names
    assert tags.names.count("svg") == 3
    # Not counted: the charts, which shorten.
    assert tags.text.count(EVIL) >= 12


def test_nothing_is_loaded_from_anywhere() -> None:
    document = _evil_page()
    assert "default-src 'none'" in document
    assert all(reference.startswith("#") for reference in _Tags(document).references)
    assert not re.findall(r"url\((?!#)|@import|<link", document)


def test_the_same_values_make_the_same_report_with_no_id_twice() -> None:
    document = _evil_page()
    assert document == _evil_page()
    groups = re.findall(r'<g id="([^"]*)"', document)
    assert groups == []


def test_numbers_are_readable_and_absence_is_seen() -> None:
    made = str(table(("n", "x"), [(1234567, None), (True, 0.123456)]))
    assert '<td class="number">1,234,567</td>' in made
    assert "–" in made
    assert "0.1235" in made
    assert ">yes<" in made
    assert table(("n",), [], empty="no rows") == "<p>no rows</p>"


def test_a_report_is_written_whole_or_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a b" / "report.html"
    assert save(path, "old").read_text() == "old"

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(html_report.Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        save(path, "new")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    assert path.read_text() == "old"


def test_importing_it_does_not_import_matplotlib() -> None:
    code_ = "import sys, flows.html_report, flows.charts; print('matplotlib' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code_], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
