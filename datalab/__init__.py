"""What every process of the lab shares; nothing here belongs to a single service."""
