"""What the lake goes through under `make faults-lake`."""
