"""Limits of alert rules as people have set them. For what has no row, the defaults of `config/alerts.yaml` hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from datalab.store.base import Base


class ThresholdRow(Base):
    """A limit that was set. `version` counts the changes, so that nobody overwrites a change unseen."""

    __tablename__ = "monitor_thresholds"

    rule: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    # None: the default of the file holds.
    value: Mapped[float | None]
    overrides: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    version: Mapped[int]
    updated_at: Mapped[datetime]


class RuleSwitchRow(Base):
    """Whether a rule raises alerts. A rule without a row does."""

    __tablename__ = "monitor_rule_switches"

    rule: Mapped[str] = mapped_column(primary_key=True)
    enabled: Mapped[bool]
    version: Mapped[int]
    updated_at: Mapped[datetime]
