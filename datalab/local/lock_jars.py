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
# Hadoop's S3 file system, of the version of pyspark's Hadoop, with those modules of the SDK that it loads: 13 MB rather
# than the 600 MB of the bundle that it names. What else they need (HTTP client, Netty) is among pyspark's own jars.
_SDK = "2.35.4"
_SDK_MODULES = [
    "annotations",
    "apache-client",
    "arns",
    "auth",
    "aws-core",
    "aws-query-protocol",
    "aws-xml-protocol",
    "checksums",
    "checksums-spi",
    "crt-core",
    "endpoints-spi",
    "http-auth",
    "http-auth-aws",
    "http-auth-aws-eventstream",
    "http-auth-spi",
    "http-client-spi",
    "identity-spi",
    "json-utils",
    "metrics-spi",
    "netty-nio-client",
    "profiles",
    "protocol-core",
    "regions",
    "retries",
    "retries-spi",
    "s3",
    "s3-transfer-manager",
    "sdk-core",
    "sts",
    "third-party-jackson-core",
    "url-connection-client",
    "utils",
    "utils-lite",
]
S3 = (
    *(f"software.amazon.awssdk:{module}:{_SDK}" for module in _SDK_MODULES),
    "software.amazon.eventstream:eventstream:1.0.1",
    "software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.3.1",
    "org.apache.hadoop:hadoop-aws:3.5.0",
    "org.reactivestreams:reactive-streams:1.0.4",
    "commons-logging:commons-logging:1.3.5",
)


def lock() -> list[Jar]:
    """Resolve and fetch all sets; returns what the lock should say."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=60)
        return [
            *_resolve(context, "kafka", KAFKA),
            *(jar for jar in _resolve(context, "delta", DELTA) if jar.group in _DELTA_GROUPS),
            *(_named(context, "s3", coordinate) for coordinate in S3),
        ]


def _named(context: MavenContext, jar_set: JarSet, coordinate: str) -> Jar:
    """One jar by itself: jgo cannot resolve what the SDK's modules depend on."""
    group, artifact, version = coordinate.split(":")
    path = context.project(group, artifact).at_version(version).artifact().resolve()
    return Jar(group, artifact, version, jar_set, path.stat().st_size, sha256_of(path))


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
