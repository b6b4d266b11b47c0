"""What the lab's pages and Prometheus ask for besides runs: services, topics, tables, alerts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_records
from schemas import metrics as names
from schemas.catalog import DEAD_LETTERS
from tests.integration.monitor.parts import Monitor, Taps, entry
from tests.support.monitor_events import degraded, measured, quality_failed, quality_passed, recovered
from tests.support.polling import eventually


@pytest.fixture(autouse=True)
async def _ready(running: Monitor) -> None:
    await running.caught_up()


async def test_a_service_is_shown_with_its_failing_checks_and_what_it_uses(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    now = datetime.now(UTC)
    read = [degraded(dataset, "read"), recovered(dataset, "read")]
    failing = degraded(dataset, "write", since=now - timedelta(minutes=2))
    await taps.publish(
        *read,
        failing,
        measured(dataset, names.SERVICE_CPU, 10.0, time=now - timedelta(seconds=20)),
        measured(dataset, names.SERVICE_CPU, 15.0, time=now - timedelta(seconds=10)),
        measured(dataset, names.SERVICE_CPU, 11.0, time=now - timedelta(seconds=15)),
        measured(dataset, names.SERVICE_MEMORY, 1e8, time=now - timedelta(seconds=10)),
    )

    async def service() -> dict[str, Any]:
        return await entry(running, "services", "service", dataset)

    def is_all(found: dict[str, Any]) -> bool:
        """Of two topics, which are handled beside each other, and each maybe in more than one batch."""
        return found.get("memory_bytes") == 1e8 and [f["check"] for f in found["failing"]] == ["write"]

    found = await eventually(service, until=is_all)
    assert found["status"] == "degraded"
    assert [(f["check"], f["reason"]) for f in found["failing"]] == [("write", "no answer within 5 s")]
    assert datetime.fromisoformat(found["failing"][0]["since"]) == now - timedelta(minutes=2)
    assert (found["cpu_seconds"], found["cpu_share"]) == (15.0, 0.5), "the latecomer changes nothing"
    assert datetime.fromisoformat(found["last_seen"]) == failing.time

    await running.shows(f'datalab_monitor_service_up{{service="{dataset}"}} 0.0')
    await taps.publish(recovered(dataset, "write"), measured(dataset, names.SERVICE_CPU, 1.0))
    well = await eventually(service, until=lambda found: found["cpu_seconds"] == 1.0 and found["status"] == "ok")
    assert (well["cpu_share"], well["failing"]) == (None, []), "it was started anew"
    await running.shows(
        f'datalab_monitor_service_up{{service="{dataset}"}} 1.0',
        f'datalab_monitor_service_cpu_seconds{{service="{dataset}"}} 1.0',
        f'datalab_monitor_service_memory_bytes{{service="{dataset}"}} 1e+08',
    )


async def test_topics_and_tables_are_shown_by_their_newest_measurements(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    table, now = f"silver/{dataset}", datetime.now(UTC)
    await taps.publish(
        measured(dataset, names.TOPIC_RECORDS, 40.0),
        measured(dataset, names.TOPIC_SIZE, 9e6),
        measured(dataset, names.TOPIC_LAG, 7.0, group="bridge"),
        measured(dataset, names.TOPIC_LAG, 0.0, group="monitor"),
        measured(dataset, names.TOPIC_LAG, 5.0),
        measured(dataset, "topic.colour", 5.0),
        measured(dataset, names.TOPIC_RECORDS, float("nan")),
        measured(table, names.TABLE_ROWS, 12_154.0),
        measured(table, names.TABLE_FILES, 3.0),
        measured(table, names.TABLE_SIZE, 4e5),
        measured(table, names.TABLE_AGE, 60.0, time=now),
        measured(f"gold/{dataset}", names.TABLE_AGE, 1e300),
    )

    async def topic() -> dict[str, Any]:
        return await entry(running, "topics", "topic", dataset)

    found = await eventually(topic, until=lambda topic: len(topic.get("groups", [])) == 2)
    assert (found["records"], found["size_bytes"]) == (40.0, 9e6)
    assert [(g["group"], g["lag"]) for g in found["groups"]] == [("bridge", 7.0), ("monitor", 0.0)]
    odd = await eventually(lambda: entry(running, "datasets", "dataset", f"gold/{dataset}"))
    assert (odd["updated_at"], odd["rows"]) == (None, None)
    # Another partition's, so the odd one being there says nothing of this.
    shown = await eventually(
        lambda: entry(running, "datasets", "dataset", table), until=lambda shown: shown.get("age_seconds") is not None
    )
    assert (shown["layer"], shown["table"], shown["rows"], shown["files"]) == ("silver", dataset, 12_154.0, 3.0)
    assert (shown["size_bytes"], shown["age_seconds"]) == (4e5, 60.0)
    assert datetime.fromisoformat(shown["updated_at"]) == now - timedelta(seconds=60)
    # Those of no use come after what was waited for, so maybe in a later batch.
    outcomes = ("unknown", "unusable", "stored")
    await running.shows(*(f'datalab_monitor_measurements_total{{outcome="{outcome}"}}' for outcome in outcomes))


async def test_alerts_are_counted(running: Monitor, taps: Taps, dataset: str) -> None:
    before = (await running.get("/v1/summary")).json()["alerts"]
    for n in range(3):
        await taps.publish(quality_failed(f"{dataset}-{n}"))
    await taps.publish(quality_passed(f"{dataset}-0"))
    await taps.until_alerts(2, dataset=f"{dataset}-0")
    for n in (1, 2):
        await taps.until_alerts(1, dataset=f"{dataset}-{n}")
    after = (await running.get("/v1/summary")).json()["alerts"]
    assert after["open"]["error"] - before["open"]["error"] == 2
    assert [after["fired"][w] - before["fired"][w] for w in ("hour", "day", "week")] == [3, 3, 3]
    page = (await running.get("/v1/alerts?rule=data-quality&page_size=1")).json()
    assert page["counts"]["firing"] >= 2
    assert page["counts"]["resolved"] >= 1
    assert (await running.get("/v1/alerts?rule=data-quality&status=firing")).json()["counts"]["resolved"] == 0

    fired = f'datalab_monitor_alerts_fired{{window="hour"}} {after["fired"]["hour"]:.1f}'
    await running.shows(fired)


async def test_an_event_from_the_far_future_is_buried_and_silences_nothing(
    running: Monitor, taps: Taps, dataset: str, kafka_bootstrap: str
) -> None:
    passed = quality_passed(dataset, time=datetime.now(UTC) + timedelta(days=400))
    [ref] = await taps.publish(passed)
    failed = quality_failed(dataset)
    await taps.publish(failed)
    [alert] = await taps.until_alerts(1, dataset=dataset)
    assert alert.causationid == failed.id
    letters = [
        dict(r.headers) async for r in read_records(kafka_bootstrap, [DEAD_LETTERS]) if r.key == dataset.encode()
    ]
    # Other monitors of this session bury the record too.
    assert {int(letter["dlq_offset"]) for letter in letters} == {ref.offset}
    assert letters[0]["dlq_reason"].startswith(f"time: {passed.time.isoformat()} is more than a day ahead of".encode())


async def test_many_measurements_do_not_hold_up_an_alert(running: Monitor, dataset: str, kafka_bootstrap: str) -> None:
    async with Publisher(kafka_bootstrap, "tests") as publisher:
        taps = Taps(kafka_bootstrap, publisher)
        await publisher.publish_many(measured(dataset, names.TOPIC_LAG, n, group="g") for n in range(500))
        await taps.publish(quality_failed(dataset))
        await taps.until_alerts(1, within_s=10, dataset=dataset)
