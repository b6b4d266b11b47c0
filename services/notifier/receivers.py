"""Receivers of `config/notify.yaml`, and receivers joined with the variables that hold their addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from services.notifier.delivery import Target
from services.notifier.fields import Name, Strict, Variable
from services.notifier.signing import secret_fault

Environment = Mapping[str, str]


class EmailReceiver(Strict):
    """People, by mail through SMTP_HOST."""

    name: Name
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
        return Target(self.name, self.channel, recipients=recipients, unavailable=_unset(self.name, missing))


class _HttpReceiver(Strict):
    name: Name
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
    """A Slack channel, by incoming webhook."""

    channel: Literal["slack"]

    def target(self, environment: Environment) -> Target:
        """The receiver with its address."""
        unavailable = _unset(self.name, self.missing(environment))
        return Target(self.name, self.channel, self.address(environment), unavailable=unavailable)


class TeamsReceiver(_HttpReceiver):
    """A Teams channel, by Workflows webhook."""

    channel: Literal["teams"]

    def target(self, environment: Environment) -> Target:
        """The receiver with its address."""
        unavailable = _unset(self.name, self.missing(environment))
        return Target(self.name, self.channel, self.address(environment), unavailable=unavailable)


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
        return Target(self.name, self.channel, self.address(environment), keys, unavailable=unavailable)


Receiver = Annotated[EmailReceiver | SlackReceiver | TeamsReceiver | WebhookReceiver, Field(discriminator="channel")]


def _unset(name: str, variable: str | None) -> str | None:
    return f"receiver {name} is not configured: set {variable}" if variable else None
