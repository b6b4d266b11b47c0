"""The quarantine audit on real Delta tables, Kafka and Prefect: what it counts, shows and measures, without Spark."""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from prefect import tags
from prefect.client.orchestration import get_client
from prefect.exceptions import ParameterTypeError

from datalab.bus.reader import read_events
from datalab.runtime.settings import PROJECT_ROOT
from flows import quarantine_audit_flow
from flows.lake.errors import AnnouncementError, DatasetError, LakeError
from flows.lake.locks import dataset_lock
from flows.quarantine_audit_flow import quarantine_audit
from tests.integration.flows.conftest import LakeView

START = datetime(2024, 5, 6, tzinfo=UTC)
A, B = "file:///landing/stocks/a%C3%A7%C3%A3o%7C.csv", "file:///landing/stocks/b.csv"


def put_away(lake: LakeView, source: str, *rules: list[str], raw: str = '{"symbol":"AAPL"}') -> None:
    """Records in the quarantine, each with the rules that it broke."""
    records: list[dict[str, Any]] = [
        {
            "raw_record": raw,
            "failed_rules": broken,
            "fault": "more or fewer fields than the header" if "well_formed" in broken else None,
            "_source_file": source,
            "_ingest_id": f"ingest of {source}",
            "_row_number": number,
        }
        for number, broken in enumerate(rules, start=1)
    ]
    _append(lake.root / "quarantine" / "stocks", records)


def note(lake: LakeView, source: str, outcome: str, rows: int, quarantined: int, day: int) -> None:
    line = {"source_uri": source, "outcome": outcome, "rows_in": rows, "quarantined": quarantined}
    _append(lake.root / "ledger" / "stocks", [{"finished_at": START + timedelta(days=day), **line}])


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(str(path), pa.Table.from_pylist(rows), mode="append", schema_mode="merge")


async def markdown(key: str) -> str:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    async with get_client() as client:
        [newest, *_] = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC, limit=1
        )
    return str(newest.data)


async def test_it_counts_and_shows_every_reason_of_one_file(sparkless_lake: LakeView, kafka_bootstrap: str) -> None:
    put_away(sparkless_lake, A, ["prices_positive"], ["prices_positive", "well_formed"], ["prices_positive"])
    put_away(sparkless_lake, B, ["high_not_below_low"], ["gone_rule"], raw='{"note":"```\\n| x"}')
    note(sparkless_lake, B, "complete", 200, 2, day=1)
    note(sparkless_lake, A, "complete", 30, 3, day=2)

    with tags("datalab.event=event-q", "datalab.correlation=chain-q"):
        found = quarantine_audit("stocks", A)
    assert (found["rows"], found["rows_in_all"], found["by_source"]) == (3, 5, {A: 3})
    assert found["by_rule"] == {"prices_positive": 3, "well_formed": 1}
    page = await markdown("quarantine-stocks")
    assert "3 rows of `stocks` from `file:///landing/stocks/ação|.csv` are in quarantine" in page
    assert "| `prices_positive` | 3 | `open > 0 AND high > 0 AND low > 0 AND close > 0` |" in page
    assert "Row 2 of `ação\\|.csv` broke `prices_positive`, `well_formed` (`more or fewer fields" in page
    assert page.index("2024-05-08") < page.index("2024-05-07")
    assert "| 30 | 3 | 10.0 % |" in page
    assert "gone_rule" not in page

    of_all = quarantine_audit("stocks", sample=2)
    assert (of_all["rows"], of_all["by_source"]) == (5, {A: 3, B: 2})
    page = await markdown("quarantine-stocks")
    assert "## 2 of 5 records" in page
    assert "| `gone_rule` | 1 | a rule of an earlier definition |" in page
    # One measurement: both audits saw the same version of the table.
    measured = [
        event
        async for _, event in read_events(kafka_bootstrap, ["lab.metrics"])
        if event.data["name"] == "quarantine.rows" and event.correlationid == "chain-q"
    ]
    assert [(e.data["of"], e.data["value"], e.causationid) for e in measured] == [("stocks", 5.0, "event-q")]


