"""`python -m services.monitor`: run the monitor until SIGTERM."""

from __future__ import annotations

from datalab.runtime.serving import run_service
from services.monitor.app import main

if __name__ == "__main__":
    run_service("monitor", main)
