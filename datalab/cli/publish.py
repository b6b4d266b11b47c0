"""`datalab publish`: sends one event to ingest and says where it is."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def publish(
        type: Annotated[str, typer.Argument(help="Event type, such as lab.metric.sampled.v1")],  # noqa: A002 - the word users know
        data: Annotated[str, typer.Option("--data", help="The payload: JSON, @FILE, or @- for the standard input")],
        subject: Annotated[str | None, typer.Option(help="What it is about; default: what the type says")] = None,
        id: Annotated[str | None, typer.Option("--id", help="Its id; default: a new one")] = None,  # noqa: A002 - the word users know
        source: Annotated[str, typer.Option(help="Who says so")] = "datalab/cli",
        as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON")] = False,
    ) -> None:
        """Publish one event through ingest; returns once Kafka has acknowledged it."""
        event = {
            "specversion": "1.0",
            "id": id or str(uuid.uuid4()),
            "source": source,
            "type": type,
            "datacontenttype": "application/json",
            "data": _payload(data),
            **({"subject": subject} if subject else {}),
        }
        answer = _send(event)
        if as_json:
            typer.echo(json.dumps(answer))
        else:
            typer.echo(f"{answer['id']}  {answer['topic']}[{answer['partition']}]@{answer['offset']}")


def _payload(data: str) -> Any:
    """The JSON value of the option; raises ValueError that says what is wrong with it."""
    text = data
    if data.startswith("@"):
        try:
            text = sys.stdin.read() if data == "@-" else Path(data[1:]).read_text("utf-8")
        except OSError as error:
            raise ValueError(f"--data: {data[1:]} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"--data: {data[1:]} is not UTF-8") from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        detail = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise ValueError(f"--data: is not JSON ({detail}); for a file write @FILE") from error


def _send(event: dict[str, Any]) -> dict[str, Any]:
    """Ingest's answer; raises ConnectionError or ValueError with its reason."""
    import httpx

    from datalab.local.addresses import lab_addresses

    url = lab_addresses().ingest
    try:
        answer = httpx.post(
            f"{url}/v1/events",
            content=json.dumps(event).encode(),
            headers={"content-type": "application/cloudevents+json"},
            timeout=30,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        reason = f"ingest does not answer at {url} ({type(error).__name__}); start the lab with `datalab up`"
        raise ConnectionError(reason) from error
    if answer.status_code == 202:
        return dict(answer.json())
    raise ValueError(f"ingest refused the event ({answer.status_code}): {_detail(answer)}")


def _detail(answer: Any) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return str(answer.text)[:300]
