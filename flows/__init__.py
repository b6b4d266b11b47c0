"""Prefect flows of the lab. Each flow file is an entrypoint; what they share about the lake is in `flows.lake`."""
