"""Lines of logs from a real Prefect server, and what becomes of an alert's wish for them without one."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import httpx
from structlog.testing import capture_logs

from datalab.runtime.clock import SystemClock
from services.monitor.log_lines import PrefectLogs
from tests.support.odd_servers import silent_server
from tests.support.polling import eventually


async def test_the_last_lines_of_each_run_come_from_prefect(prefect_api_url: str) -> None:
    runs = [str(uuid.uuid4()) for _ in range(2)]
    messages = ["Beginning", "Finished with password=hunter2"]
    lines = [
        {"name": "prefect.flow_runs", "level": 20, "message": message, "flow_run_id": run,
         "timestamp": datetime(2026, 3, 2, 9, 0, second, tzinfo=UTC).isoformat()}
        for run in runs for second, message in enumerate(messages)
    ]  # fmt: skip
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.post(f"{prefect_api_url}/logs/", json=lines)).raise_for_status()
        logs = PrefectLogs(prefect_api_url, client, SystemClock())
        found = await eventually(
            lambda: PrefectLogs(prefect_api_url, client, SystemClock()).of([*runs, str(uuid.uuid4()), "no-uuid"]),
            until=lambda found: len(found) == len(runs),
        )
        assert found == dict.fromkeys(sorted(runs), "09:00:00 Beginning\n09:00:01 Finished with password=***")
        assert await logs.of([]) == {}
        # Whose alert goes without lines is told, as whoever reads the alert may look for them.
        unknown = str(uuid.uuid4())
        with capture_logs() as said:
            assert set(await logs.of([*runs, unknown])) == set(runs)
        assert [(line["event"], line["runs"]) for line in said] == [("alert.without_log", [unknown])]
        assert "no lines of it so far" in said[0]["reason"]


async def test_a_server_that_hangs_holds_up_one_alert_for_a_moment_and_the_next_not_at_all() -> None:
    with silent_server() as port:
        async with httpx.AsyncClient(trust_env=False) as client:
            asked: list[httpx.Request] = []

            async def note(request: httpx.Request) -> None:
                asked.append(request)

            client.event_hooks["request"].append(note)
            logs = PrefectLogs(f"http://127.0.0.1:{port}/api", client, SystemClock(), within_s=0.3)
            run = str(uuid.uuid4())
            began = time.monotonic()
            assert await logs.of([run]) == {}
            assert time.monotonic() - began < 2
            assert len(asked) == 1
            # What does not ask cannot wait.
            assert await logs.of([run]) == {}
            assert len(asked) == 1
