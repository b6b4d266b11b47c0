"""Delivers alerts and events to people and systems, and keeps a ledger that proves it. Decides no alert itself."""
