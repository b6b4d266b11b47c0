"""The statement that stores many deliveries of many events at once. Runs nothing.

An event travels to the database once, however many deliveries it is due. A repeat adds no row: the ids are
deterministic.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import text

from schemas.envelope import Event
from services.notifier.delivery import UNREPORTED
from services.notifier.planned import RANKS, Alert, Planned


class Due(NamedTuple):
    """An event, the alert in it if it is one, and the deliveries that it is due."""

    event: Event
    alert: Alert | None
    planned: Sequence[Planned]


# In the order given, which becomes the order of `seq`. Answers with the event of each new row.
STORE = text("""
WITH events AS (
  SELECT * FROM unnest(
    CAST(:numbers AS int[]), CAST(:event_ids AS text[]), CAST(:types AS text[]), CAST(:correlations AS text[]),
    CAST(:fingerprints AS text[]), CAST(:episodes AS text[]), CAST(:ranks AS int[]), CAST(:events AS text[]),
    CAST(:unreported AS bool[])
  ) AS e(number, event_id, event_type, correlation_id, fingerprint, episode, rank, event, unreported)
), planned AS (
  SELECT * FROM unnest(
    CAST(:of AS int[]), CAST(:ids AS text[]), CAST(:channels AS text[]), CAST(:targets AS text[]),
    CAST(:target_keys AS text[]), CAST(:subscriptions AS text[]), CAST(:reasons AS text[]), CAST(:order_keys AS text[]),
    CAST(:kinds AS text[]), CAST(:routes AS text[]), CAST(:held AS text[]), CAST(:groups AS text[]),
    CAST(:answers AS text[]), CAST(:notices AS text[])
  ) WITH ORDINALITY AS p(number, id, channel, target, target_key, subscription_id, reason, order_key,
    kind, route, held, group_key, answers, notice, place)
)
INSERT INTO notifier_deliveries (
  id, event_id, event_type, correlation_id, fingerprint, order_key, channel, target, target_key, subscription_id, event,
  kind, episode, rank, route, held, group_key, answers, notice, next_attempt_at,
  status, reason, finished_at, outcome_published, attempts, attempts_before)
SELECT p.id, e.event_id, e.event_type, e.correlation_id, e.fingerprint, p.order_key, p.channel, p.target, p.target_key,
  p.subscription_id, CAST(e.event AS jsonb),
  p.kind, e.episode, e.rank, p.route, p.held, p.group_key, p.answers, CAST(p.notice AS jsonb),
  CASE WHEN p.held IS NULL THEN now() ELSE 'infinity' END,
  CASE WHEN p.reason IS NULL THEN 'pending' ELSE 'suppressed' END, p.reason,
  CASE WHEN p.reason IS NOT NULL THEN now() END, e.unreported, 0, 0
FROM planned p JOIN events e USING (number) ORDER BY p.place
ON CONFLICT DO NOTHING
RETURNING event_id
""")


def store_parameters(due: Sequence[Due]) -> dict[str, list[Any]]:
    """The columns of these events and of their deliveries."""
    flat = [(number, one, planned) for number, one in enumerate(due) for planned in one.planned]
    return {
        "numbers": list(range(len(due))),
        "event_ids": [one.event.id for one in due],
        "types": [one.event.type for one in due],
        "correlations": [one.event.correlation for one in due],
        "fingerprints": [_fingerprint(one) for one in due],
        "episodes": [one.alert.episode if one.alert else None for one in due],
        "ranks": [RANKS[one.alert.severity] if one.alert else None for one in due],
        "events": [one.event.model_dump_json() for one in due],
        "unreported": [one.event.type.startswith(UNREPORTED) for one in due],
        "of": [number for number, _, _ in flat],
        "ids": [planned.id for _, _, planned in flat],
        "channels": [planned.channel for _, _, planned in flat],
        "targets": [planned.target for _, _, planned in flat],
        "target_keys": [planned.target_key for _, _, planned in flat],
        "subscriptions": [planned.subscription_id for _, _, planned in flat],
        "reasons": [planned.suppressed for _, _, planned in flat],
        "order_keys": [planned.order_key or _fingerprint(one) for _, one, planned in flat],
        "kinds": [planned.kind for _, _, planned in flat],
        "routes": [planned.route for _, _, planned in flat],
        "held": [planned.held for _, _, planned in flat],
        "groups": [planned.gathering.key if planned.gathering else None for _, _, planned in flat],
        "answers": [planned.answers for _, _, planned in flat],
        "notices": [json.dumps(planned.notice) if planned.notice else None for _, _, planned in flat],
    }


def _fingerprint(due: Due) -> str | None:
    return due.alert.fingerprint if due.alert else None
