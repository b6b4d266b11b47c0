"""The page about publishing, run as it stands: each command and program in it, one after the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from tests.support.processes import running_ingest

PAGES = PROJECT_ROOT / "docs" / "operations"
README = PROJECT_ROOT / "services" / "ingest" / "README.md"
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in _BLOCK.finditer(page.read_text("utf-8"))]


@pytest.fixture(scope="module")
def environ(
    kafka_bootstrap: str, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "DATABASE_URL": database_url,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NO_PROXY": "*",
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    home = tmp_path_factory.mktemp("ingest")
    with running_ingest(home, settings) as (url, _):
        yield {**settings, "DATALAB_HOME": str(home), "INGEST_URL": url}


def run(block: tuple[str, str], environ: dict[str, str], folder: Path) -> str:
    kind, text = block
    here = text.replace("localhost:8081", environ["INGEST_URL"].removeprefix("http://"))
    command = ["bash", "-euo", "pipefail", "-c", here] if kind == "sh" else [sys.executable, "-c", here]
    done = subprocess.run(
        command, env={**os.environ, **environ}, cwd=folder, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, (text, done.stdout, done.stderr)
    return done.stdout


def test_every_command_of_the_page_does_what_it_says(environ: dict[str, str], tmp_path: Path) -> None:
    said = [run(block, environ, tmp_path) for block in blocks(PAGES / "publishing.md")]

    assert [json.loads(answer)["id"] for answer in said[:2]] == ["e1", "e2"]
    assert json.loads(said[2])["accepted"] == 2
    assert json.loads(said[3])["topic"] == "lab.metrics"
    assert '"version":1' in said[4]
    assert '"topic":"lab.events.shop.order.placed.v1"' in said[4]
    assert "3 published, 0 refused" in said[6]
    assert "lab.metrics[" in said[7]
    assert "shop is revoked" in said[8]
    # Again: what has a key publishes nothing, what has none publishes again, and the schema is no new version.
    assert run(blocks(PAGES / "publishing.md")[3], environ, tmp_path) == said[3]
    assert '"version":1' in run(blocks(PAGES / "publishing.md")[4], environ, tmp_path)


def test_the_examples_of_the_readme_run(environ: dict[str, str], tmp_path: Path) -> None:
    found = blocks(README)
    assert found
    for block in found:
        run(block, environ, tmp_path)


def test_both_languages_show_the_same_commands() -> None:
    assert blocks(PAGES / "publishing.md") == blocks(PAGES / "publishing.pt-BR.md")
    assert len(blocks(PAGES / "publishing.md")) == 9
