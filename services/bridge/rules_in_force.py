"""The rules that the bridge goes by: those of the files, read again when the files change.

A change that is faulty changes nothing: the rules of before stay in force, and the fault is told (log, metric, REST).
What has been triggered is in the ledger and the place in the topics is Kafka's, so a change loses and repeats nothing.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from services.bridge import metrics
from services.bridge.rule_files import RuleFileError, load_rules
from services.bridge.rules import RuleBook

log = get_logger(__name__)
Stamp = frozenset[tuple[str, int, int]]


class RulesInForce:
    """`book` is in force since `since`; `fault` says what is wrong with the files as they are now. Raises RuleFileError
    if the files are faulty from the start."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._stamp = _stamp(folder)
        self.book: RuleBook = load_rules(folder)
        self.since: datetime = clock.now()
        self.fault: str | None = None
        metrics.RULES_FAULTY.set(0)

    def refresh(self) -> bool:
        """Look at the files; whether other rules are in force now."""
        stamp = _stamp(self._folder)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            book = load_rules(self._folder)
        except RuleFileError as error:
            self.fault = str(error)
            metrics.RULES_FAULTY.set(1)
            log.warning("rules.faulty", reason=self.fault, in_force_since=self.since.isoformat())
            return False
        self.book, self.since, self.fault = book, self._clock.now(), None
        metrics.RULES_FAULTY.set(0)
        log.info("rules.changed", rules=[rule.name for rule in book.rules], topics=book.topics)
        return True


def _stamp(folder: Path) -> Stamp:
    """What differs once a file of rules has been written, added, renamed or removed."""
    found = set()
    for path in [*folder.glob("*.yaml"), *folder.glob("*.yml")]:
        try:
            status = path.stat()
        except FileNotFoundError:  # gone since it was listed
            continue
        found.add((path.name, status.st_mtime_ns, status.st_size))
    return frozenset(found)
