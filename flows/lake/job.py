"""What all steps of a run of the ETL share: the dataset, its tables, Spark and the event behind the run."""

from __future__ import annotations

from pathlib import Path

from flows.lake.datasets import Dataset
from flows.lake.session import SparkConnection
from flows.lake.staging import StagedFile
from flows.lake.tables import Lake, Table
from flows.trace import Trace


class Job:
    """Not a dataclass: Prefect would walk through all of it for each task."""

    def __init__(
        self,
        dataset: Dataset,
        lake: Lake,
        spark: SparkConnection,
        trace: Trace,
        *,
        kafka: str,
        with_rules: bool,
        min_rows: int,
    ) -> None:
        self.dataset, self.lake, self.spark, self.trace = dataset, lake, spark, trace
        self.kafka, self.with_rules, self.min_rows = kafka, with_rules, min_rows

    def table(self, layer: str, name: str | None = None) -> Table:
        return self.lake.table(layer, name or self.dataset.name)

    def size_with(self, staged: StagedFile) -> int | None:
        """Bytes that a step reads which joins the file with Silver; None if unknown."""
        silver = self.table("silver").size_bytes()
        return None if silver is None else silver + staged.size_bytes

    @property
    def staging(self) -> Path:
        return self.lake.work / "staging" / self.dataset.name

    def report_path(self, staged: StagedFile) -> Path:
        """Where the report of an ingestion is, whichever run makes it."""
        return self.lake.home / "reports" / "medallion" / self.dataset.name / f"{staged.ingest_id}.html"

    def lineage_path(self, staged: StagedFile) -> Path:
        """Where the lineage events of an ingestion are, whichever run makes them."""
        return self.lake.home / "lineage" / self.dataset.name / f"{staged.ingest_id}.jsonl"
