"""Events about tables of the lake."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.envelope import EventData


class DatasetUpdated(EventData):
    """A layer of a dataset has a new version. Row counts are of this run, not of the table."""

    type: ClassVar[str] = "lab.dataset.updated.v1"
    topic: ClassVar[str] = "lab.datasets"

    dataset: str = Field(description="Name of the dataset, as in config/datasets.yaml")
    layer: Literal["bronze", "silver", "gold"] = Field(description="Layer of the lake that was written")
    table: str = Field(description="Location of the Delta table")
    version: int = Field(ge=0, description="Delta version that this run wrote or found")
    run_id: str | None = Field(default=None, description="Prefect flow run; none outside Prefect")
    source_uri: str | None = Field(default=None, description="URI of the file whose rows these are; none if of several")
    rows_in: int = Field(ge=0, description="Rows that the run read for this layer")
    rows_written: int = Field(ge=0, description="Rows that the run wrote into this layer")
    rows_quarantined: int = Field(default=0, ge=0, description="Rows put into the quarantine, each with its reason")
    rows_duplicate: int = Field(default=0, ge=0, description="Rows left out because the same row was there")

    def subject(self) -> str:
        return self.dataset
