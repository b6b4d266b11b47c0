"""How a flow is called on a page: by its deployment where it has one. Pure."""

from __future__ import annotations

from typing import NamedTuple


class FlowKey(NamedTuple):
    """One flow by one deployment (`flow/name`), or by none."""

    flow: str
    deployment: str | None

    @property
    def label(self) -> str:
        """The deployment's name where it begins with its flow's, as ours do; else both; without one the flow."""
        if self.deployment is None:
            return self.flow
        name = self.deployment.rpartition("/")[2]
        return name if name.startswith(self.flow) else f"{self.flow} / {name}"
