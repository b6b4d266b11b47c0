"""Whether the stream gets on, by what it has handled and what Kafka holds. Pure: the caller brings the facts.

faust can stand still without an error: a rebalance that does not end, a fetcher that died, a record dropped on the
way. So nothing here asks faust how it is; it compares offsets. A stream that has stalled is not repaired but ended:
all state is in Postgres and the committed offsets, so a new process goes on where this one stood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Partition = tuple[str, int]
_PATIENCE_S = 10.0  # what readiness allows before it speaks up


@dataclass
class Progress:
    """What one process has done with its partitions. Times are monotonic seconds."""

    stall_s: float
    now: Callable[[], float]
    _generation: int | None = None
    _next: dict[Partition, int] = field(default_factory=dict)
    _ends: dict[Partition, int] = field(default_factory=dict)
    _begun: dict[Partition, int] = field(default_factory=dict)  # ahead of `_next` by what is under way
    # Batches that wait or are under way, by partition and last offset: the first one, and since when.
    _handling: dict[tuple[Partition, int], tuple[int, float]] = field(default_factory=dict)
    _waiting_since: float | None = None
    _answered: float = 0.0
    _joined: bool = False
    _since: float = 0.0
    _has_ever_joined: bool = False
    _lost: str | None = None

    def __post_init__(self) -> None:
        self._answered = self._since = self.now()

    def assigned(self, generation: int, positions: Mapping[Partition, int]) -> None:
        """The group gave us these partitions; each goes on at its position."""
        if generation != self._generation:
            self._begin(generation)
        for partition in set(self._next) - set(positions):
            del self._next[partition]
        for partition, position in positions.items():
            self._next.setdefault(partition, position)
        self._joined = self._has_ever_joined = True

    def knows(self, generation: int) -> bool:
        """Whether the positions of this generation are known."""
        return self._joined and generation == self._generation

    def begin(self, partition: Partition, offsets: Sequence[int], generation: int) -> bool:
        """Records are about to be handled; False if they must not be, because one before or among them is missing."""
        if generation != self._generation:
            self._begin(generation)
        expected = max(self._begun.get(partition, 0), self._next.get(partition, offsets[0]))
        for offset in offsets:
            if offset > expected:
                self._lost = f"{partition[0]}[{partition[1]}]: records {expected} to {offset - 1} never came"
                return False
            expected = max(expected, offset + 1)
        self._begun[partition] = expected
        self._handling[partition, offsets[-1]] = (offsets[0], self.now())
        return True

    def done(self, partition: Partition, offset: int) -> None:
        """The effects of all records up to this one are durable."""
        if (
            partition in self._next or not self._joined
        ):  # else another member's by now, and its offset not ours to commit
            self._next[partition] = max(self._next.get(partition, 0), offset + 1)
        self._handling.pop((partition, offset), None)
        self._waiting_since = self.now() if any(self.lag().values()) else None

    def ends(self, ends: Mapping[Partition, int]) -> None:
        """Kafka answered: where each partition ends now."""
        self._answered = self.now()
        self._ends = dict(ends)
        if not any(self.lag().values()):
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = self.now()

    def committable(self) -> dict[Partition, int]:
        """The next offset of each partition, all before it handled."""
        return dict(self._next)

    def lag(self) -> dict[Partition, int]:
        """Records between the last one handled and the end."""
        return {p: max(0, end - self._next[p]) for p, end in self._ends.items() if p in self._next}

    def caught_up(self, topic: str) -> bool:
        """Whether all that Kafka held of the topic, when it was asked last, is handled. A partition that another
        member has is its business."""
        ours = [partition for partition in self._next if partition[0] == topic]
        return self._joined and all(p in self._ends and self._ends[p] <= self._next[p] for p in ours)

    def stalled(self, *, broker_answers: bool) -> str | None:
        """None, or why only a new process helps. With the broker away, waiting helps; nothing is stalled."""
        now = self.now()
        if self._lost is not None:
            return self._lost
        if not broker_answers:
            self._answered = self._since = now
            self._waiting_since = None
            return None
        # The first time may take long: the whole lab starts at once, or the group waits for a member that died.
        limit = self.stall_s if self._has_ever_joined else 4 * self.stall_s
        if now - self._answered > limit:
            return f"the stream's consumer does not answer since {now - self._answered:.0f} s, though Kafka does"
        if not self._joined and now - self._since > limit:
            return f"has not joined its group for {now - self._since:.0f} s"
        return self._standstill(self.stall_s)

    def unready(self) -> str | None:
        """None, or why the stream does not get on just now."""
        now = self.now()
        if self._lost is not None:
            return self._lost
        if not self._joined:
            return "has not joined its group yet"
        if now - self._answered > _PATIENCE_S:
            return f"no answer from Kafka for {now - self._answered:.0f} s"
        for ((topic, number), _), (offset, since) in self._handling.items():
            if now - since > _PATIENCE_S:
                return f"stuck on {topic}[{number}]@{offset} for {now - since:.0f} s"
        return self._standstill(_PATIENCE_S)

    def _standstill(self, limit_s: float) -> str | None:
        """Records wait, none is being handled, and none was for this long."""
        if self._waiting_since is None or self._handling:
            return None
        idle = self.now() - self._waiting_since
        if idle <= limit_s:
            return None
        return f"{sum(self.lag().values())} records wait and none was handled for {idle:.0f} s"

    def _begin(self, generation: int) -> None:
        """Another member may have handled any partition meanwhile: forget where they stood."""
        self._generation = generation
        self._next.clear()
        self._ends.clear()
        self._begun.clear()
        self._handling.clear()
        self._waiting_since = None
        self._joined, self._since = False, self.now()
