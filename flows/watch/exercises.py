"""Asking more of a service than whether it answers: it does what it is there for. As `probes`: None, or the reason."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import httpx

# The experiment in MLflow that holds when it was looked at last, and nothing else.
EXPERIMENT, _TAG = "lab-monitoring", "looked_at"
# Less is soon nothing: Kafka, Postgres and the lake stop at a full disk, and each in a way of its own.
_LEAST_SHARE, _LEAST_BYTES = 0.05, 1_000_000_000
_NOT_FOUND = 404


async def mlflow_keeps(client: httpx.AsyncClient, url: str) -> str | None:
    """MLflow stores a tag and gives it back: its database can be written and read."""
    api = f"{url.rstrip('/')}/api/2.0/mlflow/experiments"
    found = await client.get(f"{api}/get-by-name", params={"experiment_name": EXPERIMENT})
    if found.status_code == _NOT_FOUND:
        made = await client.post(f"{api}/create", json={"name": EXPERIMENT})
        if not made.is_success:
            return f"a write answers {made.status_code}"
        found = await client.get(f"{api}/get-by-name", params={"experiment_name": EXPERIMENT})
    if not found.is_success:
        return f"a read answers {found.status_code}"
    id_, said = found.json()["experiment"]["experiment_id"], datetime.now(UTC).isoformat()
    written = await client.post(f"{api}/set-experiment-tag", json={"experiment_id": id_, "key": _TAG, "value": said})
    if not written.is_success:
        return f"a write answers {written.status_code}"
    read = await client.get(f"{api}/get", params={"experiment_id": id_})
    tags = read.json()["experiment"].get("tags", []) if read.is_success else []
    # Another look may have written since, so that a later time is right too.
    kept = max((tag["value"] for tag in tags if tag["key"] == _TAG), default="")
    return None if kept >= said else f"what was written at {said} is not there"


async def smtp_greets(host: str, port: int) -> str | None:
    """A mail server says that it is ready; no message is sent."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        greeting = await reader.readline()
        writer.write(b"QUIT\r\n")
    finally:
        writer.close()
    if greeting.startswith(b"220"):
        return None
    return f"greets with {greeting.decode('utf-8', 'replace').strip()[:100] or 'nothing'}"


async def has_room(folder: Path) -> str | None:
    """The disk of the folder, or of the nearest one above that is there, has room. Not in this thread: a disk that is
    mounted from elsewhere may hang."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    usage = await asyncio.to_thread(shutil.disk_usage, there)
    if usage.free >= max(_LEAST_BYTES, usage.total * _LEAST_SHARE):
        return None
    return f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} GB are left"
