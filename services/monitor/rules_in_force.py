"""The `alerts.yaml` that the monitor goes by: read again when the file changes. A faulty change changes nothing: what
was in force stays so, and the fault is told (log, metric, REST)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from services.monitor import metrics
from services.monitor.rule_file import RuleFileError, read_rules
from services.monitor.rules import AlertRules

log = get_logger(__name__)


class RulesInForce:
    """Called, it answers with the rules in force, which are `since` then; `fault` says what is wrong with the file as
    it is now. Raises RuleFileError if the file is faulty from the start."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._stamp = _stamp(path)
        self._rules = read_rules(path)
        self.since: datetime = clock.now()
        self.fault: str | None = None

    def __call__(self) -> AlertRules:
        return self._rules

    async def refresh(self) -> None:
        """Look at the file, and read it if it changed."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            rules = read_rules(self._path)
        except RuleFileError as error:
            self.fault = str(error)
            metrics.RULES_FAULTY.set(1)
            log.warning("rules.faulty", reason=self.fault, in_force_since=self.since.isoformat())
            return
        self._rules, self.since, self.fault = rules, self._clock.now(), None
        metrics.RULES_FAULTY.set(0)
        log.info("rules.changed", rules=[rule.name for rule in rules.rules])


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs once the file has been written, replaced or removed."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
