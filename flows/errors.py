"""What can go wrong in a flow, in plain words: each message is shown as the state of a run.

A `FlowError` would fail again in the same way, so a task does not retry it, unless `transient` says that it may pass.
"""

from __future__ import annotations


class FlowError(Exception):
    """Base. Its message is for the person who reads the run's state."""

    transient = False
