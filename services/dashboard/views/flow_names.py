"""How a flow is called on a page: by its deployment where it has one. Pure."""

from __future__ import annotations

from typing import NamedTuple


class FlowKey(NamedTuple):
    """One flow by one deployment (`flow/name`), or by none."""

    flow: str
    deployment: str | None

    @property
    def label(self) -> str:
        """`flow / name`, or the flow alone."""
        return f"{self.flow} / {self.deployment.rpartition('/')[2]}" if self.deployment else self.flow
