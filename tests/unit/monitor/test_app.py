"""How the process ends: never hanging on a thread of faust, whatever went wrong."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest

from services.monitor import app


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("fault", [OSError("port taken"), RuntimeError("nobody foresaw this")])
async def test_any_fault_ends_the_process_with_1(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    async def build(*_: object) -> NoReturn:
        raise fault

    def leave(status: int) -> NoReturn:
        raise Ended(status)

    monkeypatch.setattr(app, "build", build)
    monkeypatch.setattr(app.os, "_exit", leave)

    with pytest.raises(Ended, match="1"):
        await app.main(asyncio.Event())
