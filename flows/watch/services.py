"""Health of every service at once, each with a deadline of its own; CPU and memory of ours from their metrics."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from datalab.bus.topics import broker_ready
from flows.watch.exercises import has_room, mlflow_keeps, smtp_greets
from flows.watch.findings import Check, Measurement, Subject, one_line
from flows.watch.object_store import store_keeps, store_of
from flows.watch.probes import accepts, database_answers, http_answers, speaks_http2
from flows.watch.settings import WatchSettings
from schemas.metrics import SERVICE_CPU, SERVICE_MEMORY

Probe = Callable[[], Awaitable[str | None]]
KAFKA, BROKER = "kafka", "broker"

_FIGURES = {"process_cpu_seconds_total": (SERVICE_CPU, "s"), "process_resident_memory_bytes": (SERVICE_MEMORY, "By")}
_SAMPLE = re.compile(rf"^({'|'.join(_FIGURES)})(?:\{{[^}}]*\}})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Target:
    """A service and how to ask it. `address` is for people and has no credentials; `metrics` is None for others'."""

    subject: Subject
    address: str
    probe: Probe
    metrics: str | None = None


@dataclass(frozen=True)
class Health:
    """What became of asking a service. `figures` is empty if its metrics did not come."""

    check: Check
    address: str
    seconds: float
    figures: tuple[Measurement, ...] = ()


async def look_at_services(settings: WatchSettings, *, deadline_s: float) -> list[Health]:
    """Ask all at once; takes little longer than `deadline_s`, whatever hangs."""
    import datalab.store.engine  # noqa: F401 - now, or it would count as the time that the services take

    # No proxy stands between the lab's own parts. Its deadlines would be for single steps of an answer.
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:  # noqa: S113
        return list(await asyncio.gather(*(_ask(client, t, deadline_s) for t in targets(settings, client, deadline_s))))


def targets(settings: WatchSettings, client: httpx.AsyncClient, deadline_s: float) -> list[Target]:
    """Everything that the settings name."""
    return [*_ours(settings, client), *_others(settings, client), *_stores(settings, deadline_s)]


def _ours(settings: WatchSettings, client: httpx.AsyncClient) -> list[Target]:
    urls = {name: getattr(settings, f"{name}_url") for name in ("ingest", "bridge", "monitor", "notifier")}
    found = [_http(client, name, "readiness", f"{url}/readyz", f"{url}/metrics") for name, url in urls.items() if url]
    if settings.dashboard_url:
        found.append(_http(client, "dashboard", "health", f"{settings.dashboard_url}/_stcore/health"))
    return found


def _others(settings: WatchSettings, client: httpx.AsyncClient) -> list[Target]:
    kafka, database = settings.kafka_bootstrap_servers, settings.database_url
    found = [
        Target(Subject(KAFKA, BROKER), kafka, lambda: broker_ready(kafka)),
        _http(client, "prefect", "health", f"{settings.prefect_api_url.rstrip('/')}/health"),
    ]
    mlflow = settings.mlflow_tracking_uri.rstrip("/")
    if mlflow.startswith(("http://", "https://")):  # else it is a directory or a database
        found.append(_http(client, "mlflow", "health", f"{mlflow}/health"))
        found.append(Target(Subject("mlflow", "write and read"), _shown(mlflow), lambda: mlflow_keeps(client, mlflow)))
    if database:
        found.append(Target(Subject("postgres", "query"), _shown(database), lambda: database_answers(database)))
    if host := settings.smtp_host:
        mail, port = f"smtp://{host}:{settings.smtp_port}", settings.smtp_port
        found.append(Target(Subject("smtp", "greeting"), mail, lambda: smtp_greets(host, port)))
    found.append(Target(Subject("host", "disk"), "the lab's disk", lambda: has_room(settings.datalab_home.absolute())))
    return [*found, *_spark(settings)]


def _stores(settings: WatchSettings, deadline_s: float) -> list[Target]:
    store = store_of(settings)
    if store is None:
        return []
    check = "put, read and delete" if store.bucket else "buckets"
    address = f"{_shown(store.endpoint) if store.endpoint else 'https://s3.amazonaws.com'}/{store.bucket or ''}"
    return [Target(Subject("s3", check), address, lambda: store_keeps(store, settings, deadline_s))]


def _http(client: httpx.AsyncClient, service: str, check: str, url: str, metrics: str | None = None) -> Target:
    return Target(Subject(service, check), _shown(url), lambda: http_answers(client, url), metrics)


def _shown(url: str) -> str:
    """An address for people: no credentials, no options."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


def _spark(settings: WatchSettings) -> list[Target]:
    """Spark Connect if that is what flows use, else the master; a local master is no service."""
    address = settings.spark_remote or settings.spark_master_url or ""
    scheme, _, rest = address.partition("://")
    if scheme not in {"sc", "spark"}:
        return []
    host, _, port = rest.partition(",")[0].partition("/")[0].rpartition(":")
    if not host:
        host, port = port, "15002" if scheme == "sc" else "7077"
    # Over TLS the hello would be none; then it must be enough that something listens.
    plain = scheme == "sc" and "use_ssl=true" not in address.lower()
    probe = speaks_http2 if plain else accepts
    check = "connect" if scheme == "sc" else "master"
    return [Target(Subject("spark", check), f"{scheme}://{host}:{port}", lambda: probe(host.strip("[]"), int(port)))]


async def _ask(client: httpx.AsyncClient, target: Target, deadline_s: float) -> Health:
    started = time.monotonic()
    figures = asyncio.create_task(_figures(client, target, deadline_s))
    reason = await _within(target.probe, deadline_s)
    seconds = time.monotonic() - started
    return Health(Check(target.subject, reason), target.address, seconds, await figures)


async def _within(probe: Probe, deadline_s: float) -> str | None:
    try:
        async with asyncio.timeout(deadline_s):
            reason = await probe()
    except TimeoutError:
        return f"no answer within {deadline_s:g} s"
    except Exception as error:  # whatever a client raises, the service did not answer as it should
        return one_line(error)
    return reason and one_line(reason)


async def _figures(client: httpx.AsyncClient, target: Target, deadline_s: float) -> tuple[Measurement, ...]:
    if target.metrics is None:
        return ()
    try:
        async with asyncio.timeout(deadline_s):
            answer = (await client.get(target.metrics)).raise_for_status()
        return tuple(figures_of(target.subject.service, answer.text))
    except (TimeoutError, httpx.HTTPError, ValueError):  # its readiness tells what is wrong
        return ()


def figures_of(service: str, metrics: str) -> list[Measurement]:
    """CPU seconds and resident memory of a process, out of its Prometheus metrics."""
    return [Measurement(service, *_named(name, float(value))) for name, value in _SAMPLE.findall(metrics)]


def _named(name: str, value: float) -> tuple[str, float, str]:
    measurement, unit = _FIGURES[name]
    return measurement, value, unit
