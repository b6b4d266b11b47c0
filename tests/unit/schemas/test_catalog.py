"""The catalogue agrees with itself: models, topics and keys."""

from __future__ import annotations

import pytest

from schemas.catalog import DEAD_LETTERS, EVENT_TYPES, UnknownEventTypeError, topic_for, topics


def test_every_type_goes_to_a_topic_that_is_created() -> None:
    names = {topic.name for topic in topics()}

    assert {model.topic for model in EVENT_TYPES.values()} <= names
    assert DEAD_LETTERS in names


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownEventTypeError, match=r"'lab\.nothing\.v1'.*lab\.file\.arrived\.v1"):
        topic_for("lab.nothing.v1")
