"""Entry of the process: `python -m services.notifier`."""

import uvloop

from datalab.runtime.serving import run_service
from services.notifier.app import main

if __name__ == "__main__":
    run_service("notifier", main, loop_factory=uvloop.new_event_loop)
