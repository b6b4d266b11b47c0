"""Files that no pipeline likes: each becomes an event or a refusal with its reason, and nothing crashes."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import httpx

from datalab.local.demo.samples import real_prices
from tests.e2e.conftest import Lab

CONTENT = b"\n".join(real_prices().content.splitlines()[:1200]) + b"\n"
REFUSED = {
    "odd-empty.csv": b"",
    "odd-binary.csv": b"\x7fELF\x00\x01\x02" + os.urandom(4096),
    "odd-unknown.xyz": CONTENT,
}
ACCEPTED = ("odd name with spaces.csv", "odd=chave=valor.csv", "odd-ação-preços.csv", "odd#100%.csv")


async def ledger(lab: Lab) -> dict[str, dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{lab.addresses.ingest}/v1/files", params={"page_size": 500})
    return {Path(file["path"]).name: file for file in answer.raise_for_status().json()["files"]}


async def grow(growing: Path, vanishing: Path) -> None:
    """Write both, bit by bit, ten times as fast as would let a file look complete (`INGEST_SETTLE_SECONDS`), whatever
    goes on beside it. One is closed at its end, the other is gone in the middle of its."""
    step = len(CONTENT) // 20 + 1
    with growing.open("wb") as whole, vanishing.open("wb") as half:
        for start in range(0, len(CONTENT), step):
            for file in (whole, half):
                file.write(CONTENT[start : start + step])
                file.flush()
            await asyncio.sleep(0.1)
            if start == 10 * step:
                await asyncio.to_thread(vanishing.unlink)  # seen by now, but its writer has not closed it


async def test_each_ends_in_a_named_state_and_ingest_lives_on(lab: Lab) -> None:
    landing = lab.addresses.landing / "stocks"
    landing.mkdir(parents=True, exist_ok=True)
    restarts = lab.status()["ingest"]["restarts"]
    for name, content in {**REFUSED, **dict.fromkeys(ACCEPTED, CONTENT)}.items():
        (landing / name).write_bytes(content)
    (landing / "odd-directory.csv").mkdir()
    writing = asyncio.create_task(grow(landing / "odd-growing.csv", landing / "odd-vanishing.csv"))
    while not writing.done():
        seen = await ledger(lab)
        assert writing.done() or "odd-growing.csv" not in seen
    await writing

    wanted = {*REFUSED, *ACCEPTED, "odd-directory.csv", "odd-growing.csv"}
    deadline = time.monotonic() + 60
    while not wanted <= (seen := await ledger(lab)).keys() or any(seen[n]["status"] == "pending" for n in wanted):
        assert time.monotonic() < deadline, wanted - seen.keys()
        await asyncio.sleep(0.25)

    for name in (*REFUSED, "odd-directory.csv"):
        assert seen[name]["status"] == "refused", seen[name]
        assert seen[name]["reason"], seen[name]
    for name in (*ACCEPTED, "odd-growing.csv"):
        assert seen[name]["status"] == "published", seen[name]
    assert "odd-vanishing.csv" not in seen
    assert lab.status()["ingest"]["restarts"] == restarts


async def test_their_runs_complete(lab: Lab) -> None:
    """The names with spaces, `=`, `%` and accents must get through the bridge and Spark as well."""
    addresses = lab.addresses
    names = {name for name in await ledger(lab) if name in (*ACCEPTED, "odd-growing.csv")}
    assert len(names) == len(ACCEPTED) + 1
    events = [(await ledger(lab))[name]["event_id"] for name in names]
    deadline = time.monotonic() + 400
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for event_id in events:
            body = {"flow_runs": {"tags": {"all_": [f"datalab.event={event_id}"]}}}
            while True:
                answer = await client.post(f"{addresses.prefect_api}/flow_runs/filter", json=body)
                states = [run["state_type"] for run in answer.raise_for_status().json()]
                if states == ["COMPLETED"]:
                    break
                assert time.monotonic() < deadline, (event_id, states)
                assert states in ([], ["SCHEDULED"], ["PENDING"], ["RUNNING"]), states
                await asyncio.sleep(0.5)
