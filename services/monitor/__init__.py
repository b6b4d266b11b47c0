"""Turns events into run history, alerts and metrics. It delivers no message to anybody: that is the notifier's work."""
