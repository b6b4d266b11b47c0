"""How long the TLS certificates last that the lab's addresses show. Whether they are to be trusted is not asked here:
who connects to them does."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from flows.watch.findings import Check, Measurement, Subject, one_line
from flows.watch.services import Health
from flows.watch.settings import WatchSettings
from schemas.metrics import CERTIFICATE_LEFT

_HTTPS = 443
_SERVICE = "certificate"


def certificate_addresses(settings: WatchSettings) -> dict[str, tuple[str, int]]:
    """HOST:PORT of every https address of the lab, and of those that WATCH_CERTIFICATES names."""
    urls = (
        settings.ingest_url, settings.bridge_url, settings.monitor_url, settings.notifier_url, settings.dashboard_url,
        settings.prefect_api_url, settings.mlflow_tracking_uri, settings.minio_endpoint or "",
    )  # fmt: skip
    parts = [urlsplit(url) for url in urls if url.startswith("https://")]
    parts += [urlsplit(f"//{address}") for address in settings.certificates]
    found = [(part.hostname, part.port or _HTTPS) for part in parts if part.hostname]
    return {f"{host}:{port}": (host, port) for host, port in found}


async def look_at_certificates(addresses: Mapping[str, tuple[str, int]], *, deadline_s: float) -> list[Health]:
    """Ask all at once. One that shows no certificate in time fails its check."""
    return list(await asyncio.gather(*(_look(name, *where, deadline_s) for name, where in addresses.items())))


async def _look(name: str, host: str, port: int, deadline_s: float) -> Health:
    started, reason, figures = time.monotonic(), None, tuple[Measurement, ...]()
    try:
        async with asyncio.timeout(deadline_s):
            until = await _valid_until(host, port)
        left = (until - datetime.now(UTC)).total_seconds()
        figures = (Measurement(name, CERTIFICATE_LEFT, left, "s"),)
    except TimeoutError:
        reason = f"shows no certificate within {deadline_s:g} s"
    except Exception as error:  # whatever TLS or the network raises, there is no certificate to look at
        reason = one_line(error)
    return Health(Check(Subject(_SERVICE, name), reason), name, time.monotonic() - started, figures)


async def _valid_until(host: str, port: int) -> datetime:
    from cryptography import x509

    # Also one that is expired, or signed by nobody that is known, is to be read.
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, port, ssl=anybody, server_hostname=host)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
    return x509.load_der_x509_certificate(shown).not_valid_after_utc
