"""Puts together what watches the landing directory."""

from __future__ import annotations

import threading
from pathlib import PurePath

from datalab.runtime.clock import Clock
from services.ingest.arrivals import Arrivals
from services.ingest.dataset_file import DatasetFile
from services.ingest.dealing import Dealing
from services.ingest.inspection import Verdict, inspect
from services.ingest.ledger import Ledger
from services.ingest.listing import Found
from services.ingest.outbox import Outbox
from services.ingest.settings import IngestSettings
from services.ingest.settling import Settling


def watch_landing(
    settings: IngestSettings, datasets: DatasetFile, ledger: Ledger, outbox: Outbox, clock: Clock
) -> Arrivals:
    """The watch of LANDING_DIR, which is made if it is not there."""
    root = settings.landing
    root.mkdir(parents=True, exist_ok=True)

    def own_settle_s(path: str) -> float | None:
        return datasets.settle_s(PurePath(path).relative_to(root))

    def look(found: Found, stopping: threading.Event) -> Verdict:
        return inspect(found, root, datasets.sources, stopping)

    settling = Settling(settings.ingest_settle_seconds, own_settle_s)
    dealing = Dealing(ledger, settling, clock, look, outbox.wake, threads=settings.ingest_hash_threads)
    return Arrivals(root, datasets, settling, dealing, clock, settings.ingest_scan_interval_seconds)
