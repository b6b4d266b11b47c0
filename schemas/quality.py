"""Events about the quality gate of a dataset."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.envelope import EventData

RuleSeverity = Literal["warn", "drop", "quarantine", "fail"]


class RuleResult(BaseModel):
    """What one rule found. `failed_rows` counts rows, or is 1 for a failed rule over the whole table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name of the rule, as in config/datasets.yaml")
    severity: RuleSeverity = Field(description="What becomes of rows that break it")
    expression: str = Field(description="SQL expression that must hold")
    failed_rows: int = Field(ge=0, description="Rows that broke it; 1 for a failed rule over the whole table")


class _QualityChecked(EventData):
    topic: ClassVar[str] = "lab.quality"

    dataset: str = Field(description="Name of the dataset, as in config/datasets.yaml")
    table: str = Field(description="Location of the table that was checked")
    run_id: str | None = Field(default=None, description="Prefect flow run; none outside Prefect")
    source_uri: str = Field(description="URI of the file whose rows were checked")
    rows_checked: int = Field(ge=0, description="Rows that were checked")
    rows_failed: int = Field(ge=0, description="Rows that broke at least one rule")
    rules: list[RuleResult] = Field(description="What each rule found")
    report_uri: str | None = Field(
        default=None, description="Where the run puts its report with charts, if it makes one"
    )
    replay: bool = Field(
        default=False, description="Whether the rows were in quarantine, and were judged again by the rules of now"
    )

    def subject(self) -> str:
        return self.dataset


class QualityPassed(_QualityChecked):
    """Every rule of severity quarantine or fail held."""

    type: ClassVar[str] = "lab.quality.passed.v1"


class QualityFailed(_QualityChecked):
    """At least one rule of severity quarantine or fail did not hold."""

    type: ClassVar[str] = "lab.quality.failed.v1"
