"""The plan: needs come first, circles are refused, a choice of parts brings what it needs."""

from __future__ import annotations

import pytest

from datalab.local.plan import PlanError, all_parts, creators, levels, select, wanted_ports


def test_what_is_needed_comes_in_an_earlier_level() -> None:
    needs = {part.name: part.needs for part in all_parts()}
    position = {name: index for index, names in enumerate(levels(needs)) for name in names}

    assert set(position) == set(needs)
    assert all(position[need] < position[name] for name, wanted in needs.items() for need in wanted)


def test_parts_without_needs_start_together() -> None:
    assert set(levels({"a": (), "b": (), "c": ("a", "b")})[0]) == {"a", "b"}


def test_a_circle_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match=r"circle: .*a.*b"):
        levels({"a": ("b",), "b": ("a",), "c": ()})


def test_a_choice_brings_what_it_needs_and_nothing_else() -> None:
    assert [part.name for part in select(all_parts(), ["bridge"])] == [
        "postgres",
        "kafka",
        "prefect",
        "migrations",
        "topics",
        "bridge",
    ]


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PlanError, match=r"'kafak'.*kafka"):
        select(all_parts(), ["kafak"])


def test_no_two_parts_want_the_same_port() -> None:
    wanted = wanted_ports(all_parts(), {})

    assert len(set(wanted.values())) == len(wanted)
    assert wanted["kafka"] == 9092


def test_the_environment_says_which_port_is_wanted() -> None:
    wanted = wanted_ports(all_parts(), {"INGEST_PORT": "9181", "INBOX_HTTP_PORT": "9125", "BRIDGE_PORT": "tcp://x:1"})

    assert (wanted["ingest"], wanted["inbox"], wanted["bridge"]) == (9181, 9125, 8082)


def test_every_part_has_a_name_of_its_own() -> None:
    names = [part.name for part in all_parts()]

    assert len(set(names)) == len(names)
    assert {
        "kafka",
        "postgres",
        "prefect",
        "mlflow",
        "spark",
        "ingest",
        "bridge",
        "monitor",
        "notifier",
        "dashboard",
        "inbox",
        "etl-worker",
        "mlops-worker",
    } <= set(names)


def test_the_dashboard_starts_by_itself() -> None:
    assert [part.name for part in select(all_parts(), ["dashboard"])] == ["dashboard"]


def test_creators_of_runs_are_as_many_as_asked_for_each_on_its_port() -> None:
    names = {part.name: part for part in all_parts(creators=creators({"DATALAB_PREFECT_CREATORS": "2"}))}

    assert {"prefect-creator", "prefect-creator-2"} <= set(names)
    assert wanted_ports(names.values(), {"PREFECT_CREATOR_PORT": "14201"})["prefect-creator"] == 14201
    assert wanted_ports(names.values(), {})["prefect-creator-2"] == 4202
    assert creators({}) == creators({"DATALAB_PREFECT_CREATORS": " "}) == 0


@pytest.mark.parametrize("wrong", ["-1", "5", "two", "1.5"])
def test_a_number_of_creators_that_cannot_be_is_refused_with_what_can(wrong: str) -> None:
    with pytest.raises(PlanError, match=r"DATALAB_PREFECT_CREATORS: is .*; write a number from 0 to 4"):
        creators({"DATALAB_PREFECT_CREATORS": wrong})
