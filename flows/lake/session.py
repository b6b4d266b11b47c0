"""Spark for a run: Spark Connect by SPARK_REMOTE, or a classic driver by SPARK_MASTER_URL, through the same code.

A session is opened when first needed and dropped after any failure that may have taken it along, so that the next
try of a task starts with a new one. Dropping it ends what it is still doing. It starts no Spark server.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from flows.lake.errors import LakeError, SparkUnavailableError, storage_full
from flows.lake.locks import Lease, SparkWork

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.session import SparkSession as ConnectSession

_POLL_S = 0.5
# Below this Spark takes longer to compile a plan than to interpret it. Measured on 2 cores: 3,000 rows to Gold in 2.6 s
# rather than 4.2 s, 100,000 rows (7 MB) in 9.2 s rather than 7.3 s; into a Silver of 1 M rows (30 MB) it was all one.
SMALL_BYTES = 4 << 20
_FOR_SMALL_WORK = {
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "1",
}
_DELTA_PACKAGE = "io.delta:delta-spark_4.2_2.13:4.4.0"


class SparkConnection:
    """One session at a time, of this run alone."""

    def __init__(
        self,
        *,
        remote: str | None,
        master: str | None,
        wait_s: float,
        say: Callable[[str], None],
        jars: str = "",
        run_id: str | None = None,
        lease: Lease | None = None,
    ) -> None:
        self._remote, self._master, self._jars = remote, master, jars
        self._wait_s, self._say = wait_s, say
        self._run_id, self._lease = run_id or "-", lease
        self._spark: SparkSession | None = None
        self._usual: dict[str, str] = {}

    @contextmanager
    def session(self, reads_bytes: int | None = None) -> Iterator[SparkSession]:
        """The session, for work that reads about so much; raises SparkUnavailableError if no Spark answers in time."""
        if self._spark is None:
            self._spark, self._usual = self._open(), {}
        try:
            self._suit(self._spark, reads_bytes is not None and reads_bytes <= SMALL_BYTES)
            yield self._spark
        except LakeError:
            raise
        except Exception as error:
            self.close()
            if full := storage_full(error, "the disk of the lake, or of Spark"):
                raise full from error
            raise

    def close(self) -> None:
        """Release the session; a server that is gone is no error."""
        spark, self._spark = self._spark, None
        if spark is not None:
            with contextlib.suppress(Exception):
                spark.stop()
                if self._lease is not None:
                    self._lease.forget()

    def _open(self) -> SparkSession:
        if self._remote:
            self._wait_for_server(self._remote)
            spark = self._connect(self._remote)
        elif self._master:
            spark = _classic(self._master, self._jars)
        else:
            raise SparkUnavailableError("no Spark is configured: set SPARK_REMOTE or SPARK_MASTER_URL")
        spark.addTag(f"datalab-run={self._run_id}")
        return spark

    def _connect(self, remote: str) -> SparkSession:
        if self._lease is not None:
            for work in self._lease.left_over:
                self._say(f"ending what run {work.run_id} left at work in Spark when it was killed")
                end_work(remote, work)
            self._lease.forget()
        spark = _connect(remote)
        if self._lease is not None:
            self._lease.note(SparkWork(self._run_id, spark.session_id))
        # It does all that a classic one does here; PySpark's types do not say so.
        return cast("SparkSession", spark)

    def _suit(self, spark: SparkSession, small: bool) -> None:
        """Interpret small work, compile the rest."""
        if small is bool(self._usual):
            return
        if small:
            # Kept, as `unset` would bring back Spark's own defaults rather than the server's.
            self._usual = {name: spark.conf.get(name) or "" for name in _FOR_SMALL_WORK}
            wanted = _FOR_SMALL_WORK
        else:
            wanted, self._usual = self._usual, {}
        for name, value in wanted.items():
            spark.conf.set(name, value)

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


def end_work(remote: str, work: SparkWork) -> None:
    """Have the server drop the session of a run that cannot do so itself, with all that it is doing; no error if it is
    gone."""
    from pyspark.sql.connect.client.core import SparkConnectClient
    from pyspark.sql.connect.client.retries import DefaultPolicy

    address = f"{remote.rstrip(';')}{'' if '/;' in remote else '/'};session_id={work.session_id}"
    client = SparkConnectClient(address)
    client.set_retry_policies([DefaultPolicy(max_retries=2, max_backoff=500)])
    try:
        with contextlib.suppress(Exception):
            client.release_session()
    finally:
        client.close()


def _connect(remote: str) -> ConnectSession:
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession

    spark = SparkSession.builder.remote(remote).create()
    # The default goes on for ten minutes after the server died; a task's own retries know better.
    spark.client.set_retry_policies([DefaultPolicy(max_retries=5, max_backoff=1000)])
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    return spark


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
