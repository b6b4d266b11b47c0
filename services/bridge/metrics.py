"""The bridge's metrics, in one list."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

MATCHED = Counter("bridge_triggers_matched", "Events that a rule matched, repeats not counted", ["rule"])
CREATED = Counter("bridge_runs_created", "Flow runs created", ["rule"])
DUPLICATE = Counter("bridge_triggers_duplicate", "Repeated events that already had their run", ["rule"])
DEAD = Counter("bridge_triggers_dead", "Triggers that cannot have a run", ["rule"])
SUPPRESSED = Counter("bridge_triggers_suppressed", "Triggers that have no run for a reason of their rule", ["rule"])
RETRIED = Counter("bridge_runs_retried", "Further attempts after failed runs", ["rule"])
WAITING = Gauge("bridge_triggers_waiting", "Triggers that wait for their turn", ["rule"])
PAUSED = Gauge("bridge_rule_paused", "1 while the rule is paused", ["rule"])
EVENT_TO_CREATED = Histogram(
    "bridge_event_to_created_seconds",
    "Seconds from the event's time to the answer of Prefect that its run exists",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
STATES_PUBLISHED = Counter("bridge_run_states_published", "Run states published on lab.runs", ["type"])
STATES_REFUSED = Counter("bridge_run_states_refused", "Run states that Kafka refuses for ever, or that are no event")
GAPS_REPAIRED = Counter("bridge_gaps_repaired", "Run states that only the look at Prefect's REST has found")
RUNS_VANISHED = Counter("bridge_runs_vanished", "Runs deleted in Prefect before their states could be read")
RULES_FAULTY = Gauge("bridge_rules_faulty", "1 while the files of rules are faulty and earlier rules stay in force")
