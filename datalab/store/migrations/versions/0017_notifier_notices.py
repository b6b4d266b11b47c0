"""Notices about subscriptions that are gone; how many deliveries a minute an endpoint allows; what a digest tells shares
its end."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017_notifier_notices"
down_revision = "0016_monitor_queue"

_FOLLOW = """
CREATE OR REPLACE FUNCTION notifier_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE notifier_deliveries SET
    status = NEW.status, reason = NEW.reason, status_code = NEW.status_code, finished_at = NEW.finished_at,
    attempts = NEW.attempts
  WHERE carried_by = NEW.id AND held = 'carried' AND status = 'pending';
  IF NEW.status = 'dead' THEN
    UPDATE notifier_deliveries SET
      status = 'suppressed', reason = 'was not told that it fires: ' || NEW.reason, finished_at = now()
    WHERE answers = NEW.id AND status = 'pending';
  END IF;
  {digests}RETURN NULL;
END $$
"""
# What a digest has swallowed was not told where the digest was not, until a replay brings it there after all.
_DIGESTS = """IF NEW.kind = 'digest' AND (NEW.status = 'dead' OR (NEW.status = 'delivered' AND NEW.attempts_before > 0)) THEN
    UPDATE notifier_deliveries SET
      status = CASE NEW.status WHEN 'dead' THEN 'dead' ELSE 'suppressed' END,
      reason = CASE NEW.status WHEN 'dead' THEN 'the digest ' || NEW.id || ' could not be told: ' || NEW.reason
        ELSE 'told in the digest ' || NEW.id END
    WHERE status = CASE NEW.status WHEN 'dead' THEN 'suppressed' ELSE 'dead' END
      AND carried_by = ANY (ARRAY(SELECT id FROM notifier_deliveries WHERE carried_by = NEW.id) || NEW.id);
  END IF;
  """


def upgrade() -> None:
    op.execute(_FOLLOW.format(digests=_DIGESTS))
    op.add_column("notifier_subscriptions", sa.Column("allowed_per_min", sa.Integer(), nullable=True))
    op.create_table(
        "notifier_notices",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("event", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_notifier_notices")),
    )


def downgrade() -> None:
    op.execute(_FOLLOW.format(digests=""))
    op.drop_table("notifier_notices")
    op.drop_column("notifier_subscriptions", "allowed_per_min")
