"""`python -m datalab.local.tasks migrate|topics`: the lab's one-shot stages, each in a process of its own."""

from __future__ import annotations

import argparse
import asyncio

from datalab.runtime.logs import configure_logging, get_logger
from datalab.runtime.settings import LabSettings


def migrate() -> None:
    """Bring our tables to the newest version."""
    from datalab.store.migrate import upgrade

    upgrade(LabSettings().require_database_url())
    get_logger(__name__).info("tables.migrated")


def topics() -> None:
    """Create and alter the topics."""
    from datalab.bus.topics import ensure_topics
    from schemas.catalog import topics as catalogue

    created = asyncio.run(ensure_topics(LabSettings().kafka_bootstrap_servers, list(catalogue())))
    get_logger(__name__).info("topics.ensured", created=created)


_TASKS = {"migrate": migrate, "topics": topics}


def main() -> None:
    """Run the task named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=_TASKS)
    task = parser.parse_args().task
    configure_logging(task)
    _TASKS[task]()


if __name__ == "__main__":
    main()
