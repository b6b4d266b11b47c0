"""`python -m services.monitor`: run the monitor until SIGTERM."""

from __future__ import annotations

import gc

import uvloop

from datalab.runtime.serving import run_service
from services.monitor.app import main

if __name__ == "__main__":
    # A batch makes thousands of values that end with it; looking for cycles after each 700 finds none.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    run_service("monitor", main, loop_factory=uvloop.new_event_loop)
