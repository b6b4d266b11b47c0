"""Kafka: one KRaft broker that is its own controller, in one JVM, from the locked jars. Creates no topic."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from types import MappingProxyType

from datalab.bus.topics import broker_ready
from datalab.local.files import write_atomically
from datalab.local.parts.base import Command, Lab, Part, run_step
from datalab.local.probes import listening

# One machine, few topics: small pools and internal topics start faster and hold less memory. A killed broker may
# come back only once its session is over.
_CONFIG = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
"""
_JVM = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
    "-Dorg.apache.logging.log4j.level=WARN",
)


class Kafka(Part):
    name = "kafka"
    ports = MappingProxyType({"kafka": 9092, "kafka-controller": 29093})
    stop_seconds = 10.0

    async def prepare(self, lab: Lab) -> None:
        """Write the configuration for today's ports, and format the data folder the first time."""
        home = _home(lab)
        write_atomically(
            home / "server.properties",
            _CONFIG.format(
                broker=lab.ports["kafka"], controller=lab.ports["kafka-controller"], data=_escaped(home / "data")
            ),
        )
        if (home / "data" / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        # A leading dash would be read as an option.
        await run_step(
            lab,
            self.name,
            Command(
                [
                    *_java(lab, []),
                    "kafka.tools.StorageTool",
                    "format",
                    "--ignore-formatted",
                    f"--cluster-id={cluster}",
                    f"--config={home / 'server.properties'}",
                ],
                cwd=home,
            ),
        )

    def command(self, lab: Lab) -> Command:
        java = _java(lab, lab.class_options(self.name))
        return Command([*java, "kafka.Kafka", str(_home(lab) / "server.properties")], cwd=_home(lab))

    async def ready(self, lab: Lab) -> str | None:
        # The client complains loudly, in the log, of a broker that does not listen yet.
        if not await listening(lab.ports["kafka"]):
            return "not listening yet"
        return await broker_ready(lab.env["KAFKA_BOOTSTRAP_SERVERS"])

    def url(self, lab: Lab) -> str:
        return lab.env["KAFKA_BOOTSTRAP_SERVERS"]


def _home(lab: Lab) -> Path:
    return lab.layout.home / "kafka"


def _java(lab: Lab, options: list[str]) -> list[str]:
    return [str(lab.need_java().executable), *_JVM, *options, "-cp", lab.jars.class_path("kafka")]


def _escaped(path: Path) -> str:
    # The file is read as Java properties: ISO 8859-1 with escapes. A comma would separate two folders.
    text = str(path).replace("\\", "\\\\")
    return "".join(char if ord(char) < 128 else f"\\u{ord(char):04x}" for char in text)
