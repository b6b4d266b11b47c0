"""Logs are JSON lines, and no credential gets into them."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging
from datalab.runtime.logs import configure_logging, get_logger
configure_logging("sample")
about = dict(url="postgresql://user:hunter2@host/db", header="Bearer hunter2", token="dlt_hunter2hunter2hunter2")
get_logger("x").info("thing.happened", n=1, **about)
logging.getLogger("library").warning("cannot reach %s", "amqp://user:hunter2@host")
try:
    raise ValueError("at https://user:hunter2@host/")
except ValueError:
    get_logger("x").exception("thing.failed", key="whsec_hunter2")
"""


def test_lines_are_json_with_the_service_and_without_credentials() -> None:
    output = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in output.splitlines()]

    assert [line["event"] for line in lines][::2] == ["thing.happened", "thing.failed"]
    assert all(line["service"] == "sample" and line["level"] and line["timestamp"] for line in lines)
    assert (lines[0]["n"], lines[0]["url"]) == (1, "postgresql://***@host/db")
    assert "ValueError" in lines[2]["exception"]
    assert "hunter2" not in output
