"""Alert semantics: who was told, silences, groups, escalations, pace; deliveries that are held and carried."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014_notifier_alerting"
down_revision = "0013_monitor_flapping"

_AT = sa.DateTime(timezone=True)
_JSON = postgresql.JSONB(astext_type=sa.Text())
_NEW = (
    ("kind", sa.String(), "event"),
    ("episode", sa.String(), None),
    ("rank", sa.SmallInteger(), None),
    ("route", sa.String(), None),
    ("held", sa.String(), None),
    ("group_key", sa.String(), None),
    ("carried_by", sa.String(), None),
    ("answers", sa.String(), None),
    ("notice", _JSON, None),
    ("handed_to", sa.String(), None),
)

# Whatever ends a message ends what it carried in the same way, in the same transaction; and nobody is told the end of
# what they could not be told the beginning of. A trigger, since a delivery is ended in several places.
_FOLLOW = """
CREATE FUNCTION notifier_follow() RETURNS trigger LANGUAGE plpgsql AS $$
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
  RETURN NULL;
END $$
"""
_TRIGGER = """
CREATE TRIGGER notifier_follow AFTER UPDATE OF status ON notifier_deliveries FOR EACH ROW
  WHEN (OLD.status = 'pending' AND NEW.status <> 'pending' AND NEW.kind <> 'event')
  EXECUTE FUNCTION notifier_follow()
"""

# Alerts that fire now have been told by the deliveries of before.
_TOLD_BEFORE = """
INSERT INTO notifier_told (
  fingerprint, target_key, episode, event_id, channel, target, route, delivery_id, heard, repeat_s, since)
SELECT DISTINCT ON (a.fingerprint, d.target_key)
  a.fingerprint, d.target_key, a.episode, d.event_id, d.channel, d.target, '', d.id, true, 0, d.created_at
FROM notifier_alerts a JOIN notifier_deliveries d ON d.event_id = a.firing_event_id
WHERE a.status = 'firing' AND d.status IN ('pending', 'delivered') AND d.target_key LIKE 'receiver:%'
ORDER BY a.fingerprint, d.target_key, d.created_at DESC
"""


def upgrade() -> None:
    for name, type_, default in _NEW:
        required = default is not None
        op.add_column("notifier_deliveries", sa.Column(name, type_, server_default=default, nullable=not required))
    op.create_check_constraint(
        op.f("ck_notifier_deliveries_held"), "notifier_deliveries", "held IN ('group', 'queue', 'carried')"
    )
    op.create_index(
        "ix_notifier_deliveries_held",
        "notifier_deliveries",
        ["held", "target_key", "rank", "seq"],
        postgresql_where=sa.text("status = 'pending' AND held IS NOT NULL"),
    )
    for name in ("carried_by", "answers"):
        op.create_index(
            f"ix_notifier_deliveries_{name}",
            "notifier_deliveries",
            [name],
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
        )
    op.create_index(
        "ix_notifier_deliveries_failing",
        "notifier_deliveries",
        ["target_key", "created_at"],
        postgresql_where=sa.text("handed_to IS NULL AND kind <> 'event' AND status IN ('pending', 'dead')"),
    )
    for column in (
        sa.Column("acked_by", sa.String()),
        sa.Column("acked_at", _AT),
        sa.Column("ack_comment", sa.String()),
    ):
        op.add_column("notifier_alerts", column)
    _create_tables()
    op.execute(_TOLD_BEFORE)
    op.execute(_FOLLOW)
    op.execute(_TRIGGER)


def _create_tables() -> None:
    op.create_table(
        "notifier_told",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("target_key", sa.String(), nullable=False),
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("group_key", sa.String()),
        sa.Column("delivery_id", sa.String(), nullable=False),
        sa.Column("heard", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("repeat_s", sa.Float(), nullable=False),
        sa.Column("repeats", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", _AT),
        sa.Column("since", _AT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "target_key", name=op.f("pk_notifier_told")),
    )
    op.create_index(
        "ix_notifier_told_next_at", "notifier_told", ["next_at"], postgresql_where=sa.text("next_at IS NOT NULL")
    )
    op.create_table(
        "notifier_silences",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("matchers", _JSON, nullable=False),
        sa.Column("starts_at", _AT, nullable=False),
        sa.Column("ends_at", _AT, nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("ended_by", sa.String()),
        sa.Column("created_at", _AT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifier_silences")),
    )
    op.create_index(op.f("ix_notifier_silences_ends_at"), "notifier_silences", ["ends_at"])
    op.create_table(
        "notifier_groups",
        sa.Column("group_key", sa.String(), nullable=False),
        sa.Column("target_key", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("labels", _JSON, nullable=False),
        sa.Column("wait_s", sa.Float(), nullable=False),
        sa.Column("interval_s", sa.Float(), nullable=False),
        sa.Column("due_at", _AT),
        sa.Column("flushed_at", _AT),
        sa.Column("flushes", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("group_key", name=op.f("pk_notifier_groups")),
    )
    op.create_index(
        "ix_notifier_groups_due_at", "notifier_groups", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.create_table(
        "notifier_escalations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("receivers", _JSON, nullable=False),
        sa.Column("after_s", sa.Float(), nullable=False),
        sa.Column("due_at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifier_escalations")),
    )
    op.create_index(op.f("ix_notifier_escalations_due_at"), "notifier_escalations", ["due_at"])
    op.create_index(op.f("ix_notifier_escalations_episode"), "notifier_escalations", ["episode"])
    op.create_table(
        "notifier_paces",
        sa.Column("target_key", sa.String(), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("refilled_at", _AT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("target_key", name=op.f("pk_notifier_paces")),
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER notifier_follow ON notifier_deliveries")
    op.execute("DROP FUNCTION notifier_follow()")
    for table in ("notifier_paces", "notifier_escalations", "notifier_groups", "notifier_silences", "notifier_told"):
        op.drop_table(table)
    for name in ("acked_by", "acked_at", "ack_comment"):
        op.drop_column("notifier_alerts", name)
    for name, _, _ in reversed(_NEW):
        op.drop_column("notifier_deliveries", name)
