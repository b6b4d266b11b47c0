"""What was seen, hop by hop: the record of a demonstration, as data. It judges; it neither looks nor prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Hop:
    """One thing that a system showed. `seconds` count from the moment the story's file was complete."""

    name: str
    system: str
    id: str
    seconds: float
    detail: str = ""
    link: str | None = None


@dataclass(frozen=True)
class Claim:
    """A statement about numbers that must be true at the end, with what was expected and what was found."""

    name: str
    expected: Any
    found: Any

    @property
    def holds(self) -> bool:
        """Whether it is true."""
        return bool(self.expected == self.found)


@dataclass
class Story:
    """One file and everything it caused. `missing` names the hop that did not come in time, with the reason."""

    title: str
    file: str
    hops: list[Hop] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    missing: str | None = None

    @property
    def proved(self) -> bool:
        """Whether every hop was seen and every claim holds."""
        return self.missing is None and bool(self.hops) and all(claim.holds for claim in self.claims)


@dataclass
class Proof:
    """The whole demonstration. `links` name the pages to look at."""

    stories: list[Story]
    totals: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)

    @property
    def proved(self) -> bool:
        """Whether every story and every claim of the whole is proved."""
        return all(story.proved for story in self.stories) and all(claim.holds for claim in self.claims)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "proved": self.proved,
            "stories": [
                {
                    "title": story.title,
                    "file": story.file,
                    "proved": story.proved,
                    "missing": story.missing,
                    "hops": [asdict(hop) for hop in story.hops],
                    "claims": _claims(story.claims),
                }
                for story in self.stories
            ],
            "claims": _claims(self.claims),
            "totals": self.totals,
            "links": self.links,
        }


def _claims(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    return [{**asdict(claim), "holds": claim.holds} for claim in claims]
