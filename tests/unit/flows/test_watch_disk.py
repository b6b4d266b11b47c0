"""Whether a disk has room, by what the system says of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from flows.watch.exercises import has_room

GB = 1_000_000_000


class Usage(NamedTuple):
    """As `shutil.disk_usage` answers."""

    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("total", "free", "reason"),
    [
        (100, 6 * GB, None),
        (100, 4 * GB, "4.0 GB of 100 GB are left"),
        (10, GB * 8 // 10, "0.8 GB of 10 GB are left"),
    ],
)
async def test_a_disk_has_room_until_it_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: int, reason: str | None
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(total * GB, total * GB - free, free))
    assert await has_room(tmp_path / "not" / "there" / "yet") == reason


async def test_the_disk_of_this_machine_is_looked_at(tmp_path: Path) -> None:
    answer = await has_room(tmp_path)
    assert answer is None or answer.endswith("are left")
