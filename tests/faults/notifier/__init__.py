"""Faults of the notifier: scenarios, the command that runs all of them, and the short tests."""
