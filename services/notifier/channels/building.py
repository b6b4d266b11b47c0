"""The channels of a process, by name, from its settings."""

from __future__ import annotations

from datalab.bus.publisher import Publisher
from datalab.runtime.clock import Clock
from services.notifier.channels.apprise import AppriseChannel
from services.notifier.channels.email import EmailChannel, MailServer
from services.notifier.channels.kafka import KafkaChannel
from services.notifier.channels.slack import SlackChannel
from services.notifier.channels.teams import TeamsChannel
from services.notifier.channels.webhook import WebhookChannel
from services.notifier.delivery import Channel
from services.notifier.messages import Phrasebook
from services.notifier.outgoing import Outgoing
from services.notifier.prefect_blocks import PrefectBlocks
from services.notifier.settings import NotifierSettings


def build_channels(
    settings: NotifierSettings, outgoing: Outgoing, publisher: Publisher, blocks: PrefectBlocks, clock: Clock
) -> dict[str, Channel]:
    """Every channel, also those that no receiver uses now."""
    phrases = Phrasebook(settings.notifier_language, settings.notifier_timezone, settings.dashboard_url)
    return {
        "email": EmailChannel(_mail_server(settings), phrases, clock),
        "slack": SlackChannel(outgoing, phrases, blocks),
        "teams": TeamsChannel(outgoing, phrases),
        "webhook": WebhookChannel(outgoing, clock),
        "kafka": KafkaChannel(publisher, phrases),
        "apprise": AppriseChannel(phrases, settings.notifier_allowed_hosts),
    }


def _mail_server(settings: NotifierSettings) -> MailServer | None:
    if not settings.smtp_host:
        return None
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
    return MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.alert_email_from,
        settings.smtp_username,
        password,
        settings.smtp_tls,
    )
