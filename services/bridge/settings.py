"""The bridge's own settings, beside those of the lab."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from datalab.runtime.settings import LabSettings


class BridgeSettings(LabSettings):
    """Times are seconds."""

    bridge_port: int = Field(default=8082, gt=0, lt=65536)
    bridge_group: str = Field(default="bridge", min_length=1)
    # How long a deployment may be unknown (while the lab registers it) before its events become dead letters.
    bridge_deployment_patience_s: float = Field(default=60.0, ge=0)
    # How long an instance may give no sign of life before the others take over its partitions.
    bridge_session_s: float = Field(default=15.0, ge=6)
    # How often Prefect's REST is asked what became of runs: while its events do not come by Kafka, and while they do.
    bridge_relay_poll_s: float = Field(default=1.0, gt=0)
    bridge_relay_look_s: float = Field(default=15.0, gt=0)
    # How often to look at what waits for its turn; what this instance itself adds has it at once.
    bridge_queue_poll_s: float = Field(default=0.5, gt=0)
    # How long Prefect may take to answer one request.
    bridge_prefect_timeout_s: float = Field(default=15.0, gt=0)
    # Not ready once an event or a batch has been worked on for so long, retries included.
    bridge_stall_s: float = Field(default=60.0, gt=0)
    # The process ends, to be started anew, once it is not ready for so long while all that it needs answers.
    bridge_heal_s: float = Field(default=180.0, gt=0)
    # How often to look whether the files of rules have changed.
    bridge_rules_poll_s: float = Field(default=2.0, gt=0)

    @property
    def rules_dir(self) -> Path:
        """Where the rules are."""
        return self.datalab_config_dir / "rules"
