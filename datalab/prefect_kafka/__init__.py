"""A messaging broker for Prefect's server that also puts each of its events on Kafka, topic `lab.prefect-events`.

The server loads it by name (PREFECT_SERVER_EVENTS_MESSAGING_BROKER=datalab.prefect_kafka; the broker is at
KAFKA_BOOTSTRAP_SERVERS) and finds here what `prefect.server.utilities.messaging.BrokerModule` asks for. Inside a
server messages go by memory, as without this module: it works the same while Kafka is away. Servers beside it that
run no services of Prefect's (PREFECT__SERVER_WEBSERVER_ONLY) reach its services through the topic.
"""

from __future__ import annotations

from prefect.server.utilities.messaging.memory import Cache, break_topic, ephemeral_subscription

from datalab.prefect_kafka.consumer import Consumer
from datalab.prefect_kafka.publisher import Publisher

__all__ = ["Cache", "Consumer", "Publisher", "break_topic", "ephemeral_subscription"]
