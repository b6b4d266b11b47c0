"""Modules of tables by service; importing this package knows them all."""

from datalab.store.tables import (
    bridge,
    ingest,
    ingest_api,
    monitor,
    monitor_health,
    monitor_limits,
    notifier,
    notifier_alerting,
)

__all__ = [
    "bridge",
    "ingest",
    "ingest_api",
    "monitor",
    "monitor_health",
    "monitor_limits",
    "notifier",
    "notifier_alerting",
]
