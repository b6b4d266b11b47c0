"""The architecture page must not drift from what the topics say."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.catalog import DEAD_LETTERS, EVENT_TYPES, topics

ROOT = Path(__file__).parents[2]
_ARROW = re.compile(r"^ {4}([\w.-]+) --> ([\w.-]+)$", re.MULTILINE)
_SAID_IN_WORDS = {DEAD_LETTERS}
_OUTSIDE = {"S3 store", "Prefect", "cli"}


def drawn_arrows() -> set[tuple[str, str]]:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    picture = page.split("```mermaid")[1].split("```")[0]
    return set(_ARROW.findall(picture))


def declared_arrows() -> set[tuple[str, str]]:
    specs = [spec for spec in topics() if spec.name not in _SAID_IN_WORDS]
    into = {(who, spec.name) for spec in specs for who in spec.producers if who not in _OUTSIDE}
    out_of = {(spec.name, who) for spec in specs for who in spec.consumers if who not in _OUTSIDE}
    return into | out_of


def test_the_picture_shows_every_producer_and_consumer_and_nothing_else() -> None:
    assert drawn_arrows() == declared_arrows()


def test_every_event_type_has_a_topic_that_is_declared() -> None:
    declared = {spec.name for spec in topics()}
    assert {model.topic for model in EVENT_TYPES.values()} <= declared


def test_every_service_of_the_topics_is_a_folder() -> None:
    named = {who for spec in topics() for who in (*spec.producers, *spec.consumers)} - _OUTSIDE
    for who in named:
        assert (ROOT / "services" / who / "app.py").is_file() or (ROOT / who / "__init__.py").is_file(), who
