"""Apprise, Kafka and addresses in Prefect's blocks: what is sent, what is refused, what is never shown."""

from __future__ import annotations

import httpx
import pytest

from datalab.runtime.clock import SystemClock
from schemas.envelope import Event, new_event
from schemas.notifications import NotificationAnnounced
from services.notifier.bundles import Note, Notice
from services.notifier.channels.apprise import AppriseChannel, opened
from services.notifier.channels.kafka import KafkaChannel
from services.notifier.delivery import Delivery, Target
from services.notifier.messages import Phrasebook
from services.notifier.prefect_blocks import BlockUnreadableError, PrefectBlocks
from tests.unit.notifier.alerts import firing

WORDS = Phrasebook("en", "UTC")
SECRET = "123456789:planted-secret-of-a-bot-0000000000"


def delivery(channel: str, notice: Notice | None = None) -> Delivery:
    event = new_event(firing(summary="Spark is down"), source="t")
    return Delivery("delivery-1", event, channel, "t", "receiver:t", None, 1, 1, notice)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        (f"tgram://{SECRET}/12315544/", None),
        ("json://169.254.169.254/latest", "refused: the address names a host of its own"),
        ("json://localhost:9/x", None),  # allowed below
        ("mailto://user:secret@mail.example", "refused: the address names a host of its own"),
        ("nothing-such://secret", "the address is none that Apprise knows"),
        ("", "the address is none that Apprise knows"),
    ],
)
def test_an_apprise_address_that_names_a_host_must_be_allowed(url: str, fault: str | None) -> None:
    service, why = opened(url, {"localhost:9"})
    assert (service is None) is (fault is not None)
    assert (why or "").startswith(fault or "")
    assert "secret" not in (why or "")


async def test_a_refused_apprise_address_is_final_and_is_not_shown() -> None:
    target = Target("t", "apprise", "json://user:planted@10.0.0.1/x")
    result = await AppriseChannel(WORDS, ()).send(delivery("apprise"), target)
    assert (result.delivered, result.permanent) == (False, True)
    assert "planted" not in (result.reason or "")


async def test_what_apprise_would_send_can_be_seen() -> None:
    shown = await AppriseChannel(WORDS, ()).preview(delivery("apprise"), Target("t", "apprise", f"tgram://{SECRET}/1/"))
    assert shown["service"] == "Telegram"
    assert shown["title"] == "🔴 Error: Spark is down"
    assert "team: data" in shown["body"]
    assert SECRET not in str(shown)


class Published:
    """What was published, instead of Kafka."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, event: Event) -> None:
        self.events.append(event)


async def test_kafka_gets_the_message_under_the_deliverys_id() -> None:
    published = Published()
    channel = KafkaChannel(published, WORDS)  # type: ignore[arg-type]  # has all that the channel uses
    repeated = delivery("kafka", Notice(note=Note(kind="repeat", number=3)))
    result = await channel.send(repeated, Target("bus", "kafka", language="pt"))
    assert result.delivered
    [event] = published.events
    assert (event.id, event.type) == ("delivery-1", NotificationAnnounced.type)
    assert (event.data["reason"], event.data["note"]) == ("repeat", "Continua em alerta (lembrete 3).")
    assert event.causationid == repeated.event.id


def blocks(answer: httpx.Response | Exception) -> PrefectBlocks:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/block_types/slug/slack-webhook/block_documents/name/alerts"
        if isinstance(answer, Exception):
            raise answer
        return answer

    return PrefectBlocks(
        httpx.AsyncClient(transport=httpx.MockTransport(handle)), "http://prefect.example/api/", SystemClock()
    )


async def test_a_blocks_url_is_read_and_kept_for_a_while() -> None:
    read = blocks(httpx.Response(200, json={"data": {"url": "https://hooks.slack.example/x"}}))
    assert await read.slack_url("alerts") == await read.slack_url("alerts") == "https://hooks.slack.example/x"


@pytest.mark.parametrize(
    ("answer", "said", "permanent"),
    [
        (httpx.Response(404), "Prefect has no Slack Webhook block named alerts", False),
        (httpx.Response(503), "Prefect answered 503 for block alerts", False),
        (httpx.Response(200, json={"data": {"token": "planted"}}), "Prefect's block alerts has no url", True),
        (httpx.ConnectError("http://user:planted@prefect"), "Prefect does not answer: ConnectError", False),
    ],
)
async def test_a_block_that_cannot_be_read_is_told(
    answer: httpx.Response | Exception, said: str, permanent: bool
) -> None:
    with pytest.raises(BlockUnreadableError, match=said) as caught:
        await blocks(answer).slack_url("alerts")
    assert caught.value.permanent is permanent
    assert "planted" not in str(caught.value)
