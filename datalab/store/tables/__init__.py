"""One module of tables per service; importing this package knows them all."""

from datalab.store.tables import bridge, ingest, monitor, notifier

__all__ = ["bridge", "ingest", "monitor", "notifier"]
