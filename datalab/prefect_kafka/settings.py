"""What the broker of Prefect's server reads, beside the lab's settings."""

from __future__ import annotations

from pydantic import Field

from datalab.runtime.settings import LabSettings


class BrokerSettings(LabSettings):
    """Of one server."""

    # How many servers without services there are on the same database.
    datalab_prefect_creators: int = Field(default=0, ge=0)
