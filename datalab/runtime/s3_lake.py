"""A lake in an S3 store: what Spark and readers of Delta must be told to reach it.

No secret is part of any setting that a command line shows: Spark finds the keys in its environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

_SCHEMES = ("s3://", "s3a://")
_PROVIDER = "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"


def in_s3(lake_root: str) -> bool:
    """Whether the lake's tables are objects."""
    return lake_root.startswith(_SCHEMES)


def for_spark(lake_root: str) -> str:
    """The root as Spark's file system wants it; others as they are."""
    return "s3a://" + lake_root.split("://", 1)[1] if in_s3(lake_root) else lake_root


def spark_conf(environ: Mapping[str, str]) -> dict[str, str]:
    """Spark's settings for the store at MINIO_ENDPOINT (AWS's own without one)."""
    settings = {
        "fs.s3a.endpoint.region": environ.get("S3_REGION") or "us-east-1",
        # Delta rereads small files at once; nothing is gained by a client that reads ahead.
        "fs.s3a.input.stream.type": "classic",
        "fs.s3a.aws.credentials.provider": _PROVIDER,
    }
    if endpoint := environ.get("MINIO_ENDPOINT"):
        settings["fs.s3a.endpoint"] = endpoint
        settings["fs.s3a.path.style.access"] = "true"
        settings["fs.s3a.connection.ssl.enabled"] = str(urlsplit(endpoint).scheme == "https").lower()
    return {f"spark.hadoop.{name}": value for name, value in settings.items()}


def keys(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that AWS's libraries read, from the lab's names; what has AWS's names already stays."""
    names = {"AWS_ACCESS_KEY_ID": "S3_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "S3_SECRET_ACCESS_KEY"}
    return {theirs: environ[ours] for theirs, ours in names.items() if environ.get(ours)}


def delta_options(environ: Mapping[str, str]) -> dict[str, str]:
    """Storage options of readers of Delta other than Spark."""
    theirs = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    options = {name: environ[name] for name in theirs if environ.get(name)}
    options |= keys(environ) | {"AWS_REGION": environ.get("S3_REGION") or "us-east-1"}
    if endpoint := environ.get("MINIO_ENDPOINT"):
        options |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}
    return options


def store_access(environ: Mapping[str, str]) -> dict[str, str]:
    """The same for Arrow's S3 file system, as its arguments."""
    given = delta_options(environ)
    names = {
        "access_key": "AWS_ACCESS_KEY_ID",
        "secret_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
        "region": "AWS_REGION",
    }
    access = {theirs: given[ours] for theirs, ours in names.items() if ours in given}
    if endpoint := environ.get("MINIO_ENDPOINT"):
        scheme, _, host = endpoint.rpartition("://")
        access |= {"endpoint_override": host.rstrip("/"), "scheme": scheme or "http"}
    return access
