"""`/v1/services`, `/v1/topics` and `/v1/datasets`: what the lab consists of and how it is."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from datalab.store.engine import Sessions
from services.monitor import inventory


class FailingCheck(BaseModel):
    """A check that fails."""

    check: str
    reason: str
    since: datetime


class Service(BaseModel):
    """A service by the newest events about it."""

    service: str
    status: Literal["ok", "degraded"]
    last_seen: datetime
    cpu_seconds: float | None
    cpu_share: float | None
    memory_bytes: float | None
    failing: list[FailingCheck]


class Services(BaseModel):
    """Every service that an event told of."""

    services: list[Service]


class GroupLag(BaseModel):
    """Records that a consumer group has not read yet."""

    group: str
    lag: float
    measured_at: datetime


class Topic(BaseModel):
    """A topic by its newest measurements."""

    topic: str
    records: float | None
    size_bytes: float | None = Field(description="On the brokers' disks, of one copy; null where no broker tells")
    measured_at: datetime
    groups: list[GroupLag]


class Topics(BaseModel):
    """Every topic that was measured."""

    topics: list[Topic]


class Dataset(BaseModel):
    """A table of the lake by its newest measurements."""

    dataset: str
    layer: str | None
    table: str
    rows: float | None
    files: float | None
    size_bytes: float | None
    age_seconds: float | None
    updated_at: datetime | None
    measured_at: datetime


class Datasets(BaseModel):
    """Every table that was measured."""

    datasets: list[Dataset]


def router(sessions: Sessions) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1", tags=["inventory"])

    @api.get("/services", summary="What the lab depends on: status, failing checks, CPU, memory")
    async def list_services() -> Services:
        async with sessions() as session:
            return Services.model_validate({"services": await inventory.services(session)})

    @api.get("/topics", summary="Kafka topics: records, bytes, and lag per consumer group")
    async def list_topics() -> Topics:
        async with sessions() as session:
            return Topics.model_validate({"topics": await inventory.topics(session)})

    @api.get("/datasets", summary="Tables of the lake: rows, files, size, age")
    async def list_datasets() -> Datasets:
        async with sessions() as session:
            return Datasets.model_validate({"datasets": await inventory.datasets(session)})

    return api
