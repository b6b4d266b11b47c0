"""`python -m datalab.local.watchdog LAB_ID LOCK SUPERVISOR`: ends all processes of the lab once its supervisor is gone.

The supervisor holds the other end of our standard input and never writes. When that end closes, however the supervisor
ended, we look for the lab's processes and end them. We carry no mark ourselves and ignore polite signals. Once another
supervisor holds the lab's lock the rest is its work: what we found from then on could be its own new processes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from datalab.local.marked import end_marked
from datalab.local.state import LabLock


def main() -> None:
    """Wait for the end of the supervisor, then clear up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    lab_id, lock, supervisor = sys.argv[1], LabLock(Path(sys.argv[2])), int(sys.argv[3])

    def succeeded() -> bool:
        return lock.holder() not in {None, supervisor}

    # Twice: a process that was just being started shows its mark only a moment later.
    end_marked(lab_id, until=succeeded)
    time.sleep(0.3)
    end_marked(lab_id, until=succeeded)


if __name__ == "__main__":
    main()
