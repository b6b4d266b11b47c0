"""Spark Connect with Delta: one long-lived JVM that all flows share. Its files stay below the state directory."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import MappingProxyType

from datalab.local.parts.base import Command, Lab, Part, PartError
from datalab.local.probes import SparkProbe
from datalab.runtime import s3_lake

_SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


class SparkConnect(Part):
    name = "spark"
    ports = MappingProxyType({"spark": 15002})
    stop_seconds = 12.0
    # A large job may keep the JVM from answering for a while.
    unhealthy_seconds = 180.0

    def __init__(self) -> None:
        self._probe = SparkProbe()

    async def prepare(self, lab: Lab) -> None:
        for folder in ("local", "warehouse", "derby", "tmp"):
            (lab.layout.home / "spark" / folder).mkdir(parents=True, exist_ok=True)

    def command(self, lab: Lab) -> Command:
        home, spark_home = lab.layout.home / "spark", _spark_home()
        options = [word for key, value in self._conf(lab).items() for word in ("--conf", f"{key}={value}")]
        return Command(
            [
                str(spark_home / "bin" / "spark-submit"),
                "--class",
                _SERVER,
                "--master",
                "local[2]",
                "--driver-memory",
                "1g",
                "--driver-java-options",
                _jvm_options(home, lab.class_options(self.name)),
                *options,
                "--jars",
                ",".join(map(str, [*lab.jars.paths("delta"), *(lab.jars.paths("s3") if _in_s3(lab) else [])])),
                "spark-internal",
            ],
            env={
                "SPARK_HOME": str(spark_home),
                "SPARK_LOCAL_DIRS": str(home / "local"),
                "SPARK_LOCAL_IP": "127.0.0.1",
                # For clients. A server that sees it takes itself for one, and ends.
                "SPARK_REMOTE": None,
                "PYSPARK_PYTHON": sys.executable,
                "JAVA_HOME": str(lab.need_java().home),
                **(s3_lake.keys(lab.env) if _in_s3(lab) else {}),
            },
            cwd=home,
        )

    def _conf(self, lab: Lab) -> dict[str, str]:
        return {
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.sql.shuffle.partitions": "2",
            "spark.databricks.delta.snapshotPartitions": "2",
            # Compiled code of plans. The default of 100 is less than loads of a few datasets need, so that each of them
            # began with compiling, and interpreting, what had been thrown away.
            "spark.sql.codegen.cache.maxEntries": "500",
            "spark.sql.warehouse.dir": str(lab.layout.home / "spark" / "warehouse"),
            # Delta's VACUUM lists files in as many tasks: the default is 10,000, half a minute for a handful of files.
            "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
            "spark.ui.enabled": "false",
            "spark.log.level": "WARN",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(lab.ports["spark"]),
            **(s3_lake.spark_conf(lab.env) if _in_s3(lab) else {}),
        }

    async def ready(self, lab: Lab) -> str | None:
        return await self._probe.version(lab.ports["spark"])

    def url(self, lab: Lab) -> str:
        return lab.env["SPARK_REMOTE"]


def _in_s3(lab: Lab) -> bool:
    return s3_lake.in_s3(lab.env["LAKE_ROOT"])


def _jvm_options(home: Path, more: list[str]) -> str:
    # Quoted, as Spark splits them like a shell: a state directory may have a space in its name.
    words = [
        "-XX:+UseSerialGC",
        "-Dfile.encoding=UTF-8",
        # Without memory a JVM limps on and fails run after run; a new one serves those that wait.
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:MaxMetaspaceSize=512m",
        # Plans with many columns and rules become methods that HotSpot would otherwise never compile.
        "-XX:-DontCompileHugeMethods",
        f"-Dderby.system.home={home / 'derby'}",
        f"-Djava.io.tmpdir={home / 'tmp'}",
        *more,
    ]
    return " ".join(f'"{word}"' for word in words)


def _spark_home() -> Path:
    # Found, not imported: pyspark belongs to the flows.
    spec = importlib.util.find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise PartError("pyspark is not installed")
    return Path(next(iter(spec.submodule_search_locations)))
