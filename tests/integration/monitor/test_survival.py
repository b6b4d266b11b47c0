"""The monitor is killed, its database goes away, its stream stands still: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from datalab.bus.batch import TakenRecord
from datalab.bus.publisher import Publisher, RecordRef
from datalab.store.engine import create_engine, create_sessions
from datalab.store.tables.monitor import EpisodeRow
from schemas.alerts import AlertFiring
from schemas.envelope import event_id, new_event
from services.monitor.progress import Progress
from services.monitor.stream import EventStream, StreamStalledError
from tests.integration.monitor.parts import Taps, database_gate, monitor
from tests.support.monitor_events import quality_failed, quality_passed
from tests.support.polling import eventually


async def test_killed_mid_stream_every_failure_still_fires_exactly_once(
    home: Path, kafka_bootstrap: str, database_url: str, taps: Taps, dataset: str
) -> None:
    group, names = f"monitor-{dataset}", [f"{dataset}-{n}" for n in range(60)]
    with monitor(home, kafka_bootstrap, database_url, group) as first:
        await first.caught_up()
        publishing = asyncio.create_task(taps.publish(*(quality_failed(name) for name in names)))
        await eventually(lambda: _firing(taps, dataset), until=lambda found: len(found) >= 5)
        first.kill()
        await publishing
    with monitor(home, kafka_bootstrap, database_url, group) as second:
        await eventually(lambda: _firing(taps, dataset), until=lambda found: set(found) == set(names), within_s=120)
        await second.ready()
        assert await _open_episodes(database_url, dataset) == sorted(names)
    found = await _firing(taps, dataset, distinct=True)
    assert sorted(found) == sorted(names), "a repeat has the same id"


async def test_what_was_stored_and_not_published_is_published_once_and_replayed_events_raise_nothing(
    home: Path, kafka_bootstrap: str, database_url: str, taps: Taps, dataset: str
) -> None:
    with monitor(home, kafka_bootstrap, database_url, f"monitor-{dataset}-a") as first:
        await first.caught_up()
        await taps.publish(quality_failed(dataset), quality_passed(dataset), quality_failed(dataset))
        assert len(await taps.until_alerts(3, dataset=dataset)) == 3
        assert first.process.poll() is None
    lost = f"{dataset}-lost"
    await _store_unpublished(database_url, lost)

    # Another group starts at the beginning: every event of the topics is seen again.
    with monitor(home, kafka_bootstrap, database_url, f"monitor-{dataset}-b") as second:
        await second.ready()
        [alert] = await taps.until_alerts(1, dataset=lost)
        assert alert.id == event_id("firing", alert.data["episode"])
        await taps.publish(quality_failed(f"{dataset}-last"))
        await taps.until_handled(f"monitor-{dataset}-b", "lab.quality")
        await taps.until_alerts(1, dataset=f"{dataset}-last")
        assert len(await taps.alerts(dataset=dataset)) == 3
        assert len(await taps.alerts(dataset=lost)) == 1


async def test_a_database_that_goes_away_for_some_seconds_costs_nothing(
    home: Path, kafka_bootstrap: str, database_url: str, taps: Taps, dataset: str
) -> None:
    names = [f"{dataset}-{n}" for n in range(20)]
    with tempfile.TemporaryDirectory() as folder:  # short: the path of a socket has 108 bytes
        async with database_gate(database_url, Path(folder)) as gate:
            with monitor(home, kafka_bootstrap, gate.url, f"monitor-{dataset}") as running:
                await running.ready()
                await taps.publish(*(quality_failed(name) for name in names[:10]))
                await taps.until_alerts(1, dataset=names[0])
                await gate.close()
                await taps.publish(*(quality_failed(name) for name in names[10:]))
                await eventually(running.unready, until=lambda reason: "database" in (reason or ""))
                # It says so before it has tried to store anything; back too soon, the database was never missed.
                await eventually(lambda: asyncio.to_thread(_retried, running.log))
                await gate.open()
                await eventually(lambda: _firing(taps, dataset), until=lambda found: set(found) == set(names))
                await running.ready()
                assert await _open_episodes(database_url, dataset) == sorted(names)

                started = time.monotonic()
                running.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(running.process.wait, 10) == 0
                assert time.monotonic() - started < 5


async def test_a_stream_that_stands_still_ends_with_a_reason(tmp_path: Path, kafka_bootstrap: str, taps: Taps) -> None:
    handled: list[RecordRef] = []

    class Taker:
        async def read(self, records: Sequence[TakenRecord]) -> Any:
            return [record.ref for record in records]

        async def store(self, read: Any) -> None:
            handled.extend(read)

    async with Publisher(kafka_bootstrap, "tests") as publisher:

        async def broker_answers() -> bool:
            return await publisher.check() is None

        stream = EventStream(
            bootstrap=kafka_bootstrap,
            group=f"monitor-{uuid.uuid4().hex[:8]}",
            topics=["lab.quality"],
            folder=tmp_path,
            taker=Taker(),
            progress=Progress(5.0, time.monotonic),
            broker_answers=broker_answers,
        )
        running = asyncio.create_task(stream.run(asyncio.Event()))
        await eventually(stream.check, until=lambda reason: reason is None)
        # What faust does by itself when its fetcher dies: it says nothing and reads no more.
        await stream._app._fetcher.stop()
        [ref] = await taps.publish(quality_failed(f"stocks-{uuid.uuid4().hex[:8]}"))
        with pytest.raises(StreamStalledError, match="records wait and none was handled"):
            await asyncio.wait_for(running, 60)
    assert ref not in handled


async def test_a_wrong_rule_file_ends_the_process_with_its_reason(
    home: Path, tmp_path: Path, kafka_bootstrap: str, database_url: str
) -> None:
    (tmp_path / "alerts.yaml").write_text("rules: [{name: x}]")
    with monitor(home, kafka_bootstrap, database_url, "unused", DATALAB_CONFIG_DIR=str(tmp_path)) as refused:
        assert await asyncio.to_thread(refused.process.wait, 90) == 1
        assert "rules[0] (x).on: Field required" in refused.log.read_text()


def _retried(log: Path) -> bool:
    said = log.read_text("utf-8")
    return "event.retry" in said or "outbox.retry" in said


async def _firing(taps: Taps, prefix: str, *, distinct: bool = False) -> list[str]:
    """The datasets of the firing alerts of a test; `distinct` drops records with an id seen before."""
    events = [event for event in await taps.alerts() if event.data["labels"].get("dataset", "").startswith(prefix)]
    if distinct:
        events = list({event.id: event for event in events}.values())
    return [event.data["labels"]["dataset"] for event in events]


async def _open_episodes(database_url: str, prefix: str) -> list[str]:
    engine = create_engine(database_url)
    async with create_sessions(engine)() as session:
        rows = (await session.execute(select(EpisodeRow).where(EpisodeRow.status == "firing"))).scalars().all()
    await engine.dispose()
    return sorted(row.labels["dataset"] for row in rows if row.labels.get("dataset", "").startswith(prefix))


async def _store_unpublished(database_url: str, dataset: str) -> None:
    """What a monitor leaves behind that is killed after its commit and before it published."""
    now, episode = datetime.now(UTC), str(uuid.uuid4())
    alert = AlertFiring(
        fingerprint=uuid.uuid4().hex,
        episode=episode,
        rule="data-quality",
        severity="error",
        summary="s",
        labels={"dataset": dataset},
        starts_at=now,
    )
    event = new_event(alert, source="datalab/monitor", id=event_id("firing", episode), time=now)
    engine = create_engine(database_url)
    async with create_sessions(engine).begin() as session:
        session.add(
            EpisodeRow(
                **alert.model_dump(),
                status="firing",
                firing_event=event.model_dump(mode="json"),
                updated_at=now - timedelta(minutes=5),
            )
        )
    await engine.dispose()
