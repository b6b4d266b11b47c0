"""The statement that claims due deliveries, and what it answers as deliveries. Runs nothing.

Of each target the oldest few that are due, those first whose target has the fewest under way: so a target that hangs
cannot take the places of others. Nothing is claimed that stands behind an earlier delivery of its order to the same
target: "resolved" must not overtake "firing". SKIP LOCKED lets instances share the work without waiting.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, text

from schemas.envelope import Event
from services.notifier.bundles import Notice
from services.notifier.delivery import Delivery

# By target: how many of its deliveries are under way, and how many may be.
Load = Mapping[str, tuple[int, int]]

# The recursion finds the targets by one look at the index for each, however many deliveries wait.
CLAIM = text("""
WITH RECURSIVE targets AS (
  (SELECT target_key FROM notifier_deliveries WHERE status = 'pending' ORDER BY target_key LIMIT 1)
  UNION ALL
  SELECT (SELECT d.target_key FROM notifier_deliveries d
          WHERE d.status = 'pending' AND d.target_key > t.target_key ORDER BY d.target_key LIMIT 1)
  FROM targets t WHERE t.target_key IS NOT NULL
), load AS (
  SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:counts AS int[]), CAST(:shares AS int[]))
    AS l(target_key, under_way, share)
), hurried AS MATERIALIZED (
  -- Nothing hangs on a claim: one that a crash of the database takes back is made again, under the same ids.
  SELECT set_config('synchronous_commit', 'off', true)
), due AS MATERIALIZED (
  SELECT c.id FROM targets t LEFT JOIN load l USING (target_key) CROSS JOIN LATERAL (
    SELECT o.*, row_number() OVER (ORDER BY o.next_attempt_at, o.seq) AS place FROM (
      SELECT d.id, d.next_attempt_at, d.seq FROM notifier_deliveries d
      WHERE d.status = 'pending' AND d.target_key = t.target_key AND d.next_attempt_at <= now()
        AND (d.claimed_until IS NULL OR d.claimed_until < now())
        AND (d.order_key IS NULL OR NOT EXISTS (
          SELECT 1 FROM notifier_deliveries e
          WHERE e.status = 'pending' AND e.target_key = d.target_key AND e.order_key = d.order_key AND e.seq < d.seq))
      ORDER BY d.next_attempt_at, d.seq
      LIMIT greatest(0, coalesce(l.share, CAST(:per_target AS int)) - coalesce(l.under_way, 0))
    ) o
  ) c
  ORDER BY coalesce(l.under_way, 0) + c.place, c.next_attempt_at, c.seq LIMIT CAST(:places AS bigint)
), free AS (
  SELECT d.id FROM notifier_deliveries d JOIN due USING (id)
  WHERE d.status = 'pending' AND d.next_attempt_at <= now() AND (d.claimed_until IS NULL OR d.claimed_until < now())
  FOR UPDATE OF d SKIP LOCKED
)
UPDATE notifier_deliveries d
SET claimed_until = now() + CAST(:lease AS interval), attempts = attempts + 1
FROM free, hurried WHERE d.id = free.id
RETURNING d.id, CAST(d.event AS text) AS event, d.channel, d.target, d.target_key, d.subscription_id, d.order_key,
  d.attempts, d.attempts_before, CAST(d.notice AS text) AS notice
""")


def claim_parameters(places: int, per_target: int, load: Load, lease_s: float) -> dict[str, Any]:
    """Claim at most `places`; of a target at most its share less what it has under way, which is `per_target` less
    nothing for one that has no load."""
    return {
        "places": places,
        "per_target": per_target,
        "keys": list(load),
        "counts": [under_way for under_way, _ in load.values()],
        "shares": [share for _, share in load.values()],
        "lease": timedelta(seconds=lease_s),
    }


def claimed(row: Row[Any]) -> Delivery:
    """The delivery of a claimed row."""
    return Delivery(
        id=row.id,
        event=_event(row.event),
        channel=row.channel,
        target=row.target,
        target_key=row.target_key,
        subscription_id=row.subscription_id,
        attempt=row.attempts,
        tries=row.attempts - row.attempts_before,
        order_key=row.order_key,
        notice=Notice.model_validate_json(row.notice) if row.notice else None,
    )


@lru_cache(maxsize=256)
def _event(stored: str) -> Event:
    """One event goes to many targets; reading it is most of the work of a claim."""
    return Event.model_validate_json(stored)
