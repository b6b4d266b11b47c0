"""Bringing a database to the newest tables, with Alembic. Safe to run from several processes at once."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config

from datalab.runtime.settings import LabSettings

_MIGRATIONS = Path(__file__).with_name("migrations")


def alembic_config(database_url: str) -> Config:
    """Alembic's settings for this database, without a settings file."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str) -> None:
    """Apply every migration that is missing. Blocks; call it outside an event loop."""
    command.upgrade(alembic_config(database_url), "head")


if __name__ == "__main__":
    try:
        upgrade(LabSettings().require_database_url())
    except ValueError as error:
        sys.exit(str(error))
