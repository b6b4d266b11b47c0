"""docs/seed-map.md: no claim without its place and its test, and nothing named there that does not exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "seed-map.md"
HEADINGS = ("claim", "where it lives", "test")
_TEST = re.compile(r"`([^`:]+\.py)::(\w+)`")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
# Sections of the guide, and of the tutorial in its second half, with how many claims each has at least.
SECTIONS = {
    "Overview and architecture": 12,
    "Medallion ETL": 9,
    "Real-time monitoring": 7,
    "MLOps training": 8,
    "Data lake maintenance": 8,
    "Use": 10,
    "Configuration": 5,
    "Monitoring": 11,
    "Alerts and notifications": 9,
    "Troubleshooting and logs": 9,
    "Resources and contributing": 9,
    "Tutorial: concepts": 6,
    "Tutorial: medallion": 7,
    "Tutorial: notifications, parallelism, integrations": 5,
    "Tutorial: observability, practices, trouble": 13,
}


def tables() -> dict[str, list[list[str]]]:
    """The rows below each heading, each as its cells."""
    found: dict[str, list[list[str]]] = {}
    for section in PAGE.read_text("utf-8").split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        lines = [line for line in body.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]
        assert [cell.strip() for cell in cells[0]] == list(HEADINGS), title
        found[title] = cells[2:]
    return found


ROWS = [(title, row) for title, rows in tables().items() for row in rows]


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_section_of_the_guide_is_there() -> None:
    rows = {title: len(found) for title, found in tables().items()}
    assert set(rows) == set(SECTIONS)
    assert {title: number for title, number in rows.items() if number < SECTIONS[title]} == {}


def test_no_claim_stands_twice() -> None:
    claims = [row[0] for _, row in ROWS]
    assert {claim for claim in claims if claims.count(claim) > 1 and "Mean duration" not in claim} == set()


@pytest.mark.parametrize(("section", "row"), ROWS, ids=lambda value: value[0][:60] if isinstance(value, list) else "")
def test_each_claim_has_its_place_and_its_test(section: str, row: list[str]) -> None:
    assert len(row) == len(HEADINGS), f"{section}: {row}"
    assert all(row), f"{section}: an empty cell in {row}"
    assert _LINK.search(row[1]), f"{section}: {row[0]}: no place is linked"
    tests = _TEST.findall(row[2])
    assert tests, f"{section}: {row[0]}: no test is named"
    assert _TEST.sub("", row[2]).strip(" ,") == "", f"{section}: {row[0]}: a test is `file::function`"
    for file, function in tests:
        assert (ROOT / file).is_file(), f"{section}: {row[0]}: there is no {file}"
        assert function.startswith("test_"), function
        assert function in functions(file), f"{section}: {row[0]}: {file} has no {function}"


def test_every_file_that_is_linked_exists() -> None:
    links = _LINK.findall(PAGE.read_text("utf-8"))
    assert len(links) > 100
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_the_version_of_prefect_that_the_page_names_is_the_locked_one() -> None:
    locked = re.search(r"^prefect==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.M)
    assert locked
    assert f"Prefect {locked[1]}, by hash" in PAGE.read_text("utf-8")
