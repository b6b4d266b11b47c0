"""`python -m services.ingest`: run the service until it is told to stop."""

from __future__ import annotations

from datalab.runtime.serving import run_service
from services.ingest.app import main

if __name__ == "__main__":
    run_service("ingest", main)