async def test_the_sample_shows_each_combination_of_broken_rules_and_cannot_break_the_page(
    sparkless_lake: LakeView,
) -> None:
    raw = '{"note":"```` <script>"}' + "x" * 3000
    put_away(sparkless_lake, A, *[["date_valid"]] * 500, ["well_formed"], ["date_valid", "open_valid"], raw=raw)
    quarantine_audit("stocks", A, sample=3)
    page = await markdown("quarantine-stocks")
    assert {f"Row {n} of" in page for n in (1, 501, 502)} == {True}
    assert page.count("\n`````json\n") == 3
    assert "3,024 characters)" in page
    assert quarantine_audit("stocks", A, sample=0)["rows"] == 502
    assert "## 0 of 502 records" in await markdown("quarantine-stocks")


@pytest.mark.parametrize("source", [None, A])
async def test_no_quarantine_is_a_plain_statement(sparkless_lake: LakeView, source: str | None) -> None:
    found = quarantine_audit("stocks", source)
    assert (found["rows"], found["table_version"]) == (0, None)
    assert found["statement"].startswith("No row of `stocks`")
    assert found["statement"] in await markdown("quarantine-stocks")


def test_a_refused_file_is_told_from_one_without_faults(sparkless_lake: LakeView) -> None:
    put_away(sparkless_lake, B, ["date_valid"])
    note(sparkless_lake, A, "refused", 5, 0, day=1)
    assert "the whole file was refused" in quarantine_audit("stocks", A)["statement"]
    assert quarantine_audit("stocks", "file:///never/seen.csv")["statement"].endswith("is in quarantine.")


def test_what_cannot_be_audited_is_said_plainly(sparkless_lake: LakeView, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match=r"unknown dataset 'nope'; known datasets: eventos, stocks"):
        quarantine_audit("nope")
    with pytest.raises(ParameterTypeError, match="sample"):
        quarantine_audit("stocks", sample=-1)
    nothing: Any = None
    with pytest.raises(ParameterTypeError, match="dataset"):
        quarantine_audit(nothing)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(AnnouncementError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        quarantine_audit("stocks")
    monkeypatch.setenv("LAKE_ROOT", "hdfs://lake")
    with pytest.raises(LakeError, match="LAKE_ROOT=hdfs://lake: tables are read on a local disk and in S3 stores only"):
        quarantine_audit("stocks")


def test_it_waits_for_the_run_that_is_still_writing(sparkless_lake: LakeView, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event of the gate comes before the rows are in quarantine."""
    waiting = threading.Event()

    def tell_when_it_waits(*arguments: Any, wait_s: float, say: Any) -> Any:
        return dataset_lock(*arguments, wait_s=wait_s, say=lambda _: waiting.set())

    monkeypatch.setattr(quarantine_audit_flow, "dataset_lock", tell_when_it_waits)
    found: list[dict[str, Any]] = []
    context = contextvars.copy_context()  # with the address of the Prefect server
    audit = threading.Thread(target=context.run, args=(lambda: found.append(quarantine_audit("stocks", A)),))
    with dataset_lock(sparkless_lake.root / "_work" / "locks", "stocks", wait_s=1, say=print):
        audit.start()
        assert waiting.wait(60)
        put_away(sparkless_lake, A, ["date_valid"])
        assert found == []
    audit.join(60)
    assert found[0]["rows"] == 1


def test_it_runs_as_a_plain_call_from_inside_flows_and_needs_no_spark(
    sparkless_lake: LakeView, prefect_api_url: str
) -> None:
    put_away(sparkless_lake, A, ["date_valid"])
    code = (
        "import sys; from quarantine_audit_flow import quarantine_audit; "
        "print(quarantine_audit('stocks')['rows'], 'pyspark' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT / "flows",
        env={**os.environ, "PREFECT_API_URL": prefect_api_url},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert answer.stdout.split() == ["1", "False"]
