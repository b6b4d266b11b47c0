"""The bridge's own settings, beside those of the lab."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

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
    # APIs of Prefect servers beside the one of prefect_api_url, on its database, that only create runs: addresses
    # separated by commas. The bridge does without those that do not answer.
    bridge_prefect_creators: str = ""
    # How long Prefect may take to answer one request.
    bridge_prefect_timeout_s: float = Field(default=15.0, gt=0)
    # Not ready once an event or a batch has been worked on for so long, retries included.
    bridge_stall_s: float = Field(default=60.0, gt=0)
    # The process ends, to be started anew, once it is not ready for so long while all that it needs answers.
    bridge_heal_s: float = Field(default=180.0, gt=0)
    # How long events are kept with the triggers that needed them, and what windows remember: as long as dead letters.
    bridge_keep_days: float = Field(default=90.0, gt=0, le=36_500)
    # How often to look whether the files of rules have changed.
    bridge_rules_poll_s: float = Field(default=2.0, gt=0)

    # Whether changes (pause, resume, replay) need a token; without a word, where it listens beyond this machine.
    bridge_require_tokens: bool | None = None

    @field_validator("bridge_prefect_creators")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for url in _separated(value):
            if not url.startswith(("http://", "https://")) or not url.rstrip("/").endswith("/api"):
                raise ValueError("must be addresses like http://127.0.0.1:4201/api, separated by commas")
        return value

    @property
    def prefect_creators(self) -> list[str]:
        """The addresses of `bridge_prefect_creators`."""
        return _separated(self.bridge_prefect_creators)

    @property
    def rules_dir(self) -> Path:
        """Where the rules are."""
        return self.datalab_config_dir / "rules"


def _separated(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
