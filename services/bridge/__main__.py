"""`python -m services.bridge`."""

from __future__ import annotations

import sys

from datalab.runtime.serving import run_service
from services.bridge.app import run
from services.bridge.healing import StuckError
from services.bridge.rule_files import RuleFileError

if __name__ == "__main__":
    try:
        run_service("bridge", run)
    except (RuleFileError, StuckError) as error:
        sys.exit(f"bridge: {error}")
