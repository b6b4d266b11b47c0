"""`datalab alerts test FILE`: whether alert rules fire and resolve as their tests say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer


def run_tests(
    file: Annotated[Path, typer.Argument(help="A file of tests, such as config/tests/alerts.yaml.", dir_okay=False)],
    rules: Annotated[Path | None, typer.Option(help="The alerts.yaml to test, if not the one that FILE names.")] = None,
    only: Annotated[str | None, typer.Option("-k", help="Only tests whose name has this in it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Run the tests of FILE in memory; nothing is started, and no lab is needed.

    Exit codes: 0 all is as expected; 1 it is not, or a file is wrong.
    """
    from datalab.runtime.settings import LabSettings
    from services.monitor.rule_file import read_rules
    from services.monitor.rule_tests import read_tests
    from services.monitor.rule_trial import Trial

    given = read_tests(file)
    named = file.parent / given.rules if given.rules else LabSettings().datalab_config_dir / "alerts.yaml"
    tested = read_rules(rules or named)
    chosen = [test for test in given.tests if only is None or only in test.name]
    if not chosen:
        raise ValueError(f"no test of {file} has {only!r} in its name")
    results = {test.name: asyncio.run(Trial(tested, test).run()) for test in chosen}
    if as_json:
        typer.echo(json.dumps({"passed": not any(results.values()), "tests": results}, ensure_ascii=False, indent=1))
    else:
        _print(results)
    if any(results.values()):
        raise typer.Exit(1)


def _print(results: dict[str, list[str]]) -> None:
    for name, faults in results.items():
        typer.echo(f"{'FAILED' if faults else 'ok    '}  {name}")
        for fault in faults:
            typer.echo(f"          {fault}")
    failed = sum(bool(faults) for faults in results.values())
    typer.echo(f"{len(results)} tests, {failed} failed" if failed else f"{len(results)} tests, all as expected")
