"""The dashboard: pages of Streamlit. It needs no other part, and says on its pages which one is away."""

from __future__ import annotations

from datalab.local.parts.base import Lab
from datalab.local.parts.services import HttpPart
from datalab.local.probes import http_ok


class Dashboard(HttpPart):
    """Ready when Streamlit's server answers: its health is no `/readyz` of ours."""

    def __init__(self) -> None:
        super().__init__("dashboard", "services.dashboard", {"dashboard": 8501}, ())

    async def ready(self, lab: Lab) -> str | None:
        return await http_ok(f"{self.url(lab)}/_stcore/health")
