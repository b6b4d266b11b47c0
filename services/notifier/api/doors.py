"""What a URL has to pass before a subscription may have it: the guard's rules, and the endpoint's own consent."""

from __future__ import annotations

from datalab.runtime.web import Problem
from services.notifier.consent import Asked, Consent
from services.notifier.guard import Guard, RefusedError, shown


class Doors:
    """Used by whatever takes a URL over REST."""

    def __init__(self, guard: Guard, consent: Consent) -> None:
        self._guard, self._consent = guard, consent

    async def check(self, url: str) -> None:
        """Raises a Problem that says why the URL must not be called."""
        try:
            await self._guard.check(url)
        except RefusedError as error:
            raise Problem(422, "URL is refused", f"url: {error}") from error
        except OSError:
            raise Problem(422, "URL is refused", f"url: the host of {shown(url)} does not resolve") from None

    async def ask(self, url: str) -> Asked:
        """What the endpoint says; one that must not be called says no."""
        try:
            return await self._consent.ask(url)
        except RefusedError as error:
            return Asked(None, f"refused: {error}")
