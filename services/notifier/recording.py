"""The statement that records what came of many attempts at once. Runs nothing.

A row is changed only while its claim holds: a claim raises `attempts`, so that number is its token. Rows are locked in
the order of their ids, so that two instances never wait for each other in a ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from services.notifier.retries import Attempted, Dead, Delivered, Retry, Suppressed

# A suppressed delivery was not sent: it has no attempt to log.
RECORD = text("""
WITH given AS (
  SELECT * FROM unnest(
    CAST(:ids AS text[]), CAST(:attempts AS int[]), CAST(:statuses AS text[]), CAST(:waits AS float8[]),
    CAST(:codes AS int[]), CAST(:reasons AS text[]), CAST(:outcomes AS text[]), CAST(:durations AS int[])
  ) AS g(id, attempt, status, wait_s, status_code, reason, outcome, duration_ms)
), locked AS (
  SELECT d.id FROM notifier_deliveries d JOIN given g USING (id)
  WHERE d.status = 'pending' AND d.attempts = g.attempt ORDER BY d.id FOR UPDATE OF d
), held AS (
  UPDATE notifier_deliveries d SET
    status = g.status, reason = g.reason, status_code = g.status_code, claimed_until = NULL,
    next_attempt_at = CASE WHEN g.status = 'pending' THEN now() + make_interval(secs => g.wait_s)
                           ELSE d.next_attempt_at END,
    finished_at = CASE WHEN g.status <> 'pending' THEN now() END
  FROM given g JOIN locked USING (id) WHERE d.id = g.id
  RETURNING d.id
), logged AS (
  INSERT INTO notifier_attempts (delivery_id, attempt, outcome, status_code, reason, duration_ms)
  SELECT g.id, g.attempt, g.outcome, g.status_code, g.reason, g.duration_ms FROM given g JOIN held USING (id)
  WHERE g.outcome <> 'suppressed'
)
SELECT id FROM held
""")


def record_parameters(attempted: Sequence[Attempted]) -> dict[str, list[Any]]:
    """The columns of these attempts."""
    after = [_after(one) for one in attempted]
    return {
        "ids": [one.delivery.id for one in attempted],
        "attempts": [one.delivery.attempt for one in attempted],
        "statuses": [status for status, _, _ in after],
        "reasons": [reason for _, reason, _ in after],
        "waits": [wait for _, _, wait in after],
        "codes": [one.result.status_code for one in attempted],
        "outcomes": [one.outcome for one in attempted],
        "durations": [round(one.duration_s * 1000) for one in attempted],
    }


def _after(one: Attempted) -> tuple[str, str | None, float | None]:
    """Status, reason and wait in seconds that follow from the decision."""
    match one.decision:
        case Delivered():
            return "delivered", one.result.reason, None
        case Dead(reason):
            return "dead", reason, None
        case Suppressed(reason):
            return "suppressed", reason, None
        case Retry(in_s):
            return "pending", one.result.reason, in_s
