"""Events about tables of the lake."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.envelope import EventData


class DatasetUpdated(EventData):
    """A layer of a dataset has a new version. Row counts are of this run, not of the table."""

    type: ClassVar[str] = "lab.dataset.updated.v1"
    topic: ClassVar[str] = "lab.datasets"

    dataset: str
    layer: Literal["bronze", "silver", "gold"]
    table: str = Field(description="Location of the Delta table")
    version: int = Field(ge=0, description="Delta version that this run wrote or found")
    run_id: str | None = None
    source_uri: str | None = None
    rows_in: int = Field(ge=0)
    rows_written: int = Field(ge=0)
    rows_quarantined: int = Field(default=0, ge=0)
    rows_duplicate: int = Field(default=0, ge=0)

    def subject(self) -> str:
        return self.dataset
