"""What the notifier has to answer to requests that are made up: by operation, statuses that must be among the answers.

Every operation has to be named here, so that none is left out by a mistake.
"""

from __future__ import annotations

import httpx

from tests.support.made_up import Answers, Operation, ask_everything
from tests.support.polling import wait_for

# Made-up addresses are looked up and called, which takes as long as it takes. A list with many filters needs more.
_OTHERWISE = {("POST", "/v1/subscriptions"): 5, ("PATCH", "/v1/subscriptions/{key}"): 5, ("GET", "/v1/deliveries"): 40}
EXPECTED: dict[Operation, set[int]] = {
    ("GET", "/v1/subscriptions"): {200, 422},
    ("POST", "/v1/subscriptions"): {422},
    ("GET", "/v1/subscriptions/{key}"): {404, 422},
    ("PATCH", "/v1/subscriptions/{key}"): {422},
    ("DELETE", "/v1/subscriptions/{key}"): {404, 422},
    ("POST", "/v1/subscriptions/{key}:handshake"): {404, 422},
    ("POST", "/v1/subscriptions/{key}:rotate-secret"): {404, 422},
    ("POST", "/v1/subscriptions/{key}:test"): {404, 422},
    ("GET", "/v1/deliveries"): {200, 422},
    ("GET", "/v1/deliveries/{delivery_id}"): {404, 422},
    ("POST", "/v1/deliveries/{delivery_id}:replay"): {404, 422},
    ("POST", "/v1/deliveries:replay"): {202, 422},
    ("GET", "/v1/audit"): {200, 422},
    ("GET", "/v1/ledger"): {200},
    ("GET", "/v1/alerts"): {200, 422},
    ("GET", "/v1/alerts/{key}/explanation"): {200, 404},
    ("POST", "/v1/alerts/{key}:acknowledge"): {200, 404, 422},
    ("POST", "/v1/alerts/{key}:unacknowledge"): {200, 404},
    ("GET", "/v1/silences"): {200, 422},
    ("POST", "/v1/silences"): {422},
    ("GET", "/v1/silences/{silence_id}"): {200, 404},
    ("POST", "/v1/silences/{silence_id}:expire"): {200, 404, 422},
    ("DELETE", "/v1/silences/{silence_id}"): {204, 404},
    ("GET", "/v1/receivers"): {200},
    ("POST", "/v1/receivers/{name}:preview"): {200, 404, 422},
    ("POST", "/v1/receivers/{name}:test"): {202, 404},
}


def ask_notifier(url: str, fingerprint: str, receiver: str, examples: int) -> Answers:
    """Ask it everything; some of it about an alert that fires, a silence and a receiver that there are. Fails unless
    all is answered as expected, and the notifier is ready afterwards."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        wait_for(lambda: client.get(f"/v1/alerts/{fingerprint}/explanation").is_success, what="the alert is known")
        wish = {"matchers": {"rule": "nothing-is-called-so"}, "duration": "1h", "author": "test", "comment": "made up"}
        silence = client.post("/v1/silences", json=wish).raise_for_status().json()["id"]
        known = {
            **{path: fingerprint for _, path in EXPECTED if path.startswith("/v1/alerts/")},
            **{path: silence for _, path in EXPECTED if path.startswith("/v1/silences/")},
            **{path: receiver for _, path in EXPECTED if path.startswith("/v1/receivers/")},
        }
        met = ask_everything(url, lambda name: min(_OTHERWISE.get(name, examples), 3 * examples), known)
        for name in (("GET", path) for method, path in EXPECTED if method == "GET" and "{" not in path):
            if 422 in EXPECTED[name]:
                # Almost any text is a filter, so that all that was made up for a list may by chance be valid.
                met[name][client.get(name[1], params={"page_size": 0}).status_code] += 1
        asked = {name for name in met if name[1].startswith("/v1/")}
        assert asked == set(EXPECTED), f"not both described and expected: {asked ^ set(EXPECTED)}"
        unmet = {name: met[name] for name, expected in EXPECTED.items() if not set(met[name]) >= expected}
        assert not unmet, f"not answered as expected: {unmet}"
        # Nothing that was sent has broken what others get.
        wait_for(lambda: client.get("/readyz").status_code == 200, what="it is ready")
    return met
