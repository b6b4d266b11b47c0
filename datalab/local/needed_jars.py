"""Which of the locked jars a lab needs: Hadoop's S3 file system only for a lake in an S3 store."""

from __future__ import annotations

from collections.abc import Mapping

from datalab.local.jar_lock import read_lock
from datalab.local.jars import JarCache
from datalab.runtime.s3_lake import in_s3
from datalab.runtime.settings import configuration


def needed_jars(environ: Mapping[str, str] | None = None) -> JarCache:
    """The cache of those jars that a lab of this environment, with the project's `.env` below it, starts with."""
    lake_in_s3 = in_s3(configuration(environ).get("LAKE_ROOT", ""))
    return JarCache(jars=[jar for jar in read_lock() if jar.set != "s3" or lake_in_s3])
