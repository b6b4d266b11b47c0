"""`datalab publish`: sends one event to ingest, or a file of them, and says where they are."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

_LINES = (".jsonl", ".ndjson")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def publish(
        type: Annotated[str, typer.Argument(help="Event type, such as lab.metric.sampled.v1")],  # noqa: A002 - the word users know
        data: Annotated[
            str,
            typer.Option("--data", help="The payload: JSON, @FILE, @- for stdin; @FILE.jsonl: one a line"),
        ],
        subject: Annotated[str | None, typer.Option(help="What it is about; default: what the type says")] = None,
        id: Annotated[str | None, typer.Option("--id", help="Its id; default: a new one")] = None,  # noqa: A002 - the word users know
        source: Annotated[str, typer.Option(help="Who says so")] = "datalab/cli",
        idempotency_key: Annotated[
            str | None, typer.Option(help="A repeat under this key within 7 days publishes nothing")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON")] = False,
    ) -> None:
        """Publish through ingest; returns once Kafka has acknowledged it. DATALAB_TOKEN is sent if it is set."""
        event = {"specversion": "1.0", "source": source, "type": type, "datacontenttype": "application/json"}
        event |= {"subject": subject} if subject else {}
        if data.startswith("@") and data.lower().endswith(_LINES):
            from datalab.cli.publish_lines import publish_lines

            if id is not None:
                raise ValueError("--id: a file of many events cannot have one id; leave it out")
            raise typer.Exit(publish_lines(Path(data[1:]), event, idempotency_key, as_json=as_json))
        # With a key ingest makes the id, the same one in a repeat.
        event |= {"id": id or str(uuid.uuid4())} if id or idempotency_key is None else {}
        answer = _send({**event, "data": _payload(data)}, idempotency_key)
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


def _send(event: dict[str, Any], key: str | None) -> dict[str, Any]:
    """Ingest's answer; raises ConnectionError or ValueError with its reason."""
    from datalab.cli.ingest_client import STRUCTURED, ingest, refusal

    with ingest() as client:
        answer = client.post(event, STRUCTURED, key)
    if answer.status_code == 202:
        return dict(answer.json())
    raise refusal(answer)
