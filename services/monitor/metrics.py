"""Every Prometheus metric of the monitor, in one list. Label values come from closed sets or are bounded here."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from services.monitor.tallies import Tally

_MOST_DEPLOYMENTS = 200
_DURATIONS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_LAGS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)

EVENTS = Counter("datalab_monitor_events", "Events handled, by type or `unknown`", ["type"])
DEAD = Counter("datalab_monitor_dead_letters", "Records moved to the dead letters, by topic", ["topic"])
RETRIES = Counter("datalab_monitor_retries", "Attempts at an event that failed and were tried again")
DECISIONS = Counter("datalab_monitor_decisions", "What events did to alerts", ["rule", "action"])
ALERTS_PUBLISHED = Counter("datalab_monitor_alerts_published", "Alert events acknowledged by Kafka", ["rule", "status"])
OPEN_ALERTS = Gauge("datalab_monitor_open_alerts", "Alerts firing now, by severity", ["severity"])
UNPUBLISHED = Gauge("datalab_monitor_unpublished_alerts", "Alert events stored and not yet on Kafka")
RUN_DURATION = Tally(
    "datalab_monitor_run_duration_seconds", "Seconds a run ran", ["deployment", "state"], buckets=_DURATIONS
)
EVENT_AGE = Tally(
    "datalab_monitor_event_age_seconds", "From when an event happened to when its effect was stored", buckets=_LAGS
)
LAG = Gauge("datalab_monitor_lag_records", "Records between the last one handled and the end", ["topic", "partition"])
MEASUREMENTS = Counter("datalab_monitor_measurements", "Measurements by what became of them", ["outcome"])
RULES_FAULTY = Gauge(
    "datalab_monitor_rules_faulty", "1 while alerts.yaml is faulty and what was read before is in force"
)
PRUNED = Counter("datalab_monitor_pruned_rows", "Rows older than MONITOR_KEEP_DAYS that were deleted", ["table"])
OVERRUNS = Counter("datalab_monitor_overruns", "Overruns acknowledged by Kafka")

_deployments: set[str] = set()


def bounded(deployment: str) -> str:
    """The deployment as a label value; those beyond the first 200 share one."""
    if deployment not in _deployments:
        if len(_deployments) >= _MOST_DEPLOYMENTS:
            return "other"
        _deployments.add(deployment)
    return deployment
