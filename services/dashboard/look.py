"""One look at the lab for one part of a page: who is away is found out once, noted, and not waited for again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from services.dashboard.client import RefusedError, Rest, ServiceAwayError, http_client
from services.dashboard.settings import DashboardSettings

Service = Literal["bridge", "monitor", "notifier"]
Value = TypeVar("Value")


class Look:
    """`away` names the services without an answer, and why. Lives for one run of one part of a page."""

    def __init__(self, settings: DashboardSettings) -> None:
        client = http_client(settings.dashboard_deadline_s)
        token = settings.dashboard_token.get_secret_value() if settings.dashboard_token else ""
        # The token is for the monitor's eyes alone: nothing is changed anywhere else.
        self._services = {
            "bridge": Rest("bridge", settings.bridge_url, client),
            "monitor": Rest("monitor", settings.monitor_url, client, token),
            "notifier": Rest("notifier", settings.notifier_url, client),
        }
        self.away: dict[str, str] = {}

    def ask(self, service: Service, question: Callable[[Rest], Value]) -> Value | None:
        """The answer, or None if the service is away or refuses: what to show then is the page's choice."""
        if service in self.away:
            return None
        try:
            return question(self._services[service])
        except ServiceAwayError as error:
            self.away[service] = error.reason
        except RefusedError as error:
            self.away[service] = error.detail
        return None

    def service(self, service: Service) -> Rest:
        """The service itself, for a question whose refusal matters."""
        return self._services[service]
