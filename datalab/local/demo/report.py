"""Showing a demonstration in the terminal, hop by hop as it happens, then the claims and the totals."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from datalab.local.demo.proof import Claim, Hop, Proof


class Report:
    """Writes to a console; progress as it comes, the judgement at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, item: str | Hop) -> None:
        """A heading or a hop."""
        if isinstance(item, str):
            self._console.print()
            self._console.print(Text(item, style="bold"))
            return
        line = Text.assemble(
            (f"{item.seconds:7.2f} s  ", "cyan"),
            (f"{item.name:<34}", "bold"),
            (f" {item.system:<8} ", "dim"),
            (f"{item.id}  ", "green"),
            (item.detail, ""),
        )
        self._console.print(line, soft_wrap=True, highlight=False)

    def conclude(self, proof: Proof) -> None:
        """Claims, totals, links and the verdict."""
        for story in proof.stories:
            if story.missing:
                self._console.print(f"\n{story.title}: MISSING {story.missing}", style="bold red", highlight=False)
        self._console.print()
        for title, claims in [*((s.title, s.claims) for s in proof.stories), ("whole lab", proof.claims)]:
            for claim in claims:
                self._console.print(_judged(title, claim), soft_wrap=True, highlight=False)
        self._console.print()
        self._console.print(self._totals(proof))
        for name, link in proof.links.items():
            self._console.print(f"  {name:<10} {link}", highlight=False, soft_wrap=True)
        verdict = "PROVED: every hop was seen, every claim holds" if proof.proved else "NOT PROVED"
        self._console.print(f"\n{verdict}", style="bold green" if proof.proved else "bold red")

    @staticmethod
    def _totals(proof: Proof) -> Table:
        table = Table("events", "", box=None, pad_edge=False)
        for type_, count in proof.totals.get("events", {}).items():
            table.add_row(type_, str(count))
        return table


def _judged(title: str, claim: Claim) -> Text:
    mark = ("✓ ", "green") if claim.holds else ("✗ ", "bold red")
    found = _plain(claim.found) if claim.holds else f"{_plain(claim.found)}, expected {_plain(claim.expected)}"
    return Text.assemble(mark, (f"{title}: {claim.name}: ", ""), (found, "bold"))


def _plain(value: object) -> str:
    return " · ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
