"""Calling a service of the lab: its address, its pages, and its problems as one line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from datalab.local.addresses import lab_addresses
from datalab.runtime.settings import configuration

# Nobody tells the command line that something happened: it looks, as often as a person notices.
_LOOK_S = 0.2


class ServiceClient:
    """A few calls over one connection to the service `name`."""

    def __init__(self, name: str, http: httpx.Client) -> None:
        self._name, self._http = name, http

    def call(self, method: str, path: str, **more: Any) -> Any:
        """The answer's JSON; raises ValueError with the service's own words, ConnectionError without a service."""
        try:
            answer = self._http.request(method, path, **more)
        except httpx.TransportError as error:
            where = self._http.base_url
            raise ConnectionError(f"the {self._name} does not answer at {where}; `datalab status` shows why") from error
        if answer.is_success:
            return answer.json() if answer.content else None
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = answer.reason_phrase
        if answer.status_code in {401, 403}:
            detail += "; set DATALAB_TOKEN to a token (`datalab tokens create`)"
        raise ValueError(f"{detail} (HTTP {answer.status_code})")

    def settled_delivery(self, id_: str, within_s: float) -> dict[str, Any]:
        """The delivery as soon as it is no longer pending, or as it is when the time is over. Of the notifier."""
        end = time.monotonic() + within_s
        while True:
            found: dict[str, Any] = self.call("GET", f"/v1/deliveries/{segment(id_)}")
            if found["status"] != "pending" or time.monotonic() >= end:
                return found
            time.sleep(_LOOK_S)  # between looks, with a deadline: REST tells nobody that a delivery has ended

    def every(self, path: str, name: str, limit: int | None = None, **filters: str) -> list[Any]:
        """The entries of all pages, or the first `limit`."""
        found: list[Any] = []
        token: str | None = ""
        while token is not None and (limit is None or len(found) < limit):
            params = {**filters, "page_size": str(min(limit or 500, 500))} | ({"page_token": token} if token else {})
            page = self.call("GET", path, params=params)
            found += page[name]
            token = page["next_page_token"]
        return found[:limit]


@contextmanager
def notifier() -> Iterator[ServiceClient]:
    """The notifier of DATALAB_HOME's lab, or of NOTIFIER_URL."""
    with _client("notifier", lab_addresses().notifier) as client:
        yield client


@contextmanager
def monitor() -> Iterator[ServiceClient]:
    """The monitor of DATALAB_HOME's lab, or of MONITOR_URL."""
    with _client("monitor", lab_addresses().monitor) as client:
        yield client


@contextmanager
def bridge() -> Iterator[ServiceClient]:
    """The bridge of DATALAB_HOME's lab, or of BRIDGE_URL."""
    with _client("bridge", lab_addresses().bridge) as client:
        yield client


@contextmanager
def _client(name: str, address: str) -> Iterator[ServiceClient]:
    token = configuration(os.environ).get("DATALAB_TOKEN", "").strip()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=address, headers=headers, timeout=15, trust_env=False) as http:
        yield ServiceClient(name, http)


def segment(text: str) -> str:
    """The text as one segment of a path."""
    return quote(text, safe="")
