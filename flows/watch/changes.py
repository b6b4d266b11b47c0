"""What a look changes: which checks began to fail, which pass again, which are to be remembered. Pure.

What was known before comes from the topic itself (`memory`). A failing check is announced when it begins to fail, and
again once a day under the same `since`: the topic forgets after a week, and a trouble that it forgot could not be
ended. Whoever watches the topic takes that for a repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from flows.watch.findings import Check, Subject

REMIND_AFTER = timedelta(days=1)
GONE = "is no longer looked at"


class Kind(StrEnum):
    """What is announced about a check."""

    DEGRADED = "degraded"
    STILL_DEGRADED = "still degraded"
    RECOVERED = "recovered"


@dataclass(frozen=True)
class Known:
    """The newest event about a subject: whether it fails, since when, when that was said, and whether by us."""

    failing: bool
    since: datetime
    said_at: datetime
    ours: bool = True


@dataclass(frozen=True)
class Change:
    """One event to publish. Its identity follows from the subject and the beginning of its trouble."""

    kind: Kind
    subject: Subject
    reason: str
    since: datetime
    reminder: int = 0

    @property
    def identity(self) -> tuple[str, ...]:
        """The same for a repeat, and for nothing else."""
        begun = self.since.astimezone(UTC).isoformat()
        number = (str(self.reminder),) if self.kind is Kind.STILL_DEGRADED else ()
        return (*self.subject, begun, *number)


def changes(
    checks: Iterable[Check], known: Mapping[Subject, Known], now: datetime, *, unseen: frozenset[str]
) -> list[Change]:
    """What differs from what is known. A failing check of ours that is no longer made (of a table that was dropped, a
    service that is no longer there) has ended; `unseen` names the services of which not every check could be made."""
    made = {check.subject: check for check in checks}
    found = [_change(check, known.get(check.subject), now) for check in made.values()]
    gone = [
        Change(Kind.RECOVERED, subject, GONE, before.since)
        for subject, before in known.items()
        if before.failing and before.ours and subject not in made and subject.service not in unseen
    ]
    return [change for change in found if change is not None] + gone


def _change(check: Check, before: Known | None, now: datetime) -> Change | None:
    failing_before = before is not None and before.failing
    if check.reason is None:
        return (
            Change(Kind.RECOVERED, check.subject, "passes again", before.since) if before and failing_before else None
        )
    if before is None or not failing_before:
        return Change(Kind.DEGRADED, check.subject, check.reason, now)
    if now - before.said_at < REMIND_AFTER:
        return None
    day = (now - before.since) // REMIND_AFTER
    return Change(Kind.STILL_DEGRADED, check.subject, check.reason, before.since, day)
