"""`datalab quarantine …`: what is in quarantine and why, and the way out of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from datalab.cli.refusals import plain_errors

if TYPE_CHECKING:
    from flows.lake.quarantine_audit import Findings, Quarantined

_PATIENCE_S = 5.0
_commands = typer.Typer(no_args_is_help=True, help="Records that broke a rule of the quality gate.")
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Dataset = Annotated[str, typer.Argument(help="Name of a dataset, as in config/datasets.yaml.")]
_Source = Annotated[str | None, typer.Option("--source", help="URI of one file, as `list` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_commands, name="quarantine")


@_commands.command("list")
def list_(
    dataset: Annotated[str | None, typer.Argument(help="One dataset alone.")] = None, as_json: _Json = False
) -> None:
    """Count what is in quarantine, by dataset, file and rule."""
    from flows.config import FlowSettings
    from flows.lake.datasets import load_datasets, named_dataset

    with plain_errors():
        known = load_datasets(FlowSettings().datasets_file)
        names = [named_dataset(known, dataset).name] if dataset else list(known)
        found = {name: _look(name, None, 0) for name in names}
    if as_json:
        typer.echo(json.dumps({name: _counts(findings) for name, findings in found.items()}, ensure_ascii=False))
        return
    for name, findings in found.items():
        typer.echo(f"{name}: {findings.amount} in quarantine")
        for uri, rows in findings.by_source.items():
            typer.echo(f"  {rows:>10,}  {uri}")
        for rule, rows in findings.by_rule.items():
            typer.echo(f"  {rows:>10,}  broke {rule}")


@_commands.command()
def show(
    dataset: _Dataset,
    source: _Source = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="So many records at most.")] = 20,
    as_json: _Json = False,
) -> None:
    """Show records as they came, with every rule that they broke.

    Of each combination of rules some are shown.
    """
    with plain_errors():
        findings = _look(dataset, source, limit)
    if as_json:
        typer.echo(json.dumps([_record(record) for record in findings.sample], ensure_ascii=False))
        return
    for record in findings.sample:
        fault = f" ({record.fault})" if record.fault else ""
        typer.echo(f"{record.source_uri} row {record.row_number}: broke {', '.join(record.failed_rules)}{fault}")
        typer.echo(f"  {record.raw_record}")
    typer.echo(f"{len(findings.sample)} of {findings.amount}", err=True)


@_commands.command()
def replay(
    dataset: _Dataset,
    source: _Source = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would pass.")] = False,
    as_json: _Json = False,
) -> None:
    """Judge again by the rules of today; merge what passes.

    What passes goes to Silver and Gold; what breaks a rule stays. Needs the lab up; killed, it may be repeated.
    """
    _point_at_the_lab()
    from flows.quarantine_replay_flow import quarantine_replay

    with plain_errors():
        done = quarantine_replay(dataset, source, dry_run)
    if as_json:
        typer.echo(json.dumps(done, ensure_ascii=False))
        return
    typer.echo(done["statement"])
    for rule, rows in done["still_broken"].items():
        typer.echo(f"  {rows:>10,}  still break {rule}")


def _look(dataset: str, source: str | None, sample: int) -> Findings:
    from flows.config import FlowSettings
    from flows.lake.datasets import load_datasets, named_dataset
    from flows.lake.quarantine_audit import find
    from flows.lake.tables import Lake

    settings = FlowSettings()
    name = named_dataset(load_datasets(settings.datasets_file), dataset).name
    return find(Lake(settings.lake_root, settings.datalab_home), name, source, sample)


def _point_at_the_lab() -> None:
    """The environment of a run: what is set stays; else the running lab's addresses, wherever its ports went."""
    from datalab.local.addresses import lab_addresses
    from flows.prefect_server import wait_until_it_answers

    try:
        os.environ.setdefault("PREFECT_API_URL", wait_until_it_answers(_PATIENCE_S, lambda _: None))
    except TimeoutError as error:
        typer.echo(f"datalab: {error} `datalab up` starts it; nothing was changed.", err=True)
        raise typer.Exit(1) from error
    addresses = lab_addresses()
    os.environ.setdefault("KAFKA_BOOTSTRAP_SERVERS", addresses.kafka)
    if "SPARK_MASTER_URL" not in os.environ:
        os.environ.setdefault("SPARK_REMOTE", addresses.spark_remote)


def _counts(findings: Findings) -> dict[str, Any]:
    return {"records": findings.rows, "by_source": findings.by_source, "by_rule": findings.by_rule}


def _record(record: Quarantined) -> dict[str, Any]:
    return {
        "source": record.source_uri,
        "row": record.row_number,
        "failed_rules": list(record.failed_rules),
        "fault": record.fault,
        "record": record.raw_record,
    }
