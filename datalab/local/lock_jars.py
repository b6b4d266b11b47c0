"""`python -m datalab.local.lock_jars` rewrites `jars.lock`. Run it after changing a version below; needs the network.

It lets jgo resolve the coordinates, fetches every jar afresh, and records sizes and SHA-256 sums. No address is kept.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from jgo.maven import MavenContext

from datalab.local.jar_lock import LOCK_FILE, Jar, JarSet, sha256_of, write_lock

# Kafka's log4j wants the binding for slf4j 1.7, which Kafka's own jars do not name as a dependency.
KAFKA = ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")
DELTA = ("io.delta:delta-spark_4.2_2.13:4.4.0",)
# Everything else that Delta names (Scala, Jackson, Hadoop, Parquet) is among pyspark's own jars, in Spark's versions.
_DELTA_GROUPS = ("io.delta", "io.unitycatalog")


def lock() -> list[Jar]:
    """Resolve and fetch both sets; returns what the lock should say."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=60)
        return [
            *_resolve(context, "kafka", KAFKA),
            *(jar for jar in _resolve(context, "delta", DELTA) if jar.group in _DELTA_GROUPS),
        ]


def _resolve(context: MavenContext, jar_set: JarSet, coordinates: tuple[str, ...]) -> list[Jar]:
    chosen: dict[tuple[str, str], Any] = {}
    # One at a time: resolved together, each would impose its managed versions on the other.
    for coordinate in coordinates:
        inputs, transitive = context.resolver.resolve([context.create_dependency(coordinate)])
        for dependency in (*inputs, *transitive):
            chosen.setdefault((dependency.groupId, dependency.artifactId), dependency)
    jars = []
    for dependency in chosen.values():
        path = dependency.artifact.resolve()
        jars.append(
            Jar(
                dependency.groupId,
                dependency.artifactId,
                dependency.version,
                jar_set,
                path.stat().st_size,
                sha256_of(path),
            )
        )
    return jars


def main() -> None:
    """Write the lock file and say what is in it."""
    jars = lock()
    write_lock(jars)
    sys.stdout.write(f"{LOCK_FILE}: {len(jars)} jars, {sum(jar.size for jar in jars) / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main()
