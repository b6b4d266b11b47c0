"""Every metric of ingest, in one list. Prometheus adds `_total` to counters."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# outcome: accepted | refused (the sender's fault) | unavailable (Kafka away or too much in flight)
EVENTS = Counter("datalab_ingest_events", "Events sent by HTTP, by outcome", ["outcome"])
# Of requests that are read or wait for their answer.
HELD_BYTES = Gauge("datalab_ingest_held_bytes", "Bytes of request bodies in memory")
# outcome: pending (new content) | duplicate (content known at this place) | refused
FILES = Counter("datalab_ingest_files", "Files looked at, by outcome", ["outcome"])
FILES_PUBLISHED = Counter("datalab_ingest_files_published", "Arrivals acknowledged by Kafka")
FILES_WAITING = Gauge("datalab_ingest_files_waiting", "Files seen that are not yet known to be complete")
SCAN_SECONDS = Histogram(
    "datalab_ingest_scan_seconds",
    "Time to list the landing directory",
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10),
)
DIRECTORIES_WATCHED = Gauge("datalab_ingest_directories_watched", "Directories whose files are noticed at once")
