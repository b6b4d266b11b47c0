"""Deployments on the Prefect server: `deploy | list | runs | workers | trigger NAME`, each with `--json`.

It tells Prefect what `flows.config` declares, and may be repeated at any time. It runs no flow itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

if __package__ in {None, ""}:  # started as a script, from anywhere
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from flows.config import FlowSettings
from flows.text_table import text_table

Row = dict[str, Any]


class CommandError(Exception):
    """What the person who typed the command must know, in one line."""


async def deploy(_: argparse.Namespace) -> list[Row]:
    from flows.registration import DeclarationError, register

    try:
        return await register(FlowSettings())
    except DeclarationError as error:
        raise CommandError(str(error)) from error


async def list_(_: argparse.Namespace) -> list[Row]:
    from flows.server_view import deployments

    return await deployments()


async def workers(_: argparse.Namespace) -> list[Row]:
    from flows.server_view import workers

    return await workers()


async def runs(arguments: argparse.Namespace) -> list[Row]:
    from flows.server_view import recent_runs

    return await recent_runs(arguments.limit)


async def trigger(arguments: argparse.Namespace) -> list[Row]:
    from flows.server_view import UnknownDeploymentError, start_run

    try:
        return [await start_run(arguments.name, _parameters(arguments.param))]
    except UnknownDeploymentError as error:
        raise CommandError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        os.environ["PREFECT_API_URL"] = _address(arguments)
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
        rows = asyncio.run(_answer(arguments.run, arguments))
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(rows, default=str, ensure_ascii=False) + "\n" if arguments.json else text_table(rows))
    return 0


def _address(arguments: argparse.Namespace) -> str:
    from flows.prefect_server import api_address, wait_until_it_answers

    if not (seconds := getattr(arguments, "wait", 0)):
        return api_address()
    try:
        return wait_until_it_answers(seconds, lambda line: sys.stderr.write(f"{line}\n"))
    except TimeoutError as error:
        raise CommandError(str(error)) from error


async def _answer(
    command: Callable[[argparse.Namespace], Awaitable[list[Row]]], arguments: argparse.Namespace
) -> list[Row]:
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        return await command(arguments)
    except (httpx.TransportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "reach API" not in str(error):  # Prefect's word for a dead server
            raise
        address = os.environ["PREFECT_API_URL"]
        raise CommandError(f"the Prefect server at {address} does not answer; is the lab up?") from error
    except PrefectHTTPStatusError as error:
        raise CommandError(f"the Prefect server refused: {_refusal(error.response)}") from error


def _refusal(response: Any) -> str:
    try:
        return str(response.json().get("detail") or response.json())
    except ValueError:
        return f"HTTP {response.status_code}"


def _parameters(pairs: Sequence[str]) -> dict[str, Any]:
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"--param {pair}: write it as NAME=VALUE")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manage_deployments.py", description="Deployments of the lab's flows.")
    commands = parser.add_subparsers(required=True, metavar="deploy | list | runs | workers | trigger")

    def command(name: str, run: Callable[[argparse.Namespace], Awaitable[list[Row]]], about: str) -> Any:
        added = commands.add_parser(name, help=about)
        added.add_argument("--json", action="store_true", help="one JSON list instead of a table")
        added.set_defaults(run=run)
        return added

    deploying = command("deploy", deploy, "create the work pools, register every deployment, say what changed")
    deploying.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="first wait until Prefect answers")
    command("list", list_, "list the deployments")
    command("workers", workers, "list the workers, and when each was last heard of")
    command("runs", runs, "list the latest runs").add_argument("--limit", type=int, default=20)
    triggering = command("trigger", trigger, "start a run and return at once")
    triggering.add_argument("name", help="medallion-etl-daily, or medallion-etl/medallion-etl-daily")
    triggering.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the run, its value as JSON or text; repeatable",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
