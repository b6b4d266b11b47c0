"""`datalab up` in the foreground, as in a terminal: Ctrl-C stops the lab and leaves nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.marked import find_marked


def test_ctrl_c_stops_the_lab(tmp_path: Path) -> None:
    layout = LabLayout.at(tmp_path / "lab")
    ports = {name: str(random.randrange(20_000, 30_000)) for name in ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT")}
    command = [sys.executable, "-m", "datalab.cli.main", "up", "--parts", "kafka"]
    environment = {**os.environ, **ports, "DATALAB_HOME": str(layout.home)}
    # A session of its own, so that the signal goes to it as a terminal would send it, and not to the test.
    up = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 90
    while not ((state := running(layout)) and state.phase == "ready"):
        assert up.poll() is None, up.communicate()
        assert time.monotonic() < deadline, state
        time.sleep(0.1)

    os.killpg(up.pid, signal.SIGINT)
    _, said = up.communicate(timeout=60)

    assert up.returncode == 0, said
    assert "The lab is stopped." in said
    assert find_marked(layout.lab_id) == []
