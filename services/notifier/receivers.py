"""Receivers of `config/notify.yaml`, and receivers joined with the variables that hold their addresses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from services.notifier.delivery import ChannelName, Target
from services.notifier.fields import Name, Rate, Span, Strict, Variable
from services.notifier.settings import Language
from services.notifier.signing import secret_fault

Environment = Mapping[str, str]
# Messages a second, and how many at once, that the services themselves allow.
_PACES: dict[str, tuple[float | None, int]] = {
    "slack": (1.0, 1),
    "teams": (4.0, 4),
    "email": (5.0, 20),
    "apprise": (1.0, 5),
}


class _Receiver(Strict):
    """What every receiver has. More than `rate` messages wait, burst apart; where the oldest has waited longer than
    `digest_after`, all that wait become one. `fallback` is told what could not be delivered, or not within a time."""

    name: Name
    rate: Rate | None = None
    burst: int | None = Field(default=None, ge=1, le=1000)
    digest_after: Span = timedelta(minutes=1)
    fallback: Name | None = None
    fallback_after: Span = timedelta(minutes=5)
    language: Language | None = None

    def _target(self, channel: ChannelName, **more: Any) -> Target:
        rate, burst = _PACES.get(channel, (None, 1))
        return Target(
            self.name,
            channel,
            rate_s=self.rate or rate,
            burst=self.burst or (max(1, math.ceil(self.rate)) if self.rate else burst),
            digest_after_s=self.digest_after.total_seconds(),
            fallback=self.fallback,
            language=self.language,
            fallback_after_s=self.fallback_after.total_seconds(),
            **more,
        )


class EmailReceiver(_Receiver):
    """People, by mail through SMTP_HOST."""

    channel: Literal["email"]
    to: list[str] = Field(default_factory=list)
    to_env: Variable | None = None

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if not self.to and self.to_env is None:
            raise ValueError("needs `to` or `to_env`")
        return self

    def target(self, environment: Environment) -> Target:
        """The receiver with its addresses."""
        listed = self.to or environment.get(self.to_env or "", "").split(",")
        recipients = tuple(address.strip() for address in listed if address.strip())
        missing = None if environment.get("SMTP_HOST") else "SMTP_HOST"
        if not recipients:
            missing = self.to_env
        return self._target(self.channel, recipients=recipients, unavailable=_unset(self.name, missing))


class _HttpReceiver(_Receiver):
    url: SecretStr | None = None
    url_env: Variable | None = None

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("needs either `url` or `url_env`")
        return self

    def address(self, environment: Environment) -> str:
        """The URL, empty where its variable is not set."""
        return self.url.get_secret_value() if self.url else environment.get(self.url_env or "", "").strip()

    def missing(self, environment: Environment) -> str | None:
        """The variable that is not set, if any."""
        return None if self.address(environment) else self.url_env


class SlackReceiver(_HttpReceiver):
    """A Slack channel, by incoming webhook; its address may be that of a Slack Webhook block of Prefect."""

    channel: Literal["slack"]
    prefect_block: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,200}$")

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if sum(place is not None for place in (self.url, self.url_env, self.prefect_block)) != 1:
            raise ValueError("needs one of `url`, `url_env` and `prefect_block`")
        return self

    def target(self, environment: Environment) -> Target:
        """The receiver with its address."""
        if self.prefect_block:
            return self._target(self.channel, block=self.prefect_block)
        unavailable = _unset(self.name, self.missing(environment))
        return self._target(self.channel, url=self.address(environment), unavailable=unavailable)


class TeamsReceiver(_HttpReceiver):
    """A Teams channel, by Workflows webhook."""

    channel: Literal["teams"]

    def target(self, environment: Environment) -> Target:
        """The receiver with its address."""
        unavailable = _unset(self.name, self.missing(environment))
        return self._target(self.channel, url=self.address(environment), unavailable=unavailable)


class WebhookReceiver(_HttpReceiver):
    """Any system, by a webhook; signed when `secret_env` is given."""

    channel: Literal["webhook"]
    secret_env: Variable | None = None

    def target(self, environment: Environment) -> Target:
        """The receiver with its address and secret."""
        secret = environment.get(self.secret_env or "", "").strip()
        missing = self.missing(environment) or (None if secret or not self.secret_env else self.secret_env)
        unavailable = _unset(self.name, missing)
        if secret and (fault := secret_fault(secret)):
            unavailable = f"receiver {self.name} is not configured: {self.secret_env} {fault}"
        keys = (secret,) if secret else ()
        return self._target(self.channel, url=self.address(environment), secrets=keys, unavailable=unavailable)


class KafkaReceiver(_Receiver):
    """Whatever reads `lab.notifications`."""

    channel: Literal["kafka"]

    def target(self, _: Environment) -> Target:
        """The receiver; Kafka is where it always is."""
        return self._target(self.channel)


class AppriseReceiver(_HttpReceiver):
    """A service that Apprise knows, by its address, such as `tgram://…` or `pagerduty://…`."""

    channel: Literal["apprise"]

    def target(self, environment: Environment) -> Target:
        """The receiver with its address."""
        unavailable = _unset(self.name, self.missing(environment))
        return self._target(self.channel, url=self.address(environment), unavailable=unavailable)


_Any = EmailReceiver | SlackReceiver | TeamsReceiver | WebhookReceiver | KafkaReceiver | AppriseReceiver
Receiver = Annotated[_Any, Field(discriminator="channel")]


def _unset(name: str, variable: str | None) -> str | None:
    return f"receiver {name} is not configured: set {variable}" if variable else None
