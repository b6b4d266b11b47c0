"""The ways out, one file each. A channel shapes a message and sends it; it knows no ledger and no retries."""
