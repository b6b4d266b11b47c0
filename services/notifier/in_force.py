"""The `notify.yaml` that the notifier goes by: read again when the file changes. A faulty change changes nothing: what
was in force stays so, and the fault is told (log, metric, readiness, REST)."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from prometheus_client import Gauge

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from services.notifier.config import ConfigError, NotifyConfig, load_config
from services.notifier.delivery import Target
from services.notifier.receivers import Environment
from services.notifier.routing import Routing

log = get_logger(__name__)
LOOK_EVERY_S = 2.0
FAULTY = Gauge("notifier_config_faulty", "1 while notify.yaml is faulty and what was read before stays in force")
SINCE = Gauge("notifier_config_since_seconds", "When the notify.yaml in force was read, as Unix time")


class NotifyInForce:
    """`config` is in force since `since`; `fault` says what is wrong with the file as it is now. `targets` is one
    mapping that changes with the file. Raises ConfigError if the file is faulty from the start."""

    def __init__(self, path: Path, environment: Environment, clock: Clock) -> None:
        self.path, self._environment, self._clock = path, environment, clock
        self.targets: dict[str, Target] = {}
        self.fault: str | None = None
        self._stamp = _stamp(path)
        self._take(load_config(path))

    @property
    def routing(self) -> Routing:
        """Decisions by the file in force."""
        return Routing(self.config, self.targets)

    def refresh(self) -> bool:
        """Look at the file; whether it was read anew and is in force now."""
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            config = load_config(self.path)
        except ConfigError as error:
            self.fault = str(error)
            FAULTY.set(1)
            log.warning("config.faulty", reason=self.fault, in_force_since=self.since.isoformat())
            return False
        self._take(config)
        log.info("config.changed", routes=len(config.routes), receivers=sorted(self.targets))
        return True

    async def watch(self, stop: asyncio.Event) -> None:
        """Look at the file every two seconds until `stop` is set."""
        while not stop.is_set():
            self.refresh()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)

    def note(self) -> str | None:
        """For readiness: None, or that the file is faulty and since when an earlier one is in force."""
        if self.fault is None:
            return None
        return f"notify.yaml is faulty, that of {self.since:%Y-%m-%d %H:%M:%S} UTC stays in force: {self.fault}"

    def _take(self, config: NotifyConfig) -> None:
        targets = config.targets(self._environment)
        self.config, self.since, self.fault = config, self._clock.now(), None
        self.targets.clear()
        self.targets.update(targets)
        FAULTY.set(0)
        SINCE.set(self.since.timestamp())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs once the file has been written, replaced or removed."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
