"""The services' REST, each call with a deadline. What goes wrong is one of two errors that a page can show."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

Answer = TypeVar("Answer", bound=BaseModel)


class ServiceAwayError(Exception):
    """The service gave no answer that can be used. `reason` is a few words."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service, self.reason = service, reason


class RefusedError(Exception):
    """The service refused what was asked. `fields` are the wrong fields with what is wrong of each."""

    def __init__(self, status: int, detail: str, fields: Mapping[str, str]) -> None:
        super().__init__(detail)
        self.status, self.detail, self.fields = status, detail, dict(fields)


class Rest:
    """One service. Safe to be used by several threads."""

    def __init__(self, service: str, url: str, client: httpx.Client, token: str = "") -> None:
        """`token` is shown with changes, and with nothing else."""
        self.service, self.url = service, url
        self._client = client
        self._shown = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, kind: type[Answer], **params: Any) -> Answer:
        """The answer to a GET; parameters that are None are left out. Raises ServiceAwayError, RefusedError."""
        return self._ask(kind, "GET", path, params={name: v for name, v in params.items() if v is not None})

    def put(self, path: str, kind: type[Answer], body: Mapping[str, Any], etag: str | None = None) -> Answer:
        """The answer to a PUT of JSON; with `etag`, only if nobody changed it since. Raises as `get` does."""
        return self._ask(kind, "PUT", path, json=dict(body), headers=self._shown | ({"If-Match": etag} if etag else {}))

    def delete(self, path: str, kind: type[Answer]) -> Answer:
        """The answer to a DELETE. Raises as `get` does."""
        return self._ask(kind, "DELETE", path, headers=self._shown)

    def _ask(self, kind: type[Answer], method: str, path: str, **request: Any) -> Answer:
        try:
            answer = self._client.request(method, f"{self.url}{path}", **request)
        except httpx.TimeoutException as error:
            raise ServiceAwayError(self.service, f"no answer in time from {self.url}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceAwayError(self.service, f"{type(error).__name__} at {self.url}") from error
        if 400 <= answer.status_code < 500:
            raise _refusal(answer)
        if not answer.is_success:
            raise ServiceAwayError(self.service, f"{self.url} answers {answer.status_code}")
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError as error:
            raise ServiceAwayError(self.service, f"{path} answers in a form that is not known here") from error


def _refusal(answer: httpx.Response) -> RefusedError:
    """What an RFC 9457 problem says; of another body only the status."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return RefusedError(answer.status_code, f"status {answer.status_code}", {})
    errors = problem.get("errors")
    fields = {
        str(entry.get("field", "")).removeprefix("body."): str(entry.get("reason", ""))
        for entry in (errors if isinstance(errors, list) else ())
        if isinstance(entry, dict)
    }
    return RefusedError(answer.status_code, str(problem.get("detail") or problem.get("title") or ""), fields)


def segment(value: str) -> str:
    """A value as one segment of a path: ids of events may hold slashes and anything else."""
    return quote(value, safe="")


@cache
def http_client(deadline_s: float) -> httpx.Client:
    """The one client of this process: what it holds open serves all browsers. Proxies are not used."""
    return httpx.Client(timeout=deadline_s, trust_env=False, headers={"user-agent": "datalab-dashboard"})
