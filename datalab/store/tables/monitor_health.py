"""The newest known state of each check of a service, and the newest value of each measurement."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from datalab.store.base import Base


class ServiceCheckRow(Base):
    """One check of a service by the newest event about it."""

    __tablename__ = "monitor_service_checks"

    service: Mapped[str] = mapped_column(primary_key=True)
    check: Mapped[str] = mapped_column(primary_key=True)
    failing: Mapped[bool]
    reason: Mapped[str]
    since: Mapped[datetime]
    occurred_at: Mapped[datetime]


class MeasurementRow(Base):
    """The newest value of one measurement, and the one before it. `label` is what tells values of one subject apart:
    a run's id, a consumer group; empty where there is one value."""

    __tablename__ = "monitor_measurements"

    name: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    of: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]
    measured_at: Mapped[datetime]
    previous_value: Mapped[float | None]
    previous_at: Mapped[datetime | None]
