"""Our own processes: the services, and the inbox that receives what the notifier sends. Ready when /readyz says so."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from datalab.local.parts.base import Command, Lab, Part
from datalab.local.probes import http_ok


class HttpPart(Part):
    """A process of this project that serves HTTP on its first port."""

    def __init__(self, name: str, module: str, ports: Mapping[str, int], needs: tuple[str, ...]) -> None:
        self.name = name
        self.ports = ports
        self.needs = needs
        self._module = module

    def command(self, lab: Lab) -> Command:
        return Command([sys.executable, "-m", self._module])

    async def ready(self, lab: Lab) -> str | None:
        return await http_ok(f"{self.url(lab)}/readyz")

    def url(self, lab: Lab) -> str:
        return f"http://127.0.0.1:{lab.ports[next(iter(self.ports))]}"
