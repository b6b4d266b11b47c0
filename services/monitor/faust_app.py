"""How faust is set up: it reads. It creates no topic, serves nothing, keeps nothing and acknowledges nothing. With
`record_batches` the only importer of faust."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import faust

from services.monitor.record_batches import BatchTransport


def faust_app(bootstrap: str, group: str, folder: Path) -> Any:
    """An app that reads, in batches, and does nothing else."""
    app = faust.App(
        group,
        broker=[f"kafka://{server.strip()}" for server in bootstrap.split(",")],
        store="memory://",
        datadir=folder,
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        # After a kill -9 the group waits this long for the dead member before the new one gets its partitions.
        broker_session_timeout=8.0,
        broker_heartbeat_interval=2.0,
        broker_rebalance_timeout=10.0,
        broker_request_timeout=10.0,
        # The database may be away for long while one record is tried again; heartbeats go on meanwhile.
        broker_max_poll_interval=86_400.0,
        # Of batches. More wait in their lanes, and what is here is dropped in a rebalance.
        stream_buffer_maxsize=2,
    )
    app.transport = BatchTransport(app.conf.broker_consumer, app)
    return app


def quieten() -> None:
    """In an outage aiokafka logs a hundred lines a second; the watch says once a second what is wrong."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    for name in ("faust", "mode"):
        logging.getLogger(name).setLevel(logging.WARNING)
