"""`datalab tokens`: bearer tokens of the services, straight in their database: who has that may let others in."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from datalab.store.tokens import Token, Tokens

Json = Annotated[bool, typer.Option("--json", help="Print JSON")]
Name = Annotated[str, typer.Argument(help="The token's name")]
Scopes = Annotated[
    list[str],
    typer.Option(
        "--scope",
        help="type:PATTERN, topic:PATTERN, schemas:PATTERN, notifier:read, notifier:write, bridge:write, "
        "monitor:write; repeatable",
    ),
]
Result = TypeVar("Result")
_UNITS = {"h": "hours", "d": "days"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Tokens that the services let in.", no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(list_)
    group.command("revoke")(revoke)
    app.add_typer(group, name="tokens")


def create(
    name: Name,
    scope: Scopes = ["type:*"],  # noqa: B006 - typer reads it, nobody changes it
    expires: Annotated[str, typer.Option(help="90d, 12h, never, or a time in ISO 8601")] = "90d",
    as_json: Json = False,
) -> None:
    """Make a token. It is printed this once; only its hash is kept."""
    until = expiry(expires, datetime.now(UTC))
    token, secret = _with_tokens(lambda tokens: tokens.create(name, scope, until))
    if as_json:
        _print({**_row(token), "token": secret})
        return
    ends = f"until {token.expires_at:%Y-%m-%d %H:%M} UTC" if token.expires_at else "for ever"
    typer.echo(f"{token.name}: {', '.join(token.scopes)}, {ends}; the token, shown this once:", err=True)
    sys.stdout.write(secret + "\n")


def list_(as_json: Json = False) -> None:
    """List every token, without the tokens themselves."""
    from rich.console import Console
    from rich.table import Table

    found = [_row(token) for token in _with_tokens(lambda tokens: tokens.all())]
    if as_json:
        _print(found)
        return
    table = Table("name", "state", "scopes", "expires", box=None, pad_edge=False)
    for row in found:
        table.add_row(row["name"], row["state"], ", ".join(row["scopes"]), (row["expires_at"] or "never")[:16])
    Console().print(table if found else "no tokens")


def revoke(name: Name, as_json: Json = False) -> None:
    """Make a token invalid, for good; every service knows within seconds."""
    token = _with_tokens(lambda tokens: tokens.revoke(name))
    if as_json:
        _print(_row(token))
    else:
        typer.echo(f"{token.name} is revoked")


def expiry(text: str, now: datetime) -> datetime | None:
    """The time that `--expires` names; None for never. Raises ValueError."""
    if text == "never":
        return None
    if match := re.fullmatch(r"(\d{1,5})([hd])", text):
        return now + timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        until = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise ValueError(f"--expires: {text!r} is neither never, a span such as 90d, nor a time") from error
    if until <= now:
        raise ValueError(f"--expires: {text} is over already")
    return until


def _with_tokens(work: Callable[[Tokens], Awaitable[Result]]) -> Result:
    from datalab.local.addresses import lab_addresses
    from datalab.store.engine import create_engine, create_sessions, database_is_down
    from datalab.store.tokens import Tokens

    async def run() -> Result:
        engine = create_engine(lab_addresses().database_url)
        try:
            return await work(Tokens(create_sessions(engine)))
        except Exception as error:
            if not database_is_down(error):
                raise
            raise ConnectionError("Postgres does not answer; start the lab with `datalab up`") from error
        finally:
            await engine.dispose()

    return asyncio.run(run())


def _row(token: Token) -> dict[str, Any]:
    state = token.fault(datetime.now(UTC)) or "valid"
    return {
        "name": token.name,
        "state": state.removeprefix("it was ").removeprefix("it has "),
        "scopes": list(token.scopes),
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "revoked_at": token.revoked_at.isoformat() if token.revoked_at else None,
    }


def _print(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
