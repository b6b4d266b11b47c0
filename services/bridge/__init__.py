"""The event bridge: events in, exactly one Prefect run per rule and event; states of runs out as events."""
