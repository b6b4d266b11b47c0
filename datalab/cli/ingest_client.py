"""Calling ingest from the command line: its address, DATALAB_TOKEN, and its problems as one line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from datalab.local.addresses import lab_addresses
from datalab.runtime.settings import configuration

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_ATTEMPTS = 6


class IngestClient:
    """A few calls over one connection."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def post(self, body: Any, media_type: str, key: str | None = None) -> httpx.Response:
        """Ingest's answer to an event or a batch. While it is asked to come back later it does, for about a minute.
        Raises ConnectionError without an ingest."""
        headers = {"content-type": media_type} | ({"idempotency-key": key} if key is not None else {})
        content = json.dumps(body).encode()
        for attempt in range(1, _ATTEMPTS + 1):
            answer = self._post(content, headers)
            if answer.status_code not in {409, 429, 503} or attempt == _ATTEMPTS:
                break
            # Ingest names the wait in Retry-After; who asks sooner is turned away again, and pays for it.
            time.sleep(_pause_s(answer.headers, attempt))
        return answer

    def _post(self, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        try:
            return self._http.post("/v1/events", content=content, headers=headers)
        except httpx.HTTPError as error:
            where = str(self._http.base_url).rstrip("/")
            reason = f"ingest does not answer at {where} ({type(error).__name__}); start the lab with `datalab up`"
            raise ConnectionError(reason) from error


@contextmanager
def ingest() -> Iterator[IngestClient]:
    """The ingest of DATALAB_HOME's lab, or of INGEST_URL."""
    token = configuration(os.environ).get("DATALAB_TOKEN", "").strip()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=lab_addresses().ingest, headers=headers, timeout=60, trust_env=False) as http:
        yield IngestClient(http)


def refusal(answer: httpx.Response) -> ValueError:
    """What ingest says against it, as an error."""
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        detail = answer.text[:300]
    if answer.status_code in {401, 403}:
        detail += "; set DATALAB_TOKEN to a token (`datalab tokens create`)"
    return ValueError(f"ingest refused the event ({answer.status_code}): {detail}")


def _pause_s(headers: Mapping[str, str], attempt: int) -> float:
    asked = headers.get("retry-after", "")
    return min(float(asked) if asked.isdigit() else 2.0**attempt, 20.0)
