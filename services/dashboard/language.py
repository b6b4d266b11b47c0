"""Every text of the pages, one file a language, and how a language writes numbers, spans and times. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import yaml

from services.dashboard.settings import Language

LANGUAGES: tuple[Language, ...] = get_args(Language)
NOTHING = "–"
_WORDS = Path(__file__).with_name("words")


@dataclass(frozen=True)
class Phrases:
    """The words of one language, and its forms for values. What is None is shown as a dash."""

    language: Language
    words: Mapping[str, str]
    zone: ZoneInfo

    @property
    def in_address(self) -> str:
        """The language as a page's address names it."""
        return self.language.upper()

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key; raises KeyError for an unknown one."""
        return self.words[key].format(**values)

    def name(self, prefix: str, value: str) -> str:
        """The word for a value of a fixed set, as `state.COMPLETED`; the value itself if there is none."""
        return self.words.get(f"{prefix}.{value}", value)

    def state(self, name: str, type_: str) -> str:
        """Of a run: the type's word, or the name where that says more, as AwaitingRetry does."""
        return self.name("state", type_) if name.upper() == type_ else name

    def number(self, value: float | None, digits: int = 0) -> str:
        """With the language's separators."""
        if value is None:
            return NOTHING
        plain = f"{value:,.{digits}f}"
        return plain.translate(str.maketrans(",.", ".,")) if self.language == "pt" else plain

    def amount(self, value: float) -> str:
        """With as few digits as it has."""
        whole = f"{value:.10g}"
        return self.number(value, len(whole.partition(".")[2])) if "e" not in whole else whole

    def percent(self, share: float | None) -> str:
        """Of a share of 1, which several processors may exceed; only all is 100 %."""
        if share is None:
            return NOTHING
        digits = 0 if share in {0.0, 1.0} else 1
        shown = min(share * 100, 99.9) if share < 1.0 else share * 100
        return f"{self.number(shown, digits)} %"

    def span(self, seconds: float | None) -> str:
        """A duration in the two units that matter."""
        if seconds is None:
            return NOTHING
        if seconds < 9.995:
            return f"{self.number(seconds, 2)} s"
        if seconds < 59.95:
            return f"{self.number(seconds, 1)} s"
        whole = round(seconds)
        if whole < 3600:
            return f"{whole // 60} min {whole % 60:02d} s"
        if whole < 86_400:
            return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
        return f"{self.number(whole / 86_400, 1)} {self('unit.days')}"

    def size(self, count: float | None) -> str:
        """Bytes."""
        if count is None:
            return NOTHING
        for unit in ("B", "KiB", "MiB"):
            if abs(count) < 1024:
                return f"{self.number(count, 0)} {unit}"
            count /= 1024
        return f"{self.number(count, 1)} GiB"

    def time(self, at: datetime | None) -> str:
        """A point in time, in the zone of the dashboard."""
        if at is None:
            return NOTHING
        return at.astimezone(self.zone).strftime("%d/%m/%Y %H:%M:%S" if self.language == "pt" else "%Y-%m-%d %H:%M:%S")

    def ago(self, at: datetime | None, now: datetime) -> str:
        """How long ago."""
        if at is None:
            return NOTHING
        return self("ago", span=self.span(max((now - at) / timedelta(seconds=1), 0.0)))


@cache
def words(language: Language) -> Mapping[str, str]:
    """The texts of a language by key."""
    return {str(key): str(text) for key, text in yaml.safe_load((_WORDS / f"{language}.yaml").read_text()).items()}


def phrases(language: Language, zone: ZoneInfo) -> Phrases:
    """The phrases of a language in a time zone."""
    return Phrases(language, words(language), zone)
