"""The bridge under faults: each case publishes events, harms what the bridge needs or is, and then counts.

`python -m tests.faults.bridge` runs every case on a lab of its own; `tests/faults/test_bridge_killed.py` a short one.
Nothing in the bridge knows of it: the moments to strike are found, and held, from outside.
"""
