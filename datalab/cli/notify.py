"""`datalab notify …`: whether `notify.yaml` is right, and what it means for an alert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from schemas.alerts import AlertFiring
    from services.notifier.config import NotifyConfig

_commands = typer.Typer(no_args_is_help=True, help="Who hears of which alert, and why.")
_Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_commands, name="notify")


@_commands.callback()
def notify() -> None:
    """Who hears of which alert, and why."""


@_commands.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="The file, if not config/notify.yaml.")] = None,
    as_json: _Json = False,
) -> None:
    """Check a file; name file, line and field of each fault.

    Exit codes: 0 it is right; 1 there are faults.
    """
    from services.notifier.config import ConfigError

    try:
        config = _load(file)
    except ConfigError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"right": False, "faults": str(error).splitlines()}, ensure_ascii=False))
        raise typer.Exit(1) from None
    from services.notifier.consistency import walk

    counts = {"routes": len(list(walk(config.routes))), "receivers": len(config.receivers)}
    counts |= {"time_intervals": len(config.time_intervals), "inhibitions": len(config.inhibit)}
    if as_json:
        typer.echo(json.dumps({"right": True, "faults": [], **counts}))
        return
    words = {name: name.replace("_", " ").removesuffix("s" if count == 1 else "") for name, count in counts.items()}
    said = ", ".join(f"{count} {words[name]}" for name, count in counts.items())
    typer.echo(f"{_path(file)} is right: {said}.")


@_commands.command()
def explain(
    alert: Annotated[str, typer.Argument(help="Fingerprint or episode of an alert; or an alert as JSON or @FILE.")],
    file: Annotated[Path | None, typer.Option("--file", help="By this file, for an alert as JSON.")] = None,
    as_json: _Json = False,
) -> None:
    """Say which routes an alert takes and why, who is told, and who is not and why.

    A fingerprint asks the running notifier. An alert as JSON is judged here, by the file alone.
    """
    told = _offline(alert, file) if alert.startswith(("{", "@")) else _asked(alert, file)
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    shown = told["alert"]
    typer.echo(f"{shown['severity']} {shown['rule']}: {shown['summary']}")
    typer.echo("routes")
    for step in told["steps"]:
        typer.echo(f"  {'✓' if step['matched'] else '✗'} {step['route']}: {step['reason']}")
    typer.echo("receivers" if told["receivers"] else "receivers: none, since no route matches")
    for one in told["receivers"]:
        said = f"not told: {one['suppressed']}" if one["suppressed"] else f"told {one['when']}"
        typer.echo(f"  {one['receiver']} ({one['channel']}, by {one['route']}): {said}")


@_commands.command()
def receivers(as_json: _Json = False) -> None:
    """List the receivers of the running notifier, and which cannot be used and why."""
    from datalab.cli.service_client import notifier

    with notifier() as client:
        told = client.call("GET", "/v1/receivers")
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    for one in told["receivers"]:
        rate = f", {one['rate_per_s']:g}/s" if one["rate_per_s"] else ""
        more = f", else {one['fallback']}" if one["fallback"] else ""
        state = one["unavailable"] or one["address"] or "ready"
        typer.echo(f"{one['name']} ({one['channel']}{rate}{more}): {state}")
    if told["fault"]:
        typer.echo(f"The file is faulty, an earlier one is in force: {told['fault']}", err=True)


@_commands.command()
def preview(
    receiver: Annotated[str, typer.Argument(help="Name of a receiver.")],
    alert: Annotated[str | None, typer.Option(help="The alert as JSON or @FILE; an example without it.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a mail's HTML into this file.")] = None,
) -> None:
    """Show what a receiver would get of an alert."""
    from datalab.cli.service_client import notifier, segment

    body = {} if alert is None else {"alert": _read_alert(alert).model_dump(mode="json")}
    with notifier() as client:
        shown = client.call("POST", f"/v1/receivers/{segment(receiver)}:preview", json=body)
    message = shown["message"]
    if html is not None:
        if "html" not in message:
            raise ValueError(f"--html: receiver {receiver} is no mail but {shown['channel']}")
        html.write_text(message["html"], "utf-8")
        message = {**message, "html": str(html)}
    typer.echo(json.dumps(message, ensure_ascii=False, indent=1))


@_commands.command("test")
def try_out(
    receiver: Annotated[str, typer.Argument(help="Name of a receiver.")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for what becomes of it.")] = 20.0,
) -> None:
    """Send a receiver a test message, and say what became of it.

    Exit codes: 0 it was delivered; 1 it was not, or not in time.
    """
    from datalab.cli.service_client import notifier, segment

    with notifier() as client:
        sent = client.call("POST", f"/v1/receivers/{segment(receiver)}:test")
        found = client.settled_delivery(sent["delivery_id"], wait)
    reason = f": {found['reason']}" if found["reason"] else ""
    typer.echo(f"{found['status']}{reason} ({found['id']})")
    if found["status"] != "delivered":
        raise typer.Exit(1)


def _asked(alert: str, file: Path | None) -> dict[str, Any]:
    from datalab.cli.service_client import notifier, segment

    if file is not None:
        raise ValueError("--file: goes with an alert as JSON only; the notifier explains by its own file")
    with notifier() as client:
        told: dict[str, Any] = client.call("GET", f"/v1/alerts/{segment(alert)}/explanation")
    return told


def _offline(alert: str, file: Path | None) -> dict[str, Any]:
    from datetime import UTC, datetime

    from services.notifier.explanation import explain as explained
    from services.notifier.routing import Routing
    from services.notifier.settings import environment
    from services.notifier.verdicts import Circumstances

    firing = _read_alert(alert)
    config = _load(file)
    routing = Routing(config, config.targets(environment()))
    return explained(firing, routing, Circumstances(datetime.now(UTC))).model_dump(mode="json")


def _load(file: Path | None) -> NotifyConfig:
    from services.notifier.config import load_config

    return load_config(_path(file))


def _path(file: Path | None) -> Path:
    from datalab.runtime.settings import LabSettings

    return file or LabSettings().datalab_config_dir / "notify.yaml"


def _read_alert(given: str) -> AlertFiring:
    """The alert as JSON or @FILE; what routes do not go by may be left out."""
    from datetime import UTC, datetime

    from pydantic import ValidationError

    from schemas.alerts import AlertFiring

    value = json.loads(Path(given[1:]).read_text("utf-8") if given.startswith("@") else given)
    if not isinstance(value, dict):
        raise ValueError("the alert must be a JSON object")  # noqa: TRY004 - of the input, not of the code
    now = datetime.now(UTC).isoformat()
    usual = {"fingerprint": "example", "episode": "example", "summary": "an example", "starts_at": now}
    try:
        return AlertFiring.model_validate({**usual, **value.get("data", value)})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"the alert is not right: {faults}") from None
