"""Modules of tables by service; importing this package knows them all."""

from datalab.store.tables import bridge, ingest, monitor, monitor_health, monitor_limits, notifier

__all__ = ["bridge", "ingest", "monitor", "monitor_health", "monitor_limits", "notifier"]
