"""Health of the Spark Connect server in this container: exit code 0 if it states its version over gRPC."""

from __future__ import annotations

import asyncio
import sys

from datalab.local.probes import SparkProbe

_PORT = 15002
# Always the same session: one a probe would leave the server with hundreds of them.
_SESSION = "00000000-0000-4000-8000-000000000001"

if __name__ == "__main__":
    sys.exit(asyncio.run(SparkProbe(_SESSION).version(_PORT, seconds=15)))
