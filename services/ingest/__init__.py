"""The lab's front door: what comes by HTTP or lies in the landing directory becomes an event on Kafka, or is refused
with a reason. It starts nothing and knows no flow."""
