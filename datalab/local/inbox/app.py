"""Composition root of the inbox: the box, SMTP, HTTP."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from datalab.local.inbox import api, receivers
from datalab.local.inbox.keyring import Keyring
from datalab.local.inbox.mail import check_smtp, smtp_server
from datalab.local.inbox.messages import MessageBox
from datalab.local.inbox.settings import InboxSettings
from datalab.runtime.health import Health
from datalab.runtime.serving import serve
from datalab.runtime.web import create_app


def build(settings: InboxSettings, box: MessageBox) -> FastAPI:
    """The HTTP side over this box."""
    health = Health()
    health.check("smtp", lambda: check_smtp(settings.host, settings.inbox_smtp_port))
    secret = settings.alert_webhook_secret
    given = {"alerts": secret.get_secret_value()} if secret else {}
    keyring = Keyring(settings.folder / "secrets.json", given)
    app = create_app("inbox", health, description="What the lab sent: mail, Slack, Teams and webhooks.")
    app.include_router(api.router(box, keyring))
    app.include_router(receivers.router(box, keyring))
    return app


async def main(stop: asyncio.Event) -> None:
    """Run the inbox until `stop` is set."""
    settings = InboxSettings()
    box = MessageBox(settings.folder / "messages", settings.inbox_keep)
    async with smtp_server(box, settings.host, settings.inbox_smtp_port):
        await serve(build(settings, box), settings.host, settings.inbox_http_port, stop)
