"""An outage of Postgres is told from a fault of ours: the one is waited out, the other is not."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from datalab.store.engine import create_engine, database_is_down


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        FileNotFoundError(2, "no socket"),
        TimeoutError(),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.AdminShutdownError("terminating"),
        OperationalError("SELECT 1", {}, Exception("gone")),
        InterfaceError("SELECT 1", {}, Exception("closed")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_is_recognised(error: Exception) -> None:
    assert database_is_down(error)


@pytest.mark.parametrize("error", [ValueError("x"), IntegrityError("INSERT", {}, Exception("duplicate"))])
def test_a_fault_is_not_taken_for_an_outage(error: Exception) -> None:
    assert not database_is_down(error)


async def test_a_failed_statement_does_not_give_away_its_parameters() -> None:
    engine = create_engine("postgresql+asyncpg://nobody@/none?host=/nowhere")
    assert engine.sync_engine.hide_parameters
    await engine.dispose()
