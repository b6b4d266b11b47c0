"""`tail -f /tmp/prefect-worker.log`: what real workers of a lab write is in the file that DATALAB_WORKER_LOG names."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from datalab.local.layout import LabLayout
from tests.support.lab_parts import fresh_database, lab_parts
from tests.support.polling import eventually

WORKERS = ("etl-worker", "mlops-worker")


def test_both_workers_of_a_lab_write_to_the_named_file(tmp_path: Path, database_server: str) -> None:
    log, home = tmp_path / "prefect-worker.log", tmp_path / "lab"
    environ = {"DATALAB_WORKER_LOG": str(log), "DATABASE_URL": fresh_database(database_server, migrated=False)}

    async def started() -> set[str]:
        lines = await asyncio.to_thread(log.read_text)
        return set(re.findall(r"Worker '([\w-]+)' started!", lines))

    with lab_parts(home, WORKERS, environ) as state:
        asyncio.run(eventually(started, until=lambda names: names == set(WORKERS)))
        # What `datalab status` shows is where it always is, and leads there.
        assert [Path(state.parts[worker].log).resolve() for worker in WORKERS] == [log.resolve()] * 2
    assert LabLayout.at(home).log("etl-worker").is_symlink()
