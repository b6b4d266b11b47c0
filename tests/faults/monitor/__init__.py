"""Faults of the monitor: stories with a known list of alerts, what goes wrong meanwhile, and the command for all."""
