"""Event contracts: the envelope, one model per event type, the codec and the topics. Imports nothing of the lab."""
