"""docs/lake.md, done as it says by somebody who has a lab and no code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.medallion_etl_flow import medallion_etl_pipeline
from tests.integration.flows.conftest import LakeView

PAGES = ("docs/lake.md", "docs/lake.pt-BR.md")


def block(page: str, kind: str, word: str) -> str:
    """The first code block of the page that holds the word."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", (PROJECT_ROOT / page).read_text("utf-8"), re.M | re.S)
    return textwrap.dedent(next(text for language, text in found if language == kind and word in text))


@pytest.mark.parametrize("page", PAGES)
def test_the_dataset_of_the_page_reaches_gold_and_its_bad_row_quarantine(
    page: str, lake: LakeView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    shutil.copytree(PROJECT_ROOT / "config", config)
    with (config / "datasets.yaml").open("a", encoding="utf-8") as file:
        file.write("\n" + block(page, "yaml", "vendas:"))
    monkeypatch.setenv("DATALAB_CONFIG_DIR", str(config))
    make, put, trigger = block(page, "", "printf").splitlines()
    for line in (make, put):
        subprocess.run(["bash", "-ec", line], cwd=tmp_path, check=True)
    assert "--param source_path=.datalab/landing/vendas --param min_rows_threshold=1" in trigger
    medallion_etl_pipeline(str(tmp_path / ".datalab/landing/vendas"), min_rows_threshold=1)
    [silver] = lake.rows("silver/vendas")
    assert (silver["loja"], str(silver["valor"])) == ("CENTRO", "10.50")
    assert [list(row["failed_rules"]) for row in lake.rows("quarantine/vendas")] == [["valor_positive"]]
    [gold] = lake.rows("gold/vendas_por_mes")
    assert (str(gold["mes"]), str(gold["total"]), gold["dias"]) == ("2026-01-01", "10.50", 1)
    [lineage] = (lake.root.parent / "lineage" / "vendas").glob("*.jsonl")
    steps = [json.loads(line) for line in lineage.read_text("utf-8").splitlines()]
    assert [step["outputs"][0]["name"].removeprefix(f"{lake.root}/") for step in steps] == [
        "bronze/vendas",
        "silver/vendas",
        "gold/vendas_por_mes",
    ]
