"""Kafka to Kafka: what a message is, how it is processed, how its result is written. No Prefect here."""
