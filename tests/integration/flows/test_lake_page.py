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
from flows.lake.errors import BatchError, DatasetError
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


def test_the_hook_of_the_page_replaces_a_column_before_rules_and_keys(
    lake: LakeView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = [block(page, "python", "def transform") for page in PAGES]
    assert [[line for line in hook.splitlines() if '"""' not in line] for hook in hooks[1:]] == [
        [line for line in hooks[0].splitlines() if '"""' not in line]
    ]
    config = tmp_path / "config"
    shutil.copytree(PROJECT_ROOT / "config", config)
    (config / "transforms").mkdir()
    hook = config / "transforms" / "vendas.py"
    with (config / "datasets.yaml").open("a", encoding="utf-8") as file:
        file.write("\n" + block(PAGES[0], "yaml", "vendas:") + "  transform: transforms/vendas.py\n")
    monkeypatch.setenv("DATALAB_CONFIG_DIR", str(config))
    landing = tmp_path / "landing" / "vendas"
    landing.mkdir(parents=True)
    (landing / "a.csv").write_text("loja;dia;valor\nloja centro;2026-01-02;10,50\ncentro;2026-01-02;11,50\n")
    with pytest.raises(DatasetError, match=r"transform: .*vendas.py: No such file"):
        medallion_etl_pipeline(str(landing), min_rows_threshold=1)
    for text, said in (("x = 1", r"vendas.py: has no function transform\(columns, functions\)"),
                       ("def transform(columns, functions): return {'bairro': columns['loja']}",
                        "vendas.py: transform returns 'bairro', which is no column of dataset 'vendas'"),
                       ("def transform(columns, functions): return columns['nada']",
                        "vendas.py: transform failed: KeyError: 'nada'")):  # fmt: skip
        hook.write_text(text)
        with pytest.raises(BatchError, match=said):
            medallion_etl_pipeline(str(landing), min_rows_threshold=1)
        assert not lake.has("bronze/vendas")
    hook.write_text(hooks[0])
    [loaded] = medallion_etl_pipeline(str(landing), min_rows_threshold=1)["files"]
    assert (loaded["books"]["silver"], loaded["books"]["duplicates"]) == (1, 1)
    assert [(row["loja"], str(row["valor"])) for row in lake.rows("silver/vendas")] == [("CENTRO", "11.50")]
    assert {row["loja"] for row in lake.rows("bronze/vendas")} == {"loja centro", "centro"}
