"""A pool and workers of the warm type for each module."""

from tests.support.warm_worker import pool, start_worker

__all__ = ["pool", "start_worker"]
