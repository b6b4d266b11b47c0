"""One look at everything: its checks, its measurements, and what could not be seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flows.watch.findings import Check, Measurement
from flows.watch.planning import PlanningHealth
from flows.watch.services import KAFKA, Health
from flows.watch.tables import LAKE, LakeHealth
from flows.watch.topics import TopicsHealth


class Look:
    """What was seen at a time. Not a dataclass: Prefect would walk through all of it for each task."""

    def __init__(
        self,
        at: datetime,
        services: Sequence[Health],
        lake: LakeHealth,
        topics: TopicsHealth,
        planning: PlanningHealth | None = None,
        volumes: Sequence[Measurement] = (),
    ) -> None:
        self.at, self.services, self.lake, self.topics = at, services, lake, topics
        self.planning, self.volumes = planning, volumes

    @property
    def checks(self) -> list[Check]:
        """Every check that was made."""
        planning = [self.planning.check] if self.planning else []
        return [*(health.check for health in self.services), *self.topics.checks, *self.lake.checks, *planning]

    @property
    def findings(self) -> list[Check]:
        """The checks that fail."""
        return [check for check in self.checks if check.reason is not None]

    @property
    def unseen(self) -> frozenset[str]:
        """Services of which some checks could not be made, so that nothing can be said of these."""
        hidden = {LAKE} if not self.lake.is_whole else set()
        return frozenset(hidden | ({KAFKA} if self.topics.view is None else set()))

    @property
    def measurements(self) -> list[Measurement]:
        """Every value, each once per thing."""
        return [
            *(figure for health in self.services for figure in health.figures),
            *(figure for table in self.lake.tables for figure in table.measurements(self.at)),
            *self.topics.measurements(self.at),
            *(self.planning.figures if self.planning else ()),
            *self.volumes,
        ]
