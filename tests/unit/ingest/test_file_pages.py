"""The pages on files and objects: both languages say the same, and name what exists."""

from __future__ import annotations

import re

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from services.ingest.settings import IngestSettings

PAGES = [PROJECT_ROOT / "docs/operations" / name for name in ("files-and-s3.md", "files-and-s3.pt-BR.md")]
NOT_OURS = {"VGW_EVENT_KAFKA_URL", "VGW_EVENT_KAFKA_TOPIC"}


def code(page: int) -> list[str]:
    """Every line of code and every piece of it in a sentence, without comments."""
    text = PAGES[page].read_text("utf-8")
    blocks = re.findall(r"```\w+\n(.*?)```", text, re.S)
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.S))
    return sorted({line.split("#")[0].strip() for block in blocks for line in block.splitlines()} | set(inline))


def test_both_languages_have_the_same_code_and_sections() -> None:
    assert code(0) == code(1)
    assert [page.read_text("utf-8").count("\n## ") for page in PAGES] == [4, 4]


@pytest.mark.parametrize("page", [0, 1])
def test_every_variable_is_one_that_ingest_reads(page: int) -> None:
    read = {name.upper() for name in IngestSettings.model_fields}
    named = {word for piece in code(page) for word in re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", piece)}
    assert named - NOT_OURS <= read
    assert {"INGEST_S3_BUCKETS", "INGEST_S3_IGNORED_BUCKETS", "S3_SECRET_ACCESS_KEY"} <= named


@pytest.mark.parametrize("page", [0, 1])
def test_what_it_quotes_from_logs_and_reasons_is_written_there(page: int) -> None:
    written = "".join(path.read_text("utf-8") for path in (PROJECT_ROOT / "services/ingest").rglob("*.py"))
    written += (PROJECT_ROOT / "datalab/bus/consumer.py").read_text("utf-8")
    quotes = {"landing.unwatched", "event.retry", "bucket.unlistable", "does not answer", "does not let us read"}
    quotes |= {"unknown extension", "no dataset", "not JSON"}
    text = PAGES[page].read_text("utf-8")
    for quote in quotes:
        assert f"{quote}`" in text
        assert quote in written
