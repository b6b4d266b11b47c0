"""What is left to do for a run of the lake that was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.config import FlowSettings
from flows.lake.locks import work_of_run
from flows.lake.session import end_work
from flows.lake.tables import Lake

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State


def end_spark_work(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook, called by Prefect with arguments of these names: Spark stops what it is doing for the run.

    A run that ends by itself has closed its session; one that was killed has not, and Spark would go on.
    """
    settings = FlowSettings()
    if settings.spark_remote is None:  # then Spark was in the run's own process
        return
    lake = Lake(settings.lake_root, settings.datalab_home)
    for work in work_of_run(lake.work / "locks", str(flow_run.id)):
        end_work(settings.spark_remote, work)
