"""Spark for a run: Spark Connect by SPARK_REMOTE, or a classic driver by SPARK_MASTER_URL, through the same code.

A session is opened when first needed and dropped after any failure that may have taken it along, so that the next
try of a task starts with a new one. It starts no Spark server.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flows.lake.errors import LakeError, SparkUnavailableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_POLL_S = 0.5
_DELTA_PACKAGE = "io.delta:delta-spark_4.2_2.13:4.4.0"


class SparkConnection:
    """One session at a time, of this run alone."""

    def __init__(
        self, *, remote: str | None, master: str | None, wait_s: float, say: Callable[[str], None], jars: str = ""
    ) -> None:
        self._remote, self._master, self._jars = remote, master, jars
        self._wait_s, self._say = wait_s, say
        self._spark: SparkSession | None = None

    @contextmanager
    def session(self) -> Iterator[SparkSession]:
        """The session; raises SparkUnavailableError if no Spark answers in time."""
        if self._spark is None:
            self._spark = self._open()
        try:
            yield self._spark
        except LakeError:
            raise
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Release the session; a server that is gone is no error."""
        spark, self._spark = self._spark, None
        if spark is not None:
            with contextlib.suppress(Exception):
                spark.stop()

    def _open(self) -> SparkSession:
        if self._remote:
            self._wait_for_server(self._remote)
            return _connect(self._remote)
        if self._master:
            return _classic(self._master, self._jars)
        raise SparkUnavailableError("no Spark is configured: set SPARK_REMOTE or SPARK_MASTER_URL")

    def _wait_for_server(self, remote: str) -> None:
        # The client's own first connection would retry for minutes without a word.
        address = urlsplit(remote)
        host, port = address.hostname or "127.0.0.1", address.port or 15002
        deadline, said = time.monotonic() + self._wait_s, False
        while True:
            try:
                socket.create_connection((host, port), timeout=2).close()
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise SparkUnavailableError(
                        f"Spark Connect at {host}:{port} has not answered for {self._wait_s:.0f} s"
                    ) from error
                if not said:
                    self._say(f"waiting for Spark Connect at {host}:{port}")
                    said = True
                time.sleep(_POLL_S)
            else:
                return


def _connect(remote: str) -> SparkSession:
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    spark = ConnectSession.builder.remote(remote).create()
    # The default goes on for ten minutes after the server died; a task's own retries know better.
    spark.client.set_retry_policies([DefaultPolicy(max_retries=5, max_backoff=1000)])
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    return spark  # type: ignore[return-value]


def _classic(master: str, jars: str) -> SparkSession:
    from pyspark.sql import SparkSession as ClassicSession

    builder = (
        ClassicSession.builder.master(master)
        .appName("medallion-etl")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.databricks.delta.snapshotPartitions", "2")
        .config("spark.ui.enabled", "false")
    )
    delta = ("spark.jars", jars) if jars else ("spark.jars.packages", _DELTA_PACKAGE)
    return builder.config(*delta).getOrCreate()
