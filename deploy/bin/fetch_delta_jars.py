"""`fetch_delta_jars.py DIR`: Delta's jars of `jars.lock`, verified, into DIR/delta. Run by the Dockerfile."""

from __future__ import annotations

import sys
from pathlib import Path

from datalab.local.jar_lock import read_lock
from datalab.local.jars import JarCache


def main() -> None:
    """Fetch what is missing; raises JarFetchError, which fails the build."""
    cache = JarCache(Path(sys.argv[1]), [jar for jar in read_lock() if jar.set == "delta"])
    cache.fetch()


if __name__ == "__main__":
    main()
