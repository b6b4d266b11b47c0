"""A real S3 server that sends its own notifications to Kafka: versitygw, built once from its Go module and kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from datalab.local.layout import cache_dir
from tests.support.polling import wait_for
from tests.support.processes import free_port

MODULE, VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
ACCESS_KEY, SECRET_KEY, REGION = "tests", "tests-secret", "us-east-1"
_BUILD_S = 900


@dataclass(frozen=True)
class Gateway:
    """A running server and a client for it."""

    url: str
    client: Any
    process: subprocess.Popen[bytes]

    def put(self, bucket: str, key: str, content: str | bytes) -> str:
        """Store an object; returns its ETag."""
        return str(self.client.put_object(Bucket=bucket, Key=key, Body=content)["ETag"])


def gateway_program() -> Path:
    """The program, built if it is not kept from before: about 80 s and some 300 MB of Go modules, once."""
    folder = cache_dir() / "versitygw" / VERSION
    program = folder / "versitygw"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.is_file():
            go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
            assert go, "these tests build a real S3 server and need Go: install Go 1.26 or newer (go.dev/doc/install)"
            staging = folder / ".partial"
            environ = {**os.environ, "GOBIN": str(staging)}
            built = subprocess.run(
                [go, "install", f"{MODULE}@{VERSION}"],
                env=environ, capture_output=True, text=True, timeout=_BUILD_S, check=False,
            )  # fmt: skip
            assert built.returncode == 0, f"versitygw {VERSION} cannot be built: {built.stderr[-2000:]}"
            (staging / "versitygw").replace(program)
    return program


@contextmanager
def s3_gateway(home: Path, kafka: str | None, port: int | None = None) -> Iterator[Gateway]:
    """A server that keeps its buckets below `home`; with `kafka` it tells about them on lab.s3-notifications."""
    buckets, metadata = home / "buckets", home / "metadata"
    buckets.mkdir(parents=True, exist_ok=True)
    metadata.mkdir(exist_ok=True)
    listen = f"127.0.0.1:{port or free_port()}"
    events = ["--event-kafka-url", kafka, "--event-kafka-topic", "lab.s3-notifications"] if kafka else []
    command = [
        str(gateway_program()), "--port", listen, "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", REGION,
        "--health", "/health", "--quiet", *events, "posix", "--sidecar", str(metadata), str(buckets),
    ]  # fmt: skip
    with (home / "gateway.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is not None or _answers(f"http://{listen}/health"), 90, "the S3 server")
        assert process.poll() is None, (home / "gateway.log").read_text()[-2000:]
        yield Gateway(f"http://{listen}", _client(f"http://{listen}"), process)
    finally:
        process.terminate()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _client(url: str) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )
