"""What an event caused and what caused it: the events of its chain, runs and deliveries, joined to one tree."""
