"""Health of the topics: whether each of the lab's exists with its partitions, what it holds, who lags behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from datalab.bus.inspection import BusView, GroupLag, TopicView, inspect_bus
from flows.watch.findings import Check, Measurement, Subject
from flows.watch.services import KAFKA
from schemas.catalog import TopicSpec, topics
from schemas.metrics import TOPIC_LAG, TOPIC_OLDEST_UNREAD, TOPIC_RECENT, TOPIC_RECORDS, TOPIC_SIZE

# One check more than there are topics: whether they could be looked at at all.
TOPICS = Subject(KAFKA, "topics")


@dataclass(frozen=True)
class TopicsHealth:
    """The bus as it was seen; None if it could not be, which `checks` then says."""

    view: BusView | None
    checks: tuple[Check, ...]

    def measurements(self, now: datetime) -> list[Measurement]:
        """Records of each topic, in all and of the last hour, and its bytes; of each group on each of its topics how
        far it is behind, in records and in time."""
        return [] if self.view is None else list(_measured(self.view, now))


def _measured(view: BusView, now: datetime) -> Iterator[Measurement]:
    for topic in view.topics.values():
        yield Measurement(topic.name, TOPIC_RECORDS, topic.records, "1")
        yield Measurement(topic.name, TOPIC_RECENT, topic.recent, "1")
        if topic.size_bytes is not None:
            yield Measurement(topic.name, TOPIC_SIZE, topic.size_bytes, "By")
    for lag in view.groups:
        yield Measurement(lag.topic, TOPIC_LAG, lag.lag, "1", lag.group)
        if lag.lag == 0 or lag.oldest_unread is not None:
            yield Measurement(lag.topic, TOPIC_OLDEST_UNREAD, unread_s(lag, now) or 0.0, "s", lag.group)


def unread_s(lag: GroupLag, now: datetime) -> float | None:
    """Seconds since the oldest unread record was stored; None if nothing is unread, or nobody knows."""
    return None if lag.oldest_unread is None else max(0.0, (now - lag.oldest_unread).total_seconds())


async def look_at_topics(bootstrap: str, *, deadline_s: float) -> TopicsHealth:
    """All topics and groups; a broker that is away is a check that fails."""
    try:
        view = await inspect_bus(bootstrap, deadline_s=deadline_s)
    except (ConnectionError, TimeoutError) as error:
        return TopicsHealth(None, (Check(TOPICS, str(error)),))
    return TopicsHealth(view, (Check(TOPICS), *(judge(spec, view.topics.get(spec.name)) for spec in topics())))


def judge(spec: TopicSpec, seen: TopicView | None) -> Check:
    """A topic against what `schemas/topics.yaml` says of it. More partitions than it says are no fault."""
    subject = Subject(KAFKA, f"topic {spec.name}")
    if seen is None:
        return Check(subject, "the topic does not exist; `datalab up` creates what is missing")
    if seen.leaderless:
        return Check(subject, f"no leader for partition {', '.join(map(str, seen.leaderless))}")
    if seen.size < spec.partitions:
        return Check(subject, f"has {seen.size} of {spec.partitions} partitions; `datalab up` adds what is missing")
    return Check(subject)
