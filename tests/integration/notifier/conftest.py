"""The inbox and the notifier as processes, on a broker of their own and the module's database."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.integration.notifier.parts import (
    SECRET,
    Process,
    Receiver,
    begin_at_the_end,
    process,
    scripted_receiver,
)
from tests.support.lab_parts import kafka_broker
from tests.support.processes import free_port

StartNotifier = Callable[..., AbstractContextManager[Process]]


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of its own: a new group reads from the beginning, and other suites' events would be delivered too."""
    with kafka_broker(tmp_path_factory.mktemp("notifier-kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
def inbox_smtp_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def inbox(tmp_path_factory: pytest.TempPathFactory, inbox_smtp_port: int) -> Iterator[Process]:
    home, port = tmp_path_factory.mktemp("inbox"), free_port()
    env = {
        "DATALAB_HOME": str(home),
        "INBOX_HTTP_PORT": str(port),
        "INBOX_SMTP_PORT": str(inbox_smtp_port),
        "ALERT_WEBHOOK_SECRET": SECRET,
    }
    with process("datalab.local.inbox", port, env, home / "inbox.log") as started:
        yield started


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    with scripted_receiver() as started:
        yield started


@pytest.fixture(scope="module")
def start_notifier(
    tmp_path_factory: pytest.TempPathFactory,
    kafka_bootstrap: str,
    database_url: str,
    inbox: Process,
    inbox_smtp_port: int,
    receiver: Receiver,
) -> StartNotifier:
    """Starts notifiers that share one group, one database, one inbox; retries are short. Receivers are given time: on a
    busy machine an answer takes its while, and a message that is tried again for want of it comes twice."""
    home, group = tmp_path_factory.mktemp("notifier"), f"notifier-{uuid.uuid4().hex[:8]}"
    asyncio.run(begin_at_the_end(kafka_bootstrap, group))

    def start(**env: str) -> AbstractContextManager[Process]:
        port = free_port()
        allowed = ",".join(url.removeprefix("http://") for url in (inbox.url, receiver.url))
        settings = {
            "DATALAB_HOME": str(home),
            "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
            "DATABASE_URL": database_url,
            "NOTIFIER_PORT": str(port),
            "NOTIFIER_GROUP": group,
            "NOTIFIER_ALLOWED_HOSTS": allowed,
            "NOTIFIER_RETRY_S": "0.2,0.2,0.2",
            "NOTIFIER_LEASE_S": "15",
            "NOTIFIER_DEADLINE_S": "10",
            "NOTIFIER_POLL_S": "0.2",
            "NOTIFIER_SLOTS": "10",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(inbox_smtp_port),
            "ALERT_EMAIL_TO": "data-team@datalab.example",
            "SLACK_WEBHOOK_URL": f"{inbox.url}/slack/services/T0/B0/planted-slack-secret",
            "TEAMS_WEBHOOK_URL": f"{inbox.url}/teams/workflows/planted-teams-secret",
            "ALERT_WEBHOOK_URL": f"{inbox.url}/webhooks/alerts",
            "ALERT_WEBHOOK_SECRET": SECRET,
        }
        log = Path(home) / f"notifier-{port}.log"
        return process("services.notifier", port, {**settings, **env}, log)

    return start
