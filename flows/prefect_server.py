"""Which Prefect server the command line talks to, and waiting for it. Without an address Prefect would start a server
of its own and deploy to that."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_EVERY_S = 0.5
_ANSWER_WITHIN_S = 2.0


def api_address() -> str:
    """PREFECT_API_URL of the environment or `.env`; else the running lab's, wherever its port went; else the usual."""
    from datalab.local.addresses import lab_addresses

    return lab_addresses().prefect_api


def wait_until_it_answers(seconds: float, say: Callable[[str], object]) -> str:
    """The address, once the server answers there. It is looked up anew each time: a lab that is being started may
    move to a free port. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    said = ""
    while not _healthy(address := api_address()):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"the Prefect server at {address} has not answered for {seconds:g} s; is the lab up?")
        if address != said:
            say(f"waiting for the Prefect server at {address}")
            said = address
        time.sleep(_LOOK_EVERY_S)  # looking again, with a deadline
    return address


def _healthy(address: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{address}/health", timeout=_ANSWER_WITHIN_S).status_code == 200
    except httpx.HTTPError:
        return False
