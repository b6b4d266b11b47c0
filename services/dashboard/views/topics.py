"""A topic with the groups that read it, as one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.dashboard.answers.monitor import GroupLag, Topics
from services.dashboard.language import NOTHING, Phrases


@dataclass(frozen=True)
class TopicLine:
    """`lag` is that of the group which is furthest behind; None if no group reads the topic."""

    topic: str
    records: float | None
    size_bytes: float | None
    lag: float | None
    groups: Sequence[GroupLag]
    measured_at: datetime | None

    def by_group(self, phrases: Phrases) -> str:
        """Every group with its lag, the furthest behind first."""
        return ", ".join(f"{group.group} {phrases.number(group.lag)}" for group in self.groups) or NOTHING


def topic_lines(topics: Topics) -> list[TopicLine]:
    """One line a topic, in the order of their names."""
    return [
        TopicLine(
            topic=topic.topic,
            records=topic.records,
            size_bytes=topic.size_bytes,
            lag=max((group.lag for group in topic.groups if group.lag is not None), default=None),
            groups=sorted(topic.groups, key=lambda group: (-(group.lag or 0), group.group)),
            measured_at=topic.measured_at,
        )
        for topic in sorted(topics.topics, key=lambda topic: topic.topic)
    ]
