"""A mail server that greets late, refuses a recipient, and drops the connection after it has the message."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.faults.notifier.lab import FaultLab
from tests.faults.notifier.toll import Toll, Tolls
from tests.support.polling import eventually
from tests.support.processes import free_port

_LATE_S = 5.0  # the notifier's deadline is 3 s
_REFUSED = "nobody@datalab.example"


@dataclass
class MailServer:
    """Greets its first caller late, drops the first message that it has got; then it is well."""

    port: int = field(default_factory=free_port)
    callers: int = 0
    dropped: int = 0
    accepted: Counter[str] = field(default_factory=Counter)  # by Message-ID
    lost_answers: Counter[str] = field(default_factory=Counter)  # taken, but never said so

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.callers += 1
        try:
            if self.callers == 1:
                await asyncio.sleep(_LATE_S)
            await self._say(writer, "220 mail.example ready")
            while await self._command(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _command(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = (await reader.readuntil(b"\r\n")).decode().strip()
        match line.split(" ")[0].upper():
            case "DATA":
                await self._say(writer, "354 go on")
                return await self._message(reader, writer)
            case "RCPT" if _REFUSED in line:
                await self._say(writer, "550 no such person here")
            case "QUIT":
                await self._say(writer, "221 bye")
                return False
            case _:
                await self._say(writer, "250 ok")
        return True

    async def _message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        message = (await reader.readuntil(b"\r\n.\r\n")).decode()
        found = re.search(r"^Message-ID: *(\S+)", message, re.IGNORECASE | re.MULTILINE)
        assert found, message[:500]
        if not self.dropped:
            self.dropped += 1
            self.lost_answers[found[1]] += 1
            return False
        self.accepted[found[1]] += 1
        await self._say(writer, "250 taken")
        return True

    async def _say(self, writer: asyncio.StreamWriter, line: str) -> None:
        writer.write(f"{line}\r\n".encode())
        await writer.drain()


@asynccontextmanager
async def receiving() -> AsyncIterator[MailServer]:
    """The server on its port."""
    server = MailServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", server.port)
    try:
        yield server
    finally:
        listening.close()


async def odd_mail_server(lab: FaultLab) -> Tolls:
    """Two alerts to a recipient who is there and to one who is not."""
    async with receiving() as server:
        environ = {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(server.port),
            "DATALAB_CONFIG_DIR": str(_config(lab.home)),
            "NOTIFIER_GROUP": "notifier-mail",
        }
        async with lab.ready(**environ):
            sent = await lab.publish(2)

            async def ended() -> list[tuple[str, str]]:
                rows = await lab.sql(
                    "SELECT target, status, reason FROM notifier_deliveries "
                    "WHERE event_id = ANY($1) AND channel = 'email' AND status <> 'pending'",
                    sent,
                )
                return sorted((row["target"], f"{row['status']}: {row['reason']}") for row in rows)

            outcomes = await eventually(ended, until=lambda rows: len(rows) == 4, within_s=120)
    assert [status for target, status in outcomes if target == "people"] == ["delivered: None"] * 2, outcomes
    assert all(status.startswith("dead: SMTP 550") for target, status in outcomes if target == "gone"), outcomes
    assert server.callers > 4
    assert server.dropped == 1
    # The message whose answer was lost came again, and can be recognised by its Message-ID.
    assert set(server.lost_answers) <= set(server.accepted)
    assert len(server.accepted) == 2
    again = f"came {server.accepted.total() + server.dropped} times, each with its own Message-ID"
    return {
        "SMTP greets after 5 s (deadline 3 s)": Toll(1, len(sent), len(sent) - len(server.accepted), 0, "tried again"),
        "SMTP refuses a recipient": Toll(1, 0, 0, 0, f"2 dead: {outcomes[0][1].removeprefix('dead: ')}"),
        "SMTP drops the connection after DATA": Toll(1, 0, 0, len(server.lost_answers), again),
    }


def _config(home: Path) -> Path:
    folder = home / "mail-config"
    folder.mkdir(exist_ok=True)
    content = {
        "receivers": [
            {"name": "people", "channel": "email", "to": ["team@datalab.example"]},
            {"name": "gone", "channel": "email", "to": [_REFUSED]},
        ],
        "routes": [{"name": "all", "receivers": ["people", "gone"]}],
    }
    (folder / "notify.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return folder
