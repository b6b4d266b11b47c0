"""Which finished deliveries are to be sent again, and the statement that makes them due. Runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from services.notifier.delivery import UNREPORTED
from services.notifier.planned import UNROUTED

# Spread over the time to come, so that a receiver that is back after days is not run over; one that has named a rate
# itself gets no more than that.
REPLAY = text("""
WITH chosen AS (
  SELECT id, subscription_id, row_number() OVER (ORDER BY seq) - 1 AS place
  FROM notifier_deliveries WHERE status <> 'pending' AND channel <> CAST(:unrouted AS text)
    AND (CAST(:id AS text) IS NULL OR id = CAST(:id AS text))
    AND (CAST(:subscription_id AS text) IS NULL OR subscription_id = CAST(:subscription_id AS text))
    AND (CAST(:target AS text) IS NULL OR target = CAST(:target AS text))
    AND (CAST(:statuses AS text[]) IS NULL OR status = ANY(CAST(:statuses AS text[])))
    AND (CAST(:since AS timestamptz) IS NULL OR created_at >= CAST(:since AS timestamptz))
    AND (CAST(:until AS timestamptz) IS NULL OR created_at < CAST(:until AS timestamptz))
)
UPDATE notifier_deliveries d SET status = 'pending', reason = NULL, status_code = NULL, finished_at = NULL,
  held = NULL, carried_by = NULL, claimed_until = NULL, attempts_before = attempts,
  outcome_published = event_type ~ CAST(:unreported AS text),
  next_attempt_at = now() + make_interval(
    secs => chosen.place * greatest(CAST(:gap_s AS float8), 60.0 / s.allowed_per_min))
FROM chosen LEFT JOIN notifier_subscriptions s ON s.id = chosen.subscription_id
WHERE d.id = chosen.id AND d.status <> 'pending'
RETURNING d.id
""")


@dataclass(frozen=True)
class Which:
    """Finished deliveries: one by its id, or those that fit all that is given. Times are of when they became due."""

    id: str | None = None
    subscription_id: str | None = None
    target: str | None = None
    statuses: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """For the statement."""
        return {
            "id": self.id,
            "subscription_id": self.subscription_id,
            "target": self.target,
            "statuses": None if self.statuses is None else list(self.statuses),
            "since": self.since,
            "until": self.until,
            "unrouted": UNROUTED,
            "unreported": "^(" + "|".join(prefix.replace(".", r"\.") for prefix in UNREPORTED) + ")",
        }
