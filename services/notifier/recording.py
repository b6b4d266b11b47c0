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
    CAST(:codes AS int[]), CAST(:reasons AS text[]), CAST(:outcomes AS text[]), CAST(:durations AS int[]),
    CAST(:answers AS text[])
  ) AS g(id, attempt, status, wait_s, status_code, reason, outcome, duration_ms, answer)
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
  INSERT INTO notifier_attempts (delivery_id, attempt, outcome, status_code, reason, duration_ms, answer)
  SELECT g.id, g.attempt, g.outcome, g.status_code, g.reason, g.duration_ms, g.answer FROM given g JOIN held USING (id)
  WHERE g.outcome <> 'suppressed'
)
SELECT id FROM held
""")


# An endpoint fails from its first failure to its next success. Only where that changes is a row written.
HEALTH = text("""
WITH seen AS (
  SELECT id, bool_or(delivered) AS well
  FROM unnest(CAST(:ids AS text[]), CAST(:delivered AS bool[])) AS s(id, delivered) GROUP BY id
)
UPDATE notifier_subscriptions n SET failing_since = CASE WHEN seen.well THEN NULL ELSE now() END
FROM seen WHERE n.id = seen.id AND (n.failing_since IS NOT NULL) = seen.well
""")

# Switched off are those that answered Gone, and those that have failed for too long.
DISABLE = text("""
UPDATE notifier_subscriptions SET active = false, disabled_at = now(), notice = 'firing', updated_at = now(),
  disabled_reason = CASE WHEN id = ANY(CAST(:gone AS text[])) THEN 'the receiver answered 410 Gone'
    ELSE 'every delivery has failed since '
      || to_char(failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC' END
WHERE active AND (id = ANY(CAST(:gone AS text[]))
  OR (id = ANY(CAST(:failed AS text[])) AND failing_since < now() - CAST(:patience AS interval)))
RETURNING name
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
        "answers": [one.result.answer for one in attempted],
        "durations": [round(one.duration_s * 1000) for one in attempted],
    }


def health_parameters(tried: Sequence[Attempted]) -> dict[str, list[Any]]:
    """Which subscriptions were tried, and whether that went well."""
    ours = [one for one in tried if one.delivery.subscription_id]
    return {
        "ids": [one.delivery.subscription_id for one in ours],
        "delivered": [one.result.delivered for one in ours],
    }


def failure_parameters(tried: Sequence[Attempted]) -> dict[str, Any]:
    """Which subscriptions have failed, and which have said that they are gone."""
    failed = [one for one in tried if one.delivery.subscription_id and not one.result.delivered]
    return {
        "failed": [one.delivery.subscription_id for one in failed],
        "gone": [one.delivery.subscription_id for one in failed if one.result.gone],
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
