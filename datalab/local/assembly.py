"""Putting a lab together from its state directory and the environment: ports, addresses, jars, Java, parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs, urlsplit

from datalab.local.class_archive import JVM_PARTS, RECORDING_STOP_SECONDS, ClassArchives
from datalab.local.environment import lab_environment
from datalab.local.jars import JarCache
from datalab.local.java import JavaMissingError, find_java
from datalab.local.layout import LabLayout
from datalab.local.parts.base import Lab, Part
from datalab.local.parts.postgres import embedded_url
from datalab.local.plan import all_parts, creators, select, wanted_ports
from datalab.local.ports import PortBook
from datalab.local.state import LabState
from datalab.runtime.settings import configuration


def external_database(layout: LabLayout, environ: Mapping[str, str]) -> str | None:
    """The DATABASE_URL that somebody else's server answers; None if the lab runs its own."""
    url = environ.get("DATABASE_URL", "")
    hosts = parse_qs(urlsplit(url).query).get("host", [])
    return url if url and str(layout.postgres_socket_dir) not in hosts else None


def assemble(
    layout: LabLayout, book: PortBook, only: Iterable[str] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Lab, list[Part], LabState]:
    """The lab, its parts in starting order, and a fresh state. Reserves ports; starts nothing.

    `only` names parts; what they need comes with them. Raises PlanError, NoFreePortError or JavaMissingError.
    """
    environ = configuration(environ)
    external = external_database(layout, environ)
    parts = all_parts(external_postgres=external is not None, creators=creators(environ))
    if only is not None:
        parts = select(parts, only)
    wanted = wanted_ports(parts, environ)
    ports = book.choose(wanted)
    database_url = external or embedded_url(layout)
    env = lab_environment(layout, ports, database_url, environ)
    try:
        java = find_java(dict(environ))
    except JavaMissingError:
        if any(part.name in JVM_PARTS for part in parts):
            raise
        java = None
    state = LabState(layout.lab_id, str(layout.home))
    state.moved_ports = {name: [wanted[name], port] for name, port in ports.items() if port != wanted[name]}
    archives = ClassArchives.of(java, environ) if java else None
    if archives and archives.recording:
        for part in parts:
            part.stop_seconds = RECORDING_STOP_SECONDS
    return Lab(layout, ports, env, database_url, JarCache(), java, archives), parts, state
