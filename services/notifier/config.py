"""`config/notify.yaml`: receivers and routes, checked as a whole; and receivers joined with their variables.

It reads configuration. Which alert goes where is decided in `routing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from schemas.alerts import Severity
from services.notifier.delivery import Target
from services.notifier.signing import secret_fault

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
Environment = Mapping[str, str]


class ConfigError(ValueError):
    """The file cannot be used. The message names the file, the fields and what is wrong with each."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EmailReceiver(_Strict):
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


class _HttpReceiver(_Strict):
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


class Matchers(_Strict):
    """What an alert must be like. Texts are patterns with `*` and `?`; a list holds if one of it does."""

    severity: list[Severity] = Field(default_factory=list)
    rule: list[str] = Field(default_factory=list)
    labels: dict[str, list[str]] = Field(default_factory=dict)

    @field_validator("severity", "rule", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("labels", mode="before")
    @classmethod
    def _one_or_many_each(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: [text] if isinstance(text, str) else text for name, text in value.items()}


class Route(_Strict):
    """Alerts that match go to these receivers."""

    name: Name
    match: Matchers = Matchers()
    receivers: list[Name] = Field(min_length=1)
    goes_on: bool = Field(default=False, alias="continue")


class NotifyConfig(_Strict):
    """The whole file."""

    receivers: list[Receiver]
    routes: list[Route]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for kind, names in (
            ("receiver", [r.name for r in self.receivers]),
            ("route", [r.name for r in self.routes]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"the {kind} name {', '.join(twice)} is used twice")
        known = {receiver.name for receiver in self.receivers}
        for route in self.routes:
            if unknown := sorted(set(route.receivers) - known):
                raise ValueError(f"route {route.name} names the unknown receiver {', '.join(unknown)}")
        return self

    def targets(self, environment: Environment) -> dict[str, Target]:
        """Every receiver by name, with its addresses or the reason why it has none."""
        return {receiver.name: receiver.target(environment) for receiver in self.receivers}


def load_config(path: Path) -> NotifyConfig:
    """The checked file; raises ConfigError."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        return NotifyConfig.model_validate(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path}: {faults}") from None


def _unset(name: str, variable: str | None) -> str | None:
    return f"receiver {name} is not configured: set {variable}" if variable else None
