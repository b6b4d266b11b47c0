"""Kafka to Kafka."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # loaded as a file: by Prefect, or from inside flows/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from prefect import flow

from flows.usage import HOOKS


@flow(name="kafka-pipeline", description=__doc__, retries=0, persist_result=False, **HOOKS)
def pipeline_kafka(topico_entrada: str, topico_saida: str, limite: int = 100) -> dict[str, Any]:
    """Under construction."""
    raise NotImplementedError
