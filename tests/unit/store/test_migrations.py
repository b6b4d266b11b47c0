"""The migrations are one line: two that follow the same one would leave every start with a choice."""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory

from datalab.runtime.settings import PROJECT_ROOT


def test_there_is_one_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(PROJECT_ROOT / "datalab" / "store" / "migrations"))
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1
