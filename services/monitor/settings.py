"""The monitor's environment. What raises an alert is not here: `config/alerts.yaml` says it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from datalab.runtime.settings import LabSettings


class MonitorSettings(LabSettings):
    """Seconds unless the name says otherwise."""

    monitor_port: int = 8083
    monitor_group: str = "monitor"
    # How long a stream may stand still, with events waiting, before the process gives up and is started anew.
    monitor_stall_s: float = Field(default=30.0, gt=0)
    monitor_publish_every_s: float = Field(default=2.0, gt=0)
    # How often running runs are compared with their limits, and events that are held back judged again.
    monitor_look_every_s: float = Field(default=1.0, gt=0)
    monitor_burn_every_s: float = Field(default=60.0, gt=0)
    monitor_gauges_every_s: float = Field(default=15.0, gt=0)
    # Longer than any watched topic keeps its records (30 days), so that what is heard again is recognised.
    monitor_keep_days: float = Field(default=90.0, ge=31)
    # Whether changes (limits, rules on and off) need a token; without a word, where it listens beyond this machine.
    monitor_require_tokens: bool | None = None
    dashboard_url: str | None = None

    @property
    def alerts_file(self) -> Path:
        """Where the alert rules are."""
        return self.datalab_config_dir / "alerts.yaml"
