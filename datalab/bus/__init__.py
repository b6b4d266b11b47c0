"""Kafka for every process: publish, consume, dead letters, topics, reading. The only importer of aiokafka.

It moves events and knows nothing of what they mean.
"""
