"""Entry of the process: `python -m datalab.local.inbox`."""

from datalab.local.inbox.app import main
from datalab.runtime.serving import run_service

if __name__ == "__main__":
    run_service("inbox", main)
