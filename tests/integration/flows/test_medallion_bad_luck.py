"""The ETL when something is away, its report, and its call from inside flows/: plain words, nothing half-written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import psutil
import pytest
from deltalake import DeltaTable
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.exceptions import ParameterTypeError

from datalab.bus.reader import read_events
from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.state import LabState
from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.errors import AnnouncementError, ReportError, SparkUnavailableError, StorageFullError
from flows.lake.session import SparkConnection
from flows.medallion_etl_flow import medallion_etl_pipeline
from tests.integration.flows.conftest import LakeView

FewStocks = Callable[..., str]


async def test_without_kafka_the_run_fails_in_plain_words_and_the_next_one_goes_on(
    lake: LakeView, few_stocks: FewStocks, monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str
) -> None:
    path = lake.put("a.csv", few_stocks())
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    state = medallion_etl_pipeline(str(path), min_rows_threshold=1, return_state=True)
    assert state.is_failed()
    assert "no Kafka broker answers at 127.0.0.1:1" in str(state.message)
    assert "nothing is done twice" in str(state.message)
    with pytest.raises(AnnouncementError):
        await state.aresult()
    assert {name: len(rows) for name, rows in lake.content().items()} == {"bronze/stocks": 60}
    assert list((lake.root / "_work" / "staging").iterdir()) == []

    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    [loaded] = medallion_etl_pipeline(str(lake.landing), min_rows_threshold=1)["files"]
    assert loaded["books"]["silver"] == 60
    assert len(lake.rows("bronze/stocks")) == 60
    events = [e async for _, e in read_events(kafka_bootstrap, ["lab.datasets"])]
    assert sum(e.data.get("source_uri") == path.as_uri() for e in events) == 3


def test_without_spark_the_run_fails_in_plain_words(sparkless_lake: LakeView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    monkeypatch.setenv("DATALAB_SPARK_WAIT_S", "0.2")
    path = sparkless_lake.put("a.csv", "symbol,date\nA,2024-01-01\n")
    state = medallion_etl_pipeline(str(path), return_state=True)
    assert state.is_failed()
    assert "Spark Connect at 127.0.0.1:1 has not answered" in str(state.message)
    with pytest.raises(SparkUnavailableError):
        medallion_etl_pipeline(str(sparkless_lake.landing))
    assert sparkless_lake.content() == {}
    assert list((sparkless_lake.root / "_work" / "staging").glob("*/*")) == []


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"source_path": 7, "min_rows_threshold": "many"}, "min_rows_threshold"),
        ({"source_path": ["a"]}, "source_path"),
        ({"source_path": "a", "enable_quality_checks": "perhaps"}, "enable_quality_checks"),
    ],
)
def test_a_wrong_type_is_named(sparkless_lake: LakeView, parameters: dict[str, object], name: str) -> None:
    with pytest.raises(ParameterTypeError, match=name):
        medallion_etl_pipeline(**parameters)
    assert sparkless_lake.content() == {}


def artifact(key: str) -> str:
    with get_client(sync_client=True) as client:
        [newest, *_] = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC, limit=1
        )
    return str(newest.data)


def test_the_report_is_kept_linked_and_tells_of_earlier_runs(
    lake: LakeView, few_stocks: FewStocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = medallion_etl_pipeline(str(lake.put("first.csv", few_stocks(0, 50))), min_rows_threshold=1)
    odd = lake.put("<b>$odd.csv", few_stocks(40, 40) + "AAPL,,1,1,1,1,1,1\n")
    second = medallion_etl_pipeline(str(odd), min_rows_threshold=1)
    page = Path(second["report"])
    assert page == lake.root.parent / "reports" / "medallion" / "stocks" / f"{second['ingest_id']}.html"
    html = page.read_text("utf-8")
    assert html.count("<svg") == 5  # rows, rules, prices, volume, trend
    assert "41 = 40 in Silver + 1 in quarantine" in html
    assert "first.csv" in html
    assert "&lt;b&gt;$odd.csv" in html
    assert "<b>$odd" not in html
    assert "Closing price at the end of each month" in html
    assert page.as_uri() in artifact("medallion-stocks")
    assert page.as_uri() in artifact("medallion-stocks-report")
    assert Path(first["report"]).exists()
    # Again: the same name, and no line of the past twice.
    assert medallion_etl_pipeline(str(odd), min_rows_threshold=1)["report"] == str(page)
    assert len(re.findall("first.csv", page.read_text())) == 1
    assert "The last 2 ingestions" in page.read_text()

    # Without a place for the report the run fails and says so; the next one makes it.
    with monkeypatch.context() as patch:
        (lake.root.parent / "blocked").write_text("a file where a directory should be")
        patch.setenv("DATALAB_HOME", str(lake.root.parent / "blocked"))
        patch.setenv("LAKE_ROOT", str(lake.root))
        with pytest.raises(ReportError, match="cannot be written"):
            medallion_etl_pipeline(str(lake.put("third.csv", few_stocks(90, 5))), min_rows_threshold=1)
    [third] = medallion_etl_pipeline(str(lake.landing), min_rows_threshold=1)["files"]
    assert Path(third["report"]).exists()


def test_the_guides_call_works_from_inside_flows(lake: LakeView, stocks_csv: str, prefect_api_url: str) -> None:
    path = lake.put("guide.csv", stocks_csv)
    code = (
        "from medallion_etl_flow import medallion_etl_pipeline\n"
        f"result = medallion_etl_pipeline(source_path={str(path)!r}, enable_quality_checks=True)\n"
        "print('books', result['books']['silver'])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT / "flows",
        env={**os.environ, "PREFECT_API_URL": prefect_api_url},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split()[-2:] == ["books", "12154"]


def test_a_disk_that_takes_no_more_fails_the_run_and_the_next_one_goes_on(
    lake: LakeView, few_stocks: FewStocks, spark_lab: LabState
) -> None:
    """A limit on the size of what Spark writes stands for the full disk: the kernel refuses the same writes."""
    medallion_etl_pipeline(str(lake.put("a.csv", few_stocks(0, 30))), min_rows_threshold=1)
    before = lake.content()
    path = lake.put("b.csv", few_stocks(30, 30))
    lab = running(LabLayout.at(Path(spark_lab.home)))  # another test may have killed the server that it began with
    assert lab is not None
    spark = psutil.Process(lab.parts["spark"].pid)
    _, most = spark.rlimit(psutil.RLIMIT_FSIZE)
    spark.rlimit(psutil.RLIMIT_FSIZE, (2000, most))
    try:
        with pytest.raises(StorageFullError, match=r"File too large\. Make room there, .* nothing is done twice"):
            medallion_etl_pipeline(str(path), min_rows_threshold=1)
    finally:
        spark.rlimit(psutil.RLIMIT_FSIZE, (most, most))
    assert lake.content() == before
    assert medallion_etl_pipeline(str(lake.landing), min_rows_threshold=1)["rows_in"] == 30
    assert {name: len(lake.rows(name)) for name in ("bronze/stocks", "silver/stocks")} == {
        "bronze/stocks": 60,
        "silver/stocks": 60,
    }


def test_files_are_merged_by_others_again_and_again_while_runs_merge_rows(
    lake: LakeView, few_stocks: FewStocks, spark_remote: str
) -> None:
    # All of one year: two that add a small file to its partition, and one that writes over rows of all.
    files = [lake.put(f"{n}.csv", few_stocks(*part)) for n, part in enumerate([(0, 40), (40, 40), (80, 40), (20, 80)])]
    medallion_etl_pipeline(str(files[0]), min_rows_threshold=1)
    over, said = Event(), list[str]()

    def optimise() -> None:
        """What no lock of ours keeps away: somebody else's OPTIMIZE."""
        others = SparkConnection(remote=spark_remote, master=None, wait_s=30, say=said.append)
        while not over.is_set():
            try:
                with others.session() as spark:
                    spark.sql(f"OPTIMIZE delta.`{lake.root}/silver/stocks`").collect()
            except Exception as error:  # the run was faster: Delta lets one of two win
                said.append(str(error))
        others.close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(optimise)
        try:
            for file in files[1:]:
                medallion_etl_pipeline(str(file), min_rows_threshold=1)
        finally:
            over.set()
        done.result()
    assert [line for line in said if "CONCURRENT" not in line.upper()] == []
    operations = [commit["operation"] for commit in DeltaTable(str(lake.root / "silver" / "stocks")).history()]
    assert "OPTIMIZE" in operations
    rows = sorted(lake.rows("silver/stocks"), key=lambda row: row["date"])
    assert len({row["date"] for row in rows}) == len(rows) == 120
    newest = [row["_ingest_id"] for row in rows]
    assert [len(set(newest[part])) for part in (slice(20), slice(20, 100), slice(100, 120))] == [1, 1, 1]
    assert len(set(newest)) == 3
