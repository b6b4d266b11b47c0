"""`python -m datalab.local.watchdog LAB_ID`: ends all processes of the lab once its supervisor is gone.

The supervisor holds the other end of our standard input and never writes. When that end closes, however the supervisor
ended, we look for the lab's processes and end them. We carry no mark ourselves and ignore polite signals.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from datalab.local.marked import end_marked


def main() -> None:
    """Wait for the end of the supervisor, then clear up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    # Twice: a process that was just being started shows its mark only a moment later.
    end_marked(sys.argv[1])
    time.sleep(0.3)
    end_marked(sys.argv[1])


if __name__ == "__main__":
    main()
