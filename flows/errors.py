"""What can go wrong in a flow, in plain words: each message is shown as the state of a run.

A `FlowError` would fail again in the same way, so a task does not retry it, unless `transient` says that it may pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class FlowError(Exception):
    """Base. Its message is for the person who reads the run's state."""

    transient = False


class KafkaUnavailableError(FlowError):
    """Kafka does not answer."""

    transient = True


@contextmanager
def kafka_errors() -> Iterator[None]:
    """What `datalab.bus` raises for a broker that is away, as an error that is worth another try."""
    try:
        yield
    except (ConnectionError, TimeoutError) as error:
        raise KafkaUnavailableError(str(error)) from error
