"""Topics of users' own types (`lab.events.*`): created when a type is registered or listened to, and found again."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.errors import KafkaError

from datalab.bus.admin import admin_client
from datalab.bus.topics import create_missing
from schemas.catalog import USER_TOPICS, is_user_type, user_topic


async def ensure_user_topics(bootstrap: str, types: Iterable[str]) -> None:
    """Create the topics of those that are users' types, where they are missing. Raises ConnectionError if the broker
    is away or does not do it."""
    specs = [user_topic(type_) for type_ in sorted(set(types)) if is_user_type(type_)]
    if not specs:
        return
    try:
        await create_missing(bootstrap, specs)
    except (KafkaError, OSError) as error:
        raise ConnectionError(f"Kafka does not create {specs[0].name}: {type(error).__name__}: {error}") from error


async def user_topics(bootstrap: str) -> list[str]:
    """The topics of users' types that are on the broker, by name. Raises ConnectionError without a broker."""
    try:
        async with admin_client(bootstrap) as admin:
            return sorted(name for name in await admin.list_topics() if name.startswith(USER_TOPICS))
    except (KafkaError, OSError) as error:
        raise ConnectionError(f"no Kafka broker answers at {bootstrap}") from error
