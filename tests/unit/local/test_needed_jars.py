"""Jars that only some labs need are fetched only for those."""

from __future__ import annotations

import pytest

from datalab.local.needed_jars import needed_jars


@pytest.mark.parametrize(("lake_root", "sets"), [
    (None, {"kafka", "delta"}),
    ("/data/lake", {"kafka", "delta"}),
    ("s3://lake/main", {"kafka", "delta", "s3"}),
    ("s3a://lake/main", {"kafka", "delta", "s3"}),
])  # fmt: skip
def test_the_jars_of_s3_are_for_a_lake_in_s3(lake_root: str | None, sets: set[str]) -> None:
    environ = {"LAKE_ROOT": lake_root} if lake_root else {}
    assert {jar.set for jar in needed_jars(environ).jars} == sets
